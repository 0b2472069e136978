// Every family that llama.cpp has, from a GGUF file: the goldens' weights under the names of the gguf
// package's own tensor map (tools/golden_gguf_names.py), changed as its converter changes them, give the
// goldens' states.

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "base/files.h"
#include "checkpoint/test_gguf.h"
#include "forward/golden.h"
#include "model/inspect.h"
#include "model/test_gguf_model.h"

namespace defectoscope {
namespace {

using nlohmann::json;
using testing_gguf::GgufFile;

const json& name_map() {
  static const json kMap =
      json::parse(read_file(DEFECTOSCOPE_SOURCE_DIR "/src/model/testdata/gguf_names.json"));
  return kMap;
}

std::vector<std::string> mapped_goldens() {
  std::vector<std::string> names;
  for (const auto& [name, entry] : name_map().items()) names.push_back(name);
  return names;
}

/// f32 values with their shape, outermost first.
struct Values {
  std::vector<Index> shape;
  std::string bytes;

  Index rows() const { return shape.front(); }
  std::size_t row_bytes() const { return bytes.size() / static_cast<std::size_t>(rows()); }
  std::string row(Index r) const {
    return bytes.substr(static_cast<std::size_t>(r) * row_bytes(), row_bytes());
  }
};

Values values_of(const GeneratedTensor& tensor, std::uint64_t seed) {
  Index count = 1;
  for (const Index size : tensor.shape) count *= size;
  std::vector<float> values(static_cast<std::size_t>(count));
  generate_values(seed, tensor, 0, values);
  return {tensor.shape,
          std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float))};
}

/// What the converter of each architecture does beside naming.
class Converter {
 public:
  explicit Converter(const Golden& golden)
      : golden_(golden),
        architecture_(name_map()[golden.name]["architecture"]),
        names_(name_map()[golden.name]["names"]),
        json_(json::parse(golden.config_json)),
        config_(parse_config(golden.config_json, golden.name)),
        file_(architecture_) {}

  GgufFile file() {
    sizes();
    positions();
    experts();
    others();
    for (const GeneratedTensor& tensor : golden_.tensors) convert(tensor);
    for (const auto& [name, parts] : stacks_) {
      Values all{parts.front().shape, {}};
      all.shape.insert(all.shape.begin(), std::ssize(parts));
      for (const Values& part : parts) all.bytes += part.bytes;
      write(name, all);
    }
    return file_;
  }

 private:
  bool is(std::initializer_list<std::string_view> architectures) const {
    return std::ranges::find(architectures, architecture_) != architectures.end();
  }
  std::string key(const std::string& name) const { return architecture_ + "." + name; }
  void integer(const std::string& name, Index value) {
    file_.integer(key(name), static_cast<std::uint32_t>(value));
  }
  void number(const std::string& name, double value) { file_.number(key(name), static_cast<float>(value)); }

  void sizes() {
    integer("embedding_length", config_.hidden_size);
    integer("block_count", config_.layers);
    integer("attention.head_count", config_.heads);
    integer("feed_forward_length", config_.ffn_size);
    integer("context_length", config_.max_positions);
    if (architecture_ != "deepseek2") {
      integer("attention.head_count_kv", config_.kv_heads);
      integer("attention.key_length", config_.head_dim);
    } else {  // as llama.cpp computes: one key and value of the latent's length
      integer("attention.head_count_kv", 1);
      integer("attention.key_length", config_.kv_latent + config_.rotary_dim);
      integer("attention.value_length", config_.kv_latent);
      integer("attention.key_length_mla", config_.head_dim);
      integer("attention.value_length_mla", config_.value_head_dim());
      integer("attention.kv_lora_rank", config_.kv_latent);
      if (config_.query_latent > 0) integer("attention.q_lora_rank", config_.query_latent);
    }
    const bool rms = config_.architecture->norm == NormKind::kRmsNorm;
    number(rms ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon", config_.norm_eps);
    if (is({"phi3", "gemma2", "gemma3", "cohere2", "gpt-oss"}))
      if (config_.sliding_window > 0) integer("attention.sliding_window", config_.sliding_window);
  }

  void positions() {
    if (config_.rotary_dim == 0) return;
    number("rope.freq_base", config_.rope_base);
    integer("rope.dimension_count", config_.rotary_dim);
    const json scaling = json_.value("rope_scaling", json::object());
    const std::string kind = scaling.value("rope_type", "");
    if (kind == "linear" || kind == "yarn") {
      file_.text(key("rope.scaling.type"), kind);
      number("rope.scaling.factor", scaling["factor"]);
    }
    if (scaling.contains("original_max_position_embeddings"))
      integer("rope.scaling.original_context_length", scaling["original_max_position_embeddings"]);
    if (scaling.contains("mscale_all_dim"))
      number("rope.scaling.yarn_log_multiplier", 0.1 * scaling["mscale_all_dim"].get<double>());
    if (kind != "longrope") return;
    for (const char* which : {"long", "short"}) {
      const std::vector<float> factors = scaling[std::string(which) + "_factor"];
      file_.tensor("rope_factors_" + std::string(which) + ".weight", {std::ssize(factors)}, 0,
                   {reinterpret_cast<const char*>(factors.data()), factors.size() * sizeof(float)});
    }
  }

  void experts() {
    const ExpertConfig& experts = config_.experts;
    if (experts.experts == 0) return;
    integer("expert_count", experts.experts);
    integer("expert_used_count", experts.chosen);
    if (is({"qwen2moe", "qwen3moe", "deepseek2", "gpt-oss"}))
      integer("expert_feed_forward_length", experts.ffn_size);
    if (is({"qwen2moe"})) integer("expert_shared_feed_forward_length", experts.shared_ffn_size);
    if (!is({"deepseek2"})) return;
    integer("leading_dense_block_count", json_["first_k_dense_replace"]);
    integer("expert_shared_count", json_["n_shared_experts"]);
    integer("expert_group_count", experts.groups);
    integer("expert_group_used_count", experts.chosen_groups);
    number("expert_weights_scale", experts.scale);
    flag("expert_weights_norm", experts.normalized);
    integer("expert_gating_func", config_.architecture->name == "deepseek_v3" ? 2 : 1);
  }

  void others() {
    if (is({"stablelm", "gptneox"})) flag("use_parallel_residual", json_["use_parallel_residual"]);
    if (is({"granite"})) {
      number("embedding_scale", json_["embedding_multiplier"]);
      number("residual_scale", json_["residual_multiplier"]);
      number("attention.scale", json_["attention_multiplier"]);
      number("logit_scale", json_["logits_scaling"]);
    }
    if (is({"command-r", "cohere2"})) number("logit_scale", json_["logit_scale"]);
    if (is({"olmo"})) number("attention.clamp_kqv", json_["clip_qkv"]);
    if (is({"gemma2"})) {
      number("attn_logit_softcapping", json_["attn_logit_softcapping"]);
      number("final_logit_softcapping", json_["final_logit_softcapping"]);
    }
  }

  void flag(const std::string& name, bool value) { file_.flag(key(name), value); }

  /// The map's name of an own one without its end; what the converter names itself where the map has none.
  std::string gguf_name(const std::string& pattern) const {
    if (const auto found = names_.find(pattern); found != names_.end()) return *found;
    static const std::map<std::string, std::string> kOwn = {
        {"model.layers.{}.self_attn.q_layernorm.norms.{e}", "blk.{}.attn_q_norm"},
        {"model.layers.{}.self_attn.k_layernorm.norms.{e}", "blk.{}.attn_k_norm"},
        {"model.layers.{}.mlp.gate.e_score_correction_bias", "blk.{}.exp_probs_b"},
        {"model.layers.{}.mlp.experts.down_proj_bias", "blk.{}.ffn_down_exps"},
        // Qwen2-MoE with dense layers between, of which llama.cpp makes nothing.
        {"model.layers.{}.mlp.gate_proj", "blk.{}.ffn_gate"},
        {"model.layers.{}.mlp.up_proj", "blk.{}.ffn_up"},
        {"model.layers.{}.mlp.down_proj", "blk.{}.ffn_down"}};
    const auto found = kOwn.find(pattern);
    return found == kOwn.end() ? "" : found->second;
  }

  void convert(const GeneratedTensor& tensor) {
    std::string stem = tensor.name, end = ".weight";
    for (const std::string suffix : {".weight", ".bias"})
      if (stem.ends_with(suffix)) stem.resize(stem.size() - suffix.size()), end = suffix;
    if (stem.ends_with("_bias")) end = ".bias";
    std::smatch match;
    std::string layer, pattern = stem;
    if (std::regex_search(stem, match, std::regex(R"(\.(\d+)\.)"))) {
      layer = match[1];
      pattern = match.prefix().str() + ".{}." + match.suffix().str();
    }
    const std::string before = pattern;
    pattern = std::regex_replace(pattern, std::regex(R"((experts|norms)\.\d+)"), "$1.{e}");
    Values values = values_of(tensor, golden_.seed);
    if (architecture_ == "gpt-oss" && pattern.find("mlp.experts.gate_up_proj") != pattern.npos)
      return alternating(layer, values, end);
    if (config_.architecture->name == "deepseek_v3" && pattern.ends_with("kv_b_proj"))
      return parted("blk." + layer, values);
    std::string name = gguf_name(pattern);
    if (name.empty()) {
      ASSERT_FALSE(config_.causal) << tensor.name;  // an encoder's head
      return;
    }
    if (const std::size_t at = name.find("{}"); at != name.npos) name.replace(at, 2, layer);
    change(pattern, end, values);
    if (name == "position_embd") cut_first_rows(values);
    if (pattern != before)
      stacks_[name + end].push_back(values);
    else
      write(name + end, values);
  }

  void change(const std::string& pattern, const std::string& end, Values& values) const {
    using namespace testing_models::gguf_writer;
    if (is({"llama", "granite", "smollm3", "olmo"})) {
      if (pattern.ends_with("q_proj")) values.bytes = permuted(values.bytes, config_.heads, values.rows());
      if (pattern.ends_with("k_proj")) values.bytes = permuted(values.bytes, config_.kv_heads, values.rows());
    }
    if (is({"gemma", "gemma2", "gemma3"}) && pattern.ends_with("norm"))
      for (std::size_t i = 0; i < values.bytes.size(); i += sizeof(float)) {
        float gain = 0;
        std::memcpy(&gain, &values.bytes[i], sizeof gain);
        gain += 1;
        std::memcpy(&values.bytes[i], &gain, sizeof gain);
      }
    if (is({"bloom", "gptneox", "falcon"}) && pattern.ends_with("query_key_value")) regroup(values);
    const bool conv1d = std::regex_search(pattern, std::regex("c_(attn|proj|fc)$"));
    if (is({"gpt2"}) && conv1d && end == ".weight") transpose(values);
    if (is({"gpt-oss"}) && pattern.ends_with("experts.down_proj")) transpose_each(values);
  }

  /// reshape(kv_heads, heads / kv_heads + 2, head_dim, …), then all queries, all keys, all values.
  void regroup(Values& values) const {
    const Index queries = config_.heads / config_.kv_heads, group = queries + 2;
    std::string out;
    const auto take = [&](Index first, Index count) {
      for (Index g = 0; g < config_.kv_heads; ++g)
        for (Index r = 0; r < count * config_.head_dim; ++r)
          out += values.row((g * group + first) * config_.head_dim + r);
    };
    take(0, queries);
    take(queries, 1);
    take(queries + 1, 1);
    values.bytes = out;
  }

  /// RoBERTa's rows of the padding token and before it.
  void cut_first_rows(Values& values) const {
    const Index offset = config_.architecture->position_offset;
    values.bytes.erase(0, static_cast<std::size_t>(offset) * values.row_bytes());
    values.shape[0] -= offset;
  }

  static void transpose(Values& values) {
    values.bytes = testing_models::gguf_writer::transposed(values.bytes, values.shape[0], values.shape[1]);
    std::swap(values.shape[0], values.shape[1]);
  }
  static void transpose_each(Values& values) {
    std::string out;
    for (Index e = 0; e < values.rows(); ++e)
      out += testing_models::gguf_writer::transposed(values.row(e), values.shape[1], values.shape[2]);
    values.bytes = out;
    std::swap(values.shape[1], values.shape[2]);
  }

  /// Newer files' [heads, latent, key] and [heads, value, latent]; older ones keep kv_b.
  void parted(const std::string& layer, const Values& values) {
    const Index size = config_.head_dim - config_.rotary_dim, value = config_.value_head_dim();
    Values keys{{config_.heads, size, values.shape[1]}, {}},
        rest{{config_.heads, value, values.shape[1]}, {}};
    for (Index row = 0; row < values.rows(); ++row)
      (row % (size + value) < size ? keys : rest).bytes += values.row(row);
    transpose_each(keys);
    write(layer + ".attn_k_b.weight", keys);
    write(layer + ".attn_v_b.weight", rest);
  }

  /// gpt-oss: [experts, d, 2 · ffn] or [experts, 2 · ffn], gates and ups by turns, to two tensors.
  void alternating(const std::string& layer, Values values, const std::string& end) {
    if (values.shape.size() == 3) transpose_each(values);
    const Index experts = values.shape[0], width = values.shape[1];
    const std::size_t size = values.bytes.size() / static_cast<std::size_t>(experts * width);
    for (const Index which : {Index{0}, Index{1}}) {
      Values half{values.shape, {}};
      half.shape[1] = width / 2;
      for (Index row = which; row < experts * width; row += 2)
        half.bytes += values.bytes.substr(static_cast<std::size_t>(row) * size, size);
      write("blk." + layer + (which == 0 ? ".ffn_gate_exps" : ".ffn_up_exps") + end, half);
    }
  }

  void write(const std::string& name, const Values& values) {
    file_.tensor(name, {values.shape.rbegin(), values.shape.rend()}, 0, values.bytes);
  }

  const Golden& golden_;
  std::string architecture_;
  json names_, json_;
  ModelConfig config_;
  GgufFile file_;
  std::map<std::string, std::vector<Values>> stacks_;
};

/// What llama.cpp's files do not say and its program decides for itself, or does not compute.
void add_unsaid(const std::string& name, const ModelConfig& own, ModelConfig& config) {
  static const std::set<std::string> kWindows = {"qwen2", "starcoder2", "mixtral", "gemma3", "cohere2"};
  if (kWindows.contains(name)) {
    config.sliding_window = own.sliding_window;
    config.layer_is_windowed = own.layer_is_windowed;
  }
  if (name == "cohere2" || name == "smollm3") config.layer_is_rotary = own.layer_is_rotary;
  if (name == "gemma2" || name == "gemma3") config.attention_scale = own.attention_scale;
}

class GgufGolden : public ::testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(Families, GgufGolden, ::testing::ValuesIn(mapped_goldens()),
                         [](const auto& param_info) { return param_info.param; });

TEST_P(GgufGolden, StatesAndLogitsAgreeWithTransformers) {
  const Golden golden = read_golden(GetParam());
  const std::filesystem::path path =
      std::filesystem::path(::testing::TempDir()) / (golden.name + std::to_string(::getpid()) + ".gguf");
  write_file(path, Converter(golden).file().bytes());
  const Inspection inspection = inspect_model(path);
  EXPECT_TRUE(inspection.usable());
  EXPECT_TRUE(inspection.unknown.empty()) << inspection.unknown.front();
  ModelFiles files = open_model_files(path);
  std::filesystem::remove(path);  // the map stays
  const ModelConfig own = parse_config(golden.config_json, golden.name);
  EXPECT_EQ(files.config.architecture,
            golden.name == "roberta" ? find_architecture("bert") : own.architecture);
  add_unsaid(golden.name, own, files.config);
  const Model model(files.config, files.checkpoint, path);
  const Transformer transformer(model);
  for (std::size_t i = 0; i < golden.sequences.size(); ++i) {
    const std::vector<Matrix> states = transformer.hidden_states(golden.sequences[i]);
    ASSERT_EQ(states.size(), golden.hidden[i].size());
    for (std::size_t layer = 0; layer < states.size(); ++layer)
      EXPECT_LT(relative_error(states[layer], golden.hidden[i][layer]), 1e-5) << "layer " << layer;
    if (!model.config().causal) continue;  // bodies alone
    Matrix logits(states.back().rows(), golden.logits[i].cols());
    transformer.logits(states.back(), logits);
    EXPECT_LT(relative_error(logits, golden.logits[i]), 1e-5);
  }
}

TEST(GgufGolden, EveryArchitectureOfTheTableHasOne) {
  std::set<std::string> covered;
  for (const auto& [name, entry] : name_map().items()) covered.insert(entry["architecture"]);
  for (const ArchitectureSpec& row : architectures())
    if (!row.gguf.architecture.empty()) {
      EXPECT_TRUE(covered.contains(std::string(row.gguf.architecture))) << row.gguf.architecture;
    }
}

}  // namespace
}  // namespace defectoscope
