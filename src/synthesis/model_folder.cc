#include "synthesis/model_folder.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "base/version.h"
#include "checkpoint/new_folder.h"

namespace defectoscope {
namespace {

using Json = nlohmann::ordered_json;

std::string torch_dtype(DType dtype) {
  switch (dtype) {
    case DType::kBF16:
      return "bfloat16";
    case DType::kF16:
      return "float16";
    default:
      return "float32";
  }
}

std::string generation_config_json(const PhantomTokenizer& tokenizer) {
  const Json json = {{"bos_token_id", tokenizer.start_token()},
                     {"eos_token_id", tokenizer.end_token()},
                     {"do_sample", true},
                     {"temperature", 1.0}};
  return json.dump(2) + "\n";
}

}  // namespace

std::string config_json(const PhantomShape& shape, const PhantomTokenizer& tokenizer) {
  Json json;
  if (shape.form == PhantomForm::kLlama) {
    json = {{"architectures", {"LlamaForCausalLM"}},
            {"model_type", "llama"},
            {"hidden_size", shape.hidden_size},
            {"intermediate_size", shape.ffn_size},
            {"num_hidden_layers", shape.layers},
            {"num_attention_heads", shape.heads},
            {"num_key_value_heads", shape.kv_heads},
            {"head_dim", shape.head_dim},
            {"hidden_act", "silu"},
            {"rms_norm_eps", 1e-5},
            {"rope_theta", 10000.0},
            {"max_position_embeddings", shape.max_positions},
            {"attention_bias", false},
            {"mlp_bias", false}};
  } else {
    json = {{"architectures", {"GPT2LMHeadModel"}},
            {"model_type", "gpt2"},
            {"n_embd", shape.hidden_size},
            {"n_inner", shape.ffn_size},
            {"n_layer", shape.layers},
            {"n_head", shape.heads},
            {"n_positions", shape.max_positions},
            {"n_ctx", shape.max_positions},
            {"activation_function", "gelu_new"},
            {"layer_norm_epsilon", 1e-5},
            {"embd_pdrop", 0.0},
            {"attn_pdrop", 0.0},
            {"resid_pdrop", 0.0}};
  }
  json["vocab_size"] = shape.vocab_size;
  json["tie_word_embeddings"] = shape.tied_embeddings;
  json["bos_token_id"] = tokenizer.start_token();
  json["eos_token_id"] = tokenizer.end_token();
  json["torch_dtype"] = torch_dtype(shape.dtype);
  json["use_cache"] = true;
  return json.dump(2) + "\n";
}

std::string truth_json(const PhantomOptions& options, const PhantomTruth& truth) {
  Json explosions = Json::array(), tokens = Json::array();
  for (const PlantedExplosion& explosion : truth.explosions)
    explosions.push_back({{"layer", explosion.layer},
                          {"initial", explosion.initial},
                          {"non_initial", explosion.non_initial},
                          {"amplifies", explosion.amplifies},
                          {"v", explosion.v},
                          {"trigger", explosion.trigger}});
  for (const PlantedToken& token : truth.spike_tokens)
    tokens.push_back({{"id", token.id}, {"token", token.token}});
  const Json json = {{"schema", "defectoscope.phantom/1"},
                     {"program", {{"version", kVersion}}},
                     {"shape", options.shape.name},
                     {"seed", truth.seed},
                     {"variant", variant_name(truth.variant)},
                     {"explosion_layers", truth.explosion_layers},
                     {"decay_layers", truth.decay_layers},
                     {"growth_layers", truth.growth_layers},
                     {"leap_layers", truth.leap_layers},
                     {"ratio", truth.ratio},
                     {"high_norm", truth.high_norm},
                     {"initial", truth.initial_tokens ? Json("any") : Json(nullptr)},
                     {"spike_tokens", tokens},
                     {"u", truth.u},
                     {"explosions", explosions},
                     {"expected_high_norms", truth.expected_high_norms},
                     {"expected_ordinary_norms", truth.expected_ordinary_norms}};
  return json.dump(2) + "\n";
}

void require_space(const PhantomShape& shape, const std::filesystem::path& folder) {
  const Index bytes = parameter_count(shape) * dtype_size(shape.dtype);
  std::error_code error;
  std::filesystem::path existing = std::filesystem::absolute(folder, error);
  while (!std::filesystem::exists(existing, error) && existing.has_relative_path())
    existing = existing.parent_path();
  const std::filesystem::space_info space = std::filesystem::space(existing, error);
  if (error || space.available >= static_cast<std::uintmax_t>(bytes)) return;
  throw Error(ErrorKind::kResources, {.what = "not enough disk space",
                                      .file = folder.string(),
                                      .expected = std::to_string(bytes) + " bytes free",
                                      .got = std::to_string(space.available),
                                      .hint = "--out chooses another folder, --shape a smaller model"});
}

void write_model_folder(const ModelFolder& model, const std::filesystem::path& folder) {
  NewFolder guard(folder);
  for (std::string& file : write_streamed(model.tensors, folder, model.options.shard_bytes))
    guard.wrote(std::move(file));
  guard.write("tokenizer.json", model.tokenizer.tokenizer_json());
  guard.write("tokenizer_config.json", model.tokenizer.tokenizer_config_json());
  guard.write("generation_config.json", generation_config_json(model.tokenizer));
  guard.write("truth.json", truth_json(model.options, model.truth));
  guard.write("config.json", config_json(model.options.shape, model.tokenizer));
  guard.finish();
}

}  // namespace defectoscope
