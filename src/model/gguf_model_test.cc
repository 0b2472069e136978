// GGUF files as models: names, settings, and weights that are those of the family's own files.
#include <gmock/gmock.h>

#include "base/files.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/test_gguf.h"
#include "model/gguf_config.h"
#include "model/gguf_names.h"
#include "model/inspect.h"
#include "model/model.h"
#include "model/test_gguf_model.h"
#include "model/test_models.h"

namespace defectoscope {
namespace {

using testing::AllOf;
using testing::DoubleNear;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing_files::bad_input_message;
using testing_files::TemporaryFolder;
using testing_gguf::f32_bytes;
using testing_gguf::GgufFile;
using namespace testing_models;

class GgufModel : public testing::Test {
 protected:
  std::filesystem::path write(const GgufFile& file, const char* name = "m.gguf") {
    write_file(folder_ / name, file.bytes());
    return folder_ / name;
  }
  ModelConfig config_of(const GgufFile& file) {
    const GgufFiles files = GgufFiles::open(write(file));
    return gguf_config(files, gguf_architecture(files));
  }
  std::string refusal(const GgufFile& file) {
    return bad_input_message([&] { Model::open(write(file)); });
  }
  /// Two heads of eight on one key-value head.
  static GgufFile llama_file() {
    return GgufFile("llama")
        .integer("llama.embedding_length", 16)
        .integer("llama.block_count", 1)
        .integer("llama.attention.head_count", 2)
        .integer("llama.attention.head_count_kv", 1)
        .integer("llama.feed_forward_length", 24)
        .integer("llama.context_length", 64)
        .number("llama.attention.layer_norm_rms_epsilon", 1e-5f)
        .tensor("token_embd.weight", {16, 10}, 0, f32_bytes(160));
  }
  TemporaryFolder folder_;
};

std::string name_in(const char* family, const char* gguf) {
  return gguf_naming(*find_architecture(family))(gguf).name;
}

TEST(GgufNames, AreTheRowsOwn) {
  EXPECT_EQ(name_in("llama", "blk.3.attn_q.weight"), "model.layers.3.self_attn.q_proj.weight");
  EXPECT_EQ(name_in("llama", "blk.12.ffn_down.bias"), "model.layers.12.mlp.down_proj.bias");
  EXPECT_EQ(name_in("llama", "output.weight"), "lm_head.weight");
  EXPECT_EQ(name_in("gpt2", "blk.0.attn_qkv.bias"), "transformer.h.0.attn.c_attn.bias");
  EXPECT_EQ(name_in("gpt2", "position_embd.weight"), "transformer.wpe.weight");
  for (const char* other : {"blk.attn_q.weight", "blk..attn_q.weight", "blk.x.attn_q.weight", "blk.3.attn_q",
                            "blk.3.new.weight", "attn_q.weight", "blk.3.output.weight", ".weight", ""})
    EXPECT_EQ(name_in("llama", other), other);
  EXPECT_EQ(name_in("llama", "rope_freqs.weight"), "");
}

TEST(GgufNames, ChangesAreThoseOfTheConverter) {
  const auto change = [](const char* family, const char* gguf) {
    return gguf_naming(*find_architecture(family))(gguf).change;
  };
  EXPECT_EQ(change("llama", "blk.0.attn_q.weight"), RowChange::kPermutedQuery);
  EXPECT_EQ(change("llama", "blk.0.attn_k.bias"), RowChange::kPermutedKey);
  EXPECT_EQ(change("llama", "blk.0.attn_v.weight"), RowChange::kNone);
  EXPECT_EQ(change("qwen2", "blk.0.attn_q.weight"), RowChange::kNone);
  EXPECT_EQ(change("gpt2", "blk.0.ffn_up.weight"), RowChange::kTransposed);
  EXPECT_EQ(change("gpt2", "blk.0.ffn_up.bias"), RowChange::kNone);
  EXPECT_EQ(change("gpt2", "blk.0.ffn_norm.weight"), RowChange::kNone);
  EXPECT_EQ(change("gpt2", "token_embd.weight"), RowChange::kNone);
}

/// Every row that llama.cpp has a name for: all tensors its models must have get their own names back.
TEST(GgufNames, EveryTensorOfEveryRowIsReached) {
  for (const ArchitectureSpec& row : architectures()) {
    if (row.gguf.architecture.empty()) continue;
    const TensorNames& names = row.names;
    std::vector<std::string> reached;
    const TensorNaming naming = gguf_naming(row);
    const std::string_view prefix = row.causal ? names.prefixes.front() : names.prefixes.back();
    for (const char* part : {"token_embd", "position_embd", "token_embd_norm", "output_norm", "output"})
      reached.push_back(naming(std::string(part) + ".weight").name);
    for (const char* part :
         {"attn_norm", "post_attention_norm", "attn_q", "attn_k", "attn_v", "attn_qkv", "attn_q_norm",
          "attn_k_norm", "attn_output", "ffn_norm", "post_ffw_norm", "ffn_gate", "ffn_up", "ffn_down"})
      reached.push_back(naming("blk.7." + std::string(part) + ".weight").name);
    for (const GgufException& part : row.gguf.exceptions)
      reached.push_back(naming("blk.7." + std::string(part.gguf) + ".weight").name);
    for (const std::string_view own :
         {names.embedding, names.position_embedding, names.attention_norm, names.query, names.key,
          names.value, names.fused_qkv, names.attention_output, names.ffn_norm, names.gate, names.up,
          names.down, names.final_norm})
      if (!own.empty()) {
        EXPECT_THAT(reached, testing::Contains(tensor_name(prefix, own, 7))) << row.name;
      }
  }
}

TEST_F(GgufModel, SettingsAreReadFromTheMetadata) {
  const ModelConfig config = config_of(llama_file()
                                           .number("llama.rope.freq_base", 500000)
                                           .integer("llama.attention.key_length", 10)
                                           .integer("llama.rope.dimension_count", 6)
                                           .text("llama.rope.scaling.type", "linear")
                                           .number("llama.rope.scaling.factor", 4)
                                           .integer("tokenizer.ggml.bos_token_id", 3));
  EXPECT_EQ(config.architecture->name, "llama");
  EXPECT_EQ(config.hidden_size, 16);
  EXPECT_EQ(config.layers, 1);
  EXPECT_EQ(config.heads, 2);
  EXPECT_EQ(config.kv_heads, 1);
  EXPECT_EQ(config.head_dim, 10);
  EXPECT_EQ(config.rotary_dim, 6);
  EXPECT_EQ(config.ffn_size, 24);
  EXPECT_EQ(config.vocab_size, 10);
  EXPECT_EQ(config.max_positions, 64);
  EXPECT_THAT(config.norm_eps, DoubleNear(1e-5, 1e-12));
  EXPECT_EQ(config.rope_base, 500000);
  EXPECT_EQ(config.rope_scaling.kind, RopeScaling::Kind::kLinear);
  EXPECT_EQ(config.rope_scaling.factor, 4);
  EXPECT_EQ(config.bos_token, 3);
  EXPECT_TRUE(config.tied_embeddings);
  EXPECT_FALSE(config_of(llama_file().tensor("output.weight", {16, 10}, 0, f32_bytes(160))).tied_embeddings);
}

/// One head of two layers and more, of an architecture with windows.
GgufFile windowed_file(const std::string& architecture, std::uint32_t layers, std::uint32_t window) {
  const std::string key = architecture + ".";
  return GgufFile(architecture)
      .integer(key + "embedding_length", 16)
      .integer(key + "block_count", layers)
      .integer(key + "attention.head_count", 2)
      .integer(key + "feed_forward_length", 24)
      .integer(key + "context_length", 64)
      .number(key + "attention.layer_norm_rms_epsilon", 1e-5f)
      .integer(key + "attention.sliding_window", window)
      .tensor("token_embd.weight", {16, 10}, 0, f32_bytes(160));
}

/// llama.cpp's converter writes 0 for Phi-3's successors without a window.
TEST_F(GgufModel, WindowOfZeroIsNone) {
  EXPECT_EQ(config_of(windowed_file("phi3", 1, 0)).window_of(0), 0);
  EXPECT_EQ(config_of(windowed_file("phi3", 1, 7)).window_of(0), 7);
}

TEST_F(GgufModel, WindowedLayersAreTheFilesOwnElseTheFamilys) {
  const auto windows = [&](const GgufFile& file) { return config_of(file).layer_is_windowed; };
  const std::string key = "gemma2.attention.sliding_window_pattern";
  EXPECT_THAT(windows(windowed_file("gemma2", 4, 7)), ElementsAre(true, false, true, false));
  EXPECT_THAT(windows(windowed_file("gemma2", 4, 7).integer(key, 3)), ElementsAre(true, true, false, true));
  EXPECT_THAT(windows(windowed_file("gemma2", 4, 7).integers(key, {0, 1, 1, 0})),
              ElementsAre(false, true, true, false));
  EXPECT_THAT(refusal(windowed_file("gemma2", 4, 7).integers(key, {0, 1})),
              HasSubstr("expected: a list of 4 entries"));
}

TEST_F(GgufModel, RotaryFactorsAreSettings) {
  const ModelConfig config =
      config_of(llama_file().tensor("rope_freqs.weight", {4}, 0, f32_bytes(5).substr(4)));
  EXPECT_EQ(config.rope_scaling.kind, RopeScaling::Kind::kFactors);
  EXPECT_THAT(config.rope_scaling.factors, ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(refusal(llama_file().tensor("rope_freqs.weight", {3}, 0, f32_bytes(3))),
              AllOf(HasSubstr("rope_freqs.weight"), HasSubstr("expected: 4")));
  EXPECT_THAT(refusal(llama_file().tensor("rope_freqs.weight", {4}, 0, f32_bytes(4))),
              HasSubstr("no number above 0"));
}

TEST_F(GgufModel, ExpertsInOneTensorAreEachTheirOwn) {
  const auto mixture = [] {
    return llama_file()
        .integer("llama.expert_count", 2)
        .integer("llama.expert_used_count", 1)
        .tensor("blk.0.ffn_gate_inp.weight", {16, 2}, 0, f32_bytes(32));
  };
  const ModelFiles files =
      open_model_files(write(mixture().tensor("blk.0.ffn_up_exps.weight", {16, 24, 2}, 0, f32_bytes(768))));
  EXPECT_EQ(files.config.architecture->name, "mixtral");
  EXPECT_EQ(files.config.experts.experts, 2);
  const Tensor second = *files.checkpoint->find("model.layers.0.block_sparse_moe.experts.1.w3.weight");
  EXPECT_THAT(second.shape, ElementsAre(24, 16));
  EXPECT_EQ(to_f32(second).front(), 384);
  EXPECT_THAT(refusal(mixture().tensor("blk.0.ffn_up_exps.weight", {16}, 0, f32_bytes(16))),
              AllOf(HasSubstr("blk.0.ffn_up_exps.weight"), HasSubstr("tensor of several has another shape")));
}

TEST_F(GgufModel, WhatIsNoModelIsRefusedByName) {
  EXPECT_THAT(refusal(GgufFile("mamba").tensor("t", {1}, 0, f32_bytes(1))),
              AllOf(HasSubstr("architecture"), HasSubstr("got: mamba"), HasSubstr("llama, qwen2, qwen3")));
  EXPECT_THAT(refusal(GgufFile("llama").tensor("t", {1}, 0, f32_bytes(1))), HasSubstr("hidden_size"));
  EXPECT_THAT(refusal(llama_file()), AllOf(HasSubstr("tensor missing"), HasSubstr("m.gguf")));
  write(llama_file(), "other.gguf");
  EXPECT_THAT(bad_input_message([&] { Model::open(folder_.path()); }),
              AllOf(HasSubstr("several GGUF models"), HasSubstr("m.gguf, other.gguf")));
}

/// Every tensor of a model written as GGUF is, bit by bit, the one it was written from.
class SameWeights : public testing::TestWithParam<const char*> {};

TEST_P(SameWeights, GgufGivesTheTensorsOfTheFamilysOwnFiles) {
  const TemporaryFolder folder;
  const ModelConfig config = parse_config(GetParam(), "config.json");
  const std::vector<Tensor> tensors = tensors_of(GetParam(), config.architecture->names.prefixes.front());
  write_model(folder.path(), GetParam(), tensors);
  const Model own = Model::open(folder.path());
  for (const std::uint32_t version : {2u, 3u}) {
    write_file(folder / "other.gguf", gguf_of(own.config(), own.checkpoint()).bytes(version));
    const Model read = Model::open(folder / "other.gguf");
    EXPECT_EQ(read.checkpoint().names(), own.checkpoint().names());
    for (const Tensor& tensor : tensors)
      EXPECT_EQ(to_f32(*read.checkpoint().find(tensor.name)), to_f32(tensor)) << tensor.name;
    EXPECT_EQ(read.config().architecture, own.config().architecture);
    EXPECT_EQ(read.config().head_dim, own.config().head_dim);
    EXPECT_EQ(read.config().rotary_dim, own.config().rotary_dim);
    EXPECT_EQ(read.config().tied_embeddings, own.config().tied_embeddings);
    EXPECT_EQ(read.config().max_positions, own.config().max_positions);
    const Inspection inspection = inspect_model(folder / "other.gguf");
    EXPECT_TRUE(inspection.usable());
    EXPECT_THAT(inspection.unknown, IsEmpty());
    EXPECT_THAT(inspection.tokenizer_files, ElementsAre("other.gguf"));
  }
}

INSTANTIATE_TEST_SUITE_P(Families, SameWeights, testing::Values(kLlama, kQwen2, kGpt2));

}  // namespace
}  // namespace defectoscope
