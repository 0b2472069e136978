#include "model/config.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "checkpoint/test_files.h"

namespace defectoscope {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing_files::bad_input_message;

json llama() {
  return json::parse(R"({"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 3,
    "num_attention_heads": 8, "num_key_value_heads": 2, "intermediate_size": 172, "vocab_size": 100,
    "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "hidden_act": "silu", "rope_theta": 10000.0,
    "rope_scaling": null, "tie_word_embeddings": false, "bos_token_id": 1, "eos_token_id": 2,
    "torch_dtype": "float16"})");
}

/// llama() with some keys changed; null removes.
json llama_with(const json& changes) {
  json config = llama();
  config.merge_patch(changes);
  return config;
}

ModelConfig parse(const json& config) { return parse_config(config.dump(), "config.json"); }

std::string refusal(const json& config) {
  const std::string message = bad_input_message([&] { parse(config); });
  EXPECT_THAT(message, HasSubstr("file: config.json"));
  return message;
}

TEST(Config, ReadsEveryFieldOfALlama) {
  const ModelConfig config = parse(llama());
  EXPECT_EQ(config.architecture->name, "llama");
  EXPECT_EQ(config.model_type, "llama");
  EXPECT_EQ(config.hidden_size, 64);
  EXPECT_EQ(config.layers, 3);
  EXPECT_EQ(config.heads, 8);
  EXPECT_EQ(config.kv_heads, 2);
  EXPECT_EQ(config.head_dim, 8);
  EXPECT_EQ(config.query_size(), 64);
  EXPECT_EQ(config.kv_size(), 16);
  EXPECT_EQ(config.ffn_size, 172);
  EXPECT_EQ(config.vocab_size, 100);
  EXPECT_EQ(config.max_positions, 256);
  EXPECT_DOUBLE_EQ(config.norm_eps, 1e-5);
  EXPECT_EQ(config.activation, Activation::kSilu);
  EXPECT_DOUBLE_EQ(config.rope_base, 10000);
  EXPECT_EQ(config.rotary_dim, 8);
  EXPECT_EQ(config.rope_scaling.kind, RopeScaling::Kind::kNone);
  EXPECT_EQ(config.sliding_window, 0);
  EXPECT_FALSE(config.tied_embeddings);
  EXPECT_EQ(config.bos_token, 1);
  EXPECT_EQ(config.eos_token, 2);
  EXPECT_EQ(config.torch_dtype, "float16");
  EXPECT_FALSE(config.qkv_bias_required || config.attention_output_bias_required || config.ffn_bias_required);
}

TEST(Config, FillsWhatALlamaLeavesOut) {
  const ModelConfig config = parse(llama_with({{"num_key_value_heads", nullptr},
                                               {"rms_norm_eps", nullptr},
                                               {"hidden_act", nullptr},
                                               {"rope_theta", nullptr},
                                               {"tie_word_embeddings", nullptr},
                                               {"bos_token_id", nullptr},
                                               {"torch_dtype", nullptr}}));
  EXPECT_EQ(config.kv_heads, 8);
  EXPECT_DOUBLE_EQ(config.norm_eps, 1e-6);
  EXPECT_EQ(config.activation, Activation::kSilu);
  EXPECT_DOUBLE_EQ(config.rope_base, 10000);
  EXPECT_FALSE(config.tied_embeddings);
  EXPECT_EQ(config.bos_token, std::nullopt);
  EXPECT_EQ(config.torch_dtype, "");
}

TEST(Config, HeadDimMayDifferFromHiddenSizeOverHeads) {
  const ModelConfig config = parse(llama_with({{"head_dim", 32}}));
  EXPECT_EQ(config.head_dim, 32);
  EXPECT_EQ(config.query_size(), 256);
  EXPECT_EQ(config.rotary_dim, 32);
}

TEST(Config, ReadsTheRopeScalingOfLlama31) {
  const json scaling = {{"rope_type", "llama3"},
                        {"factor", 8.0},
                        {"low_freq_factor", 1.0},
                        {"high_freq_factor", 4.0},
                        {"original_max_position_embeddings", 8192}};
  const auto check = [](const ModelConfig& config) {
    EXPECT_EQ(config.rope_scaling.kind, RopeScaling::Kind::kLlama3);
    EXPECT_DOUBLE_EQ(config.rope_base, 5e5);
    EXPECT_DOUBLE_EQ(config.rope_scaling.factor, 8);
    EXPECT_DOUBLE_EQ(config.rope_scaling.low_frequency_factor, 1);
    EXPECT_DOUBLE_EQ(config.rope_scaling.high_frequency_factor, 4);
    EXPECT_DOUBLE_EQ(config.rope_scaling.original_max_positions, 8192);
  };
  check(parse(llama_with({{"rope_theta", 500000}, {"rope_scaling", scaling}})));
  json parameters = scaling;
  parameters["rope_theta"] = 500000.0;
  check(parse(llama_with({{"rope_theta", nullptr}, {"rope_parameters", parameters}})));
}

TEST(Config, ReadsLinearRopeScalingInItsOldAndNewForm) {
  for (const json& changes : {json{{"rope_scaling", {{"type", "linear"}, {"factor", 4.0}}}},
                              json{{"rope_parameters", {{"rope_type", "linear"}, {"factor", 4.0}}}}}) {
    const ModelConfig config = parse(llama_with(changes));
    EXPECT_EQ(config.rope_scaling.kind, RopeScaling::Kind::kLinear);
    EXPECT_DOUBLE_EQ(config.rope_scaling.factor, 4);
    EXPECT_DOUBLE_EQ(config.rope_base, 10000);
  }
}

TEST(Config, TheDefaultRopeOfNewFilesIsNone) {
  const ModelConfig config = parse(llama_with(
      {{"rope_theta", nullptr}, {"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 1e6}}}}));
  EXPECT_EQ(config.rope_scaling.kind, RopeScaling::Kind::kNone);
  EXPECT_DOUBLE_EQ(config.rope_base, 1e6);
}

TEST(Config, AnUnknownRopeScalingIsRefusedByName) {
  EXPECT_THAT(refusal(llama_with({{"rope_scaling", {{"type", "spiral"}, {"factor", 4.0}}}})),
              AllOf(HasSubstr("rope scaling"),
                    HasSubstr("expected: default, dynamic, linear, llama3, yarn or longrope"),
                    HasSubstr("got: spiral")));
}

TEST(Config, RopeScalingWithoutItsFactorIsRefused) {
  EXPECT_THAT(refusal(llama_with({{"rope_scaling", {{"type", "linear"}}}})),
              HasSubstr("rope_scaling.factor"));
  EXPECT_THAT(refusal(llama_with({{"rope_scaling", "linear"}})), HasSubstr("tensor: rope_scaling"));
}

TEST(Config, BiasesThatALlamaAnnouncesAreRequired) {
  const ModelConfig config = parse(llama_with({{"attention_bias", true}, {"mlp_bias", true}}));
  EXPECT_TRUE(config.qkv_bias_required);
  EXPECT_TRUE(config.attention_output_bias_required);
  EXPECT_TRUE(config.ffn_bias_required);
}

TEST(Config, OfSeveralEndTokensTheFirstCounts) {
  EXPECT_EQ(parse(llama_with({{"eos_token_id", {5, 6, 7}}})).eos_token, 5);
}

TEST(Config, EveryLayerOfMistralIsWindowedWhereTheWindowIsANumber) {
  const ModelConfig v1 = parse(llama_with({{"model_type", "mistral"}, {"sliding_window", 32}}));
  EXPECT_EQ(v1.architecture->name, "mistral");
  EXPECT_EQ(v1.window_of(0), 32);
  EXPECT_EQ(v1.window_of(2), 32);
  json v2 = llama_with({{"model_type", "mistral"}});
  v2["sliding_window"] = nullptr;
  EXPECT_EQ(parse(v2).window_of(0), 0);
  EXPECT_EQ(parse(llama_with({{"model_type", "mistral"}})).window_of(0), 4096);
}

TEST(Config, ALlamaHasNoWindowWhateverItsFileSays) {
  EXPECT_EQ(parse(llama_with({{"sliding_window", 32}})).window_of(0), 0);
}

TEST(Config, Qwen2WindowsItsUpperLayersWhereItIsSwitchedOn) {
  const json base = llama_with({{"model_type", "qwen2"},
                                {"sliding_window", 32},
                                {"use_sliding_window", true},
                                {"max_window_layers", 1}});
  const ModelConfig config = parse(base);
  EXPECT_THAT(config.layer_is_windowed, ElementsAre(false, true, true));
  EXPECT_EQ(config.window_of(0), 0);
  EXPECT_EQ(config.window_of(1), 32);
  EXPECT_TRUE(config.qkv_bias_required);
  EXPECT_FALSE(config.attention_output_bias_required);
  json off = base;
  off["use_sliding_window"] = false;
  EXPECT_EQ(parse(off).window_of(2), 0);
}

TEST(Config, LayerTypesDecideWhichLayersOfQwen2AreWindowed) {
  json config = llama_with({{"model_type", "qwen2"},
                            {"sliding_window", 32},
                            {"use_sliding_window", true},
                            {"max_window_layers", 0},
                            {"layer_types", {"sliding_attention", "full_attention", "sliding_attention"}}});
  EXPECT_THAT(parse(config).layer_is_windowed, ElementsAre(true, false, true));
  config["layer_types"] = {"full_attention"};
  EXPECT_THAT(refusal(config),
              AllOf(HasSubstr("layer_types"), HasSubstr("a list of 3"), HasSubstr("got: 1")));
  config["layer_types"] = {"full_attention", "odd", 3};
  EXPECT_THAT(refusal(config), AllOf(HasSubstr("unknown kind of layer"), HasSubstr("got: odd")));
}

TEST(Config, ReadsGpt2UnderItsOwnKeys) {
  const ModelConfig config =
      parse(json::parse(R"({"model_type": "gpt2", "n_embd": 48, "n_layer": 2, "n_head": 4, "n_inner": null,
        "n_positions": 64, "n_ctx": 32, "vocab_size": 100, "layer_norm_epsilon": 1e-5,
        "activation_function": "gelu_new"})"));
  EXPECT_EQ(config.hidden_size, 48);
  EXPECT_EQ(config.layers, 2);
  EXPECT_EQ(config.kv_heads, 4);
  EXPECT_EQ(config.head_dim, 12);
  EXPECT_EQ(config.ffn_size, 192);
  EXPECT_EQ(config.max_positions, 64);
  EXPECT_EQ(config.rotary_dim, 0);
  EXPECT_EQ(config.activation, Activation::kGeluTanh);
  EXPECT_TRUE(config.tied_embeddings);
  EXPECT_TRUE(config.qkv_bias_required && config.attention_output_bias_required && config.ffn_bias_required);
}

TEST(Config, ASettingOfGpt2ThatIsNotComputedIsRefused) {
  EXPECT_THAT(refusal(json::parse(
                  R"({"model_type": "gpt2", "n_embd": 48, "n_layer": 2, "n_head": 4, "n_positions": 64,
        "vocab_size": 100, "scale_attn_by_inverse_layer_idx": true})")),
              AllOf(HasSubstr("setting not supported"), HasSubstr("scale_attn_by_inverse_layer_idx"),
                    HasSubstr("expected: false")));
}

TEST(Config, ReadsThePublishedShapesOfRealModels) {
  const ModelConfig llama32 =
      parse(json::parse(R"({"architectures": ["LlamaForCausalLM"], "attention_bias": false,
    "bos_token_id": 128000, "eos_token_id": [128001, 128008, 128009], "head_dim": 64, "hidden_act": "silu",
    "hidden_size": 2048, "intermediate_size": 8192, "max_position_embeddings": 131072, "mlp_bias": false,
    "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 16, "num_key_value_heads": 8,
    "rms_norm_eps": 1e-05, "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
    "original_max_position_embeddings": 8192, "rope_type": "llama3"}, "rope_theta": 500000.0,
    "tie_word_embeddings": true, "torch_dtype": "bfloat16", "vocab_size": 128256})"));
  EXPECT_EQ(llama32.kv_size(), 512);
  EXPECT_TRUE(llama32.tied_embeddings);
  EXPECT_EQ(llama32.eos_token, 128001);

  const ModelConfig qwen =
      parse(json::parse(R"({"architectures": ["Qwen2ForCausalLM"], "bos_token_id": 151643,
    "eos_token_id": 151643, "hidden_act": "silu", "hidden_size": 1536, "intermediate_size": 8960,
    "max_position_embeddings": 131072, "max_window_layers": 28, "model_type": "qwen2", "num_attention_heads": 12,
    "num_hidden_layers": 28, "num_key_value_heads": 2, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
    "sliding_window": 131072, "tie_word_embeddings": true, "torch_dtype": "bfloat16", "use_sliding_window": false,
    "vocab_size": 151936})"));
  EXPECT_EQ(qwen.head_dim, 128);
  EXPECT_EQ(qwen.window_of(27), 0);
  EXPECT_THAT(qwen.layer_is_windowed, IsEmpty());
}

TEST(Config, AnUnknownFamilyIsRefusedAndTheKnownAreListed) {
  EXPECT_THAT(refusal(llama_with({{"model_type", "zebra"}})),
              AllOf(HasSubstr("unknown model family"), HasSubstr("llama, mistral, qwen2, "),
                    HasSubstr(", distilbert"), HasSubstr("--family"), HasSubstr("got: zebra")));
  EXPECT_THAT(refusal(llama_with({{"model_type", nullptr}})),
              AllOf(HasSubstr("key missing"), HasSubstr("tensor: model_type")));
}

TEST(Config, EveryNeededKeyIsNamedWhereItIsMissing) {
  for (const char* key : {"hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
                          "vocab_size", "max_position_embeddings"})
    EXPECT_THAT(refusal(llama_with({{key, nullptr}})),
                AllOf(HasSubstr("key missing"), HasSubstr("tensor: " + std::string(key))));
}

TEST(Config, ZeroNegativeAbsurdAndNonIntegerSizesAreRefused) {
  for (const char* key : {"hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
                          "head_dim", "intermediate_size", "vocab_size", "max_position_embeddings"})
    for (const json& value : {json(0), json(-1), json(1e18), json(std::uint64_t{1} << 63), json(2.5),
                              json("64"), json(true), json::array({1}), json::object()})
      EXPECT_THAT(refusal(llama_with({{key, value}})),
                  AllOf(HasSubstr("out of range"), HasSubstr("tensor: " + std::string(key)),
                        HasSubstr("expected: an integer from 1")))
          << value;
}

TEST(Config, HeadsThatKvHeadsDoNotDivideAreRefused) {
  EXPECT_THAT(refusal(llama_with({{"num_key_value_heads", 3}})),
              AllOf(HasSubstr("num_key_value_heads"), HasSubstr("a divisor of 8"), HasSubstr("got: 3")));
}

TEST(Config, AHiddenSizeThatHeadsDoNotDivideIsRefused) {
  EXPECT_THAT(refusal(llama_with({{"num_attention_heads", 7}, {"num_key_value_heads", 7}})),
              AllOf(HasSubstr("num_attention_heads"), HasSubstr("a divisor of 64"), HasSubstr("got: 7")));
}

TEST(Config, AnOddHeadCannotBeRotated) {
  EXPECT_THAT(refusal(llama_with({{"head_dim", 7}})), AllOf(HasSubstr("rotary"), HasSubstr("got: 7")));
}

TEST(Config, NumbersOutOfRangeAreRefused) {
  EXPECT_THAT(refusal(llama_with({{"rms_norm_eps", 0}})), HasSubstr("tensor: rms_norm_eps"));
  EXPECT_THAT(refusal(llama_with({{"rms_norm_eps", "x"}})), HasSubstr("a number above 0"));
  EXPECT_THAT(refusal(llama_with({{"rope_theta", -1}})), HasSubstr("tensor: rope_theta"));
  EXPECT_THAT(refusal(llama_with({{"tie_word_embeddings", 1}})), HasSubstr("expected: true or false"));
  EXPECT_THAT(refusal(llama_with({{"attention_bias", "yes"}})), HasSubstr("expected: true or false"));
}

TEST(Config, AnUnknownActivationIsRefusedAndTheKnownAreListed) {
  EXPECT_THAT(
      refusal(llama_with({{"hidden_act", "wobble"}})),
      AllOf(HasSubstr("activation"), HasSubstr("silu"), HasSubstr("gelu_new"), HasSubstr("got: wobble")));
}

TEST(Config, WhatIsNoJsonObjectIsRefused) {
  const auto refusal_of = [](const char* text) {
    return bad_input_message([&] { parse_config(text, "config.json"); });
  };
  EXPECT_THAT(refusal_of("[1, 2]"), AllOf(HasSubstr("is no object"), HasSubstr("got: array")));
  EXPECT_THAT(refusal_of("<html>"), AllOf(HasSubstr("not valid JSON"), HasSubstr("config.json")));
  EXPECT_THAT(refusal_of(""), HasSubstr("not valid JSON"));
}

TEST(Config, DuplicateKeysAreRefused) {
  std::string text = llama().dump();
  text.insert(1, "\"vocab_size\": 7, ");
  EXPECT_THAT(bad_input_message([&] { parse_config(text, "config.json"); }),
              AllOf(HasSubstr("duplicate key"), HasSubstr("vocab_size")));
}

}  // namespace
}  // namespace defectoscope
