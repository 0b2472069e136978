#include "checkpoint/adapter.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <regex>

#include "base/error.h"
#include "base/files.h"
#include "base/parallel.h"
#include "checkpoint/pytorch_bin.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/strict_json.h"
#include "checkpoint/tensor_set.h"

namespace defectoscope {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kConfigName = "adapter_config.json";
constexpr std::string_view kPrefix = "base_model.model.";
constexpr std::string_view kBaseLayer = ".base_layer";
constexpr Index kMergedRowsAtOnce = 16;

/// What adapter_config.json says.
class Settings {
 public:
  explicit Settings(const fs::path& folder) : file_((folder / kConfigName).string()) {
    values_ = parse_strict_json(read_file(folder / kConfigName), file_);
    const std::string type = values_.value("peft_type", "");
    if (type != "LORA") fail("peft_type", "LORA", type.empty() ? "none" : shortened(type));
    for (const char* key : {"use_dora", "use_qalora", "lora_bias"})
      if (values_.contains(key) && values_[key] == true) fail(key, "false", "true");
    by_root_ = values_.contains("use_rslora") && values_["use_rslora"] == true;
    transposed_ = values_.contains("fan_in_fan_out") && values_["fan_in_fan_out"] == true;
    alpha_ = number("lora_alpha");
    rank_ = number("r");
  }

  bool transposed() const { return transposed_; }
  /// s for a module, whose matrices have that rank.
  double scale(const std::string& module, Index rank) const {
    const double wanted = pattern("rank_pattern", module).value_or(rank_);
    if (wanted != static_cast<double>(rank))
      fail("r", std::to_string(rank) + " rows of lora_A", std::to_string(wanted) + " for " + module);
    const double alpha = pattern("alpha_pattern", module).value_or(alpha_);
    return alpha / (by_root_ ? std::sqrt(wanted) : wanted);
  }

 private:
  [[noreturn]] void fail(const std::string& key, const std::string& expected, const std::string& got) const {
    throw_bad_input({.what = "adapter cannot be merged",
                     .file = file_,
                     .tensor = key,
                     .expected = expected,
                     .got = got,
                     .hint = "merge it with PEFT (merge_and_unload) and give the merged model"});
  }
  double number(const char* key) const {
    const auto found = values_.find(key);
    if (found == values_.end() || !found->is_number() || !(found->get<double>() > 0))
      fail(key, "a number above 0", found == values_.end() ? "none" : shortened(found->dump()));
    return found->get<double>();
  }
  /// The first entry whose key, an expression, is the module's name or its end behind a dot.
  std::optional<double> pattern(const char* key, const std::string& module) const {
    const auto found = values_.find(key);
    if (found == values_.end() || !found->is_object()) return std::nullopt;
    for (const auto& [name, value] : found->items()) {
      bool matches = false;
      try {
        matches = std::regex_match(module, std::regex("(.*\\.)?(" + name + ")"));
      } catch (const std::regex_error&) {
        fail(key, "expressions", shortened(name));
      }
      if (!matches) continue;
      if (!value.is_number() || !(value.get<double>() > 0))
        fail(key, "numbers above 0", shortened(value.dump()));
      return value.get<double>();
    }
    return std::nullopt;
  }

  std::string file_;
  json values_;
  double alpha_ = 0, rank_ = 0;
  bool by_root_ = false, transposed_ = false;
};

std::shared_ptr<const TensorSet> open_weights(const fs::path& folder) {
  auto set = std::make_shared<TensorSet>();
  const fs::path file = folder / "adapter_model.safetensors", older = folder / "adapter_model.bin";
  if (fs::exists(file)) {
    set->begin_file(file);
    const auto opened = SafetensorsFile::open(file);
    for (const auto& [name, tensor] : opened->tensors()) set->add(tensor);
  } else if (fs::exists(older)) {
    add_pytorch_bin(older, *set);
  } else {
    throw_bad_input({.what = "no adapter in the folder",
                     .file = folder.string(),
                     .expected = "adapter_config.json beside adapter_model.safetensors or adapter_model.bin",
                     .got = "no adapter_model"});
  }
  set->finish();
  return set;
}

/// The two factors of one module: `down` [r, in], `up` [out, r].
struct Factors {
  Tensor down, up;
  double scale = 1;
  bool transposed = false;  ///< W is stored [in, out]
};

/// out = W + s · up · down, row by row of W as it is stored.
void merge(const Tensor& weight, const Factors& factors, std::byte* out) {
  std::vector<float> values = to_f32(weight), down = to_f32(factors.down), up = to_f32(factors.up);
  const Index rows = weight.shape[0], cols = weight.shape[1], rank = factors.down.shape[0];
  // Row i of the change is Σ_k left(i, k) · right(k, ·).
  const auto left = [&](Index i, Index k) {
    const Index at = factors.transposed ? k * rows + i : i * rank + k;
    return static_cast<double>((factors.transposed ? down : up)[static_cast<std::size_t>(at)]);
  };
  const auto right = [&](Index k, Index j) {
    const Index at = factors.transposed ? j * rank + k : k * cols + j;
    return static_cast<double>((factors.transposed ? up : down)[static_cast<std::size_t>(at)]);
  };
  parallel_ranges(rows, kMergedRowsAtOnce, [&](Index begin, Index end) {
    std::vector<double> change(static_cast<std::size_t>(cols));
    for (Index i = begin; i < end; ++i) {
      std::ranges::fill(change, 0.0);
      for (Index k = 0; k < rank; ++k) {
        const double factor = factors.scale * left(i, k);
        for (Index j = 0; j < cols; ++j) change[static_cast<std::size_t>(j)] += factor * right(k, j);
      }
      float* row = values.data() + i * cols;
      for (Index j = 0; j < cols; ++j)
        row[j] = static_cast<float>(static_cast<double>(row[j]) + change[static_cast<std::size_t>(j)]);
    }
  });
  std::memcpy(out, values.data(), values.size() * sizeof(float));
}

class Merger {
 public:
  Merger(std::shared_ptr<const Checkpoint> base, const fs::path& folder)
      : base_(std::move(base)), folder_(folder), settings_(folder), adapter_(open_weights(folder)) {}

  std::shared_ptr<const Checkpoint> merged() {
    for (const std::string& name : adapter_->names()) take(name);
    auto set = std::make_shared<TensorSet>();
    for (const fs::path& file : base_->files()) {
      set->begin_file(file);
      for (const std::string& name : base_->names())
        if (base_->file_of(name) == file) add(name, *set);
    }
    set->begin_file(adapter_->files().front());  // whose bytes count, though its tensors stand in for others
    set->finish();
    return set;
  }

 private:
  [[noreturn]] void fail(const std::string& name, const std::string& what, const std::string& expected,
                         const std::string& got) const {
    throw_bad_input({.what = what,
                     .file = adapter_->files().front().string(),
                     .tensor = name,
                     .expected = expected,
                     .got = got,
                     .hint = "the adapter may be of another base model"});
  }

  void take(const std::string& name) {
    std::string own = name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : name;
    for (const std::string_view factor : {".lora_A.weight", ".lora_embedding_A"})
      if (own.ends_with(factor)) return pair(name, own.substr(0, own.size() - factor.size()), factor);
    for (const std::string_view factor : {".lora_B.weight", ".lora_embedding_B"})
      if (own.ends_with(factor)) {
        std::string first = name;
        first[first.rfind('B')] = 'A';
        if (!adapter_->describe(first)) fail(name, "adapter has half of a pair", first, "none of that name");
        return;
      }
    // Embeddings are saved whole beside their factors.
    if (const auto at = own.find(kBaseLayer); at != own.npos) own.erase(at, kBaseLayer.size());
    Tensor tensor = *adapter_->find(name);
    expect_base(name, own, tensor.shape);
    tensor.name = own;
    replaced_.emplace(own, std::move(tensor));
  }

  void pair(const std::string& name, const std::string& module, std::string_view factor) {
    std::string second = name;
    second[second.rfind('A')] = 'B';
    const auto up = adapter_->find(second);
    if (!up) fail(name, "adapter has half of a pair", second, "none of that name");
    Factors factors{*adapter_->find(name), *up};
    if (factors.down.shape.size() != 2 || up->shape.size() != 2 || factors.down.shape[0] != up->shape[1])
      fail(name, "adapter's factors do not fit each other", "[r, in] and [out, r]",
           shape_text(factors.down.shape) + " and " + shape_text(up->shape));
    factors.scale = settings_.scale(module, factors.down.shape[0]);
    // An embedding is stored [vocabulary, d], its factors as [r, vocabulary] and [d, r].
    factors.transposed = settings_.transposed() || factor == ".lora_embedding_A";
    std::vector<Index> shape{up->shape[0], factors.down.shape[1]};
    if (factors.transposed) std::swap(shape[0], shape[1]);
    expect_base(name, module + ".weight", shape);
    factors_.emplace(module + ".weight", std::move(factors));
  }

  void expect_base(const std::string& name, const std::string& own, const std::vector<Index>& shape) const {
    const auto found = base_->describe(own);
    if (!found) fail(name, "adapter changes a tensor that the model lacks", own, "none of that name");
    if (found->shape != shape)
      fail(name, "adapter does not fit the model", own + " " + shape_text(shape), shape_text(found->shape));
  }

  void add(const std::string& name, TensorSet& set) const {
    const auto replaced = replaced_.find(name);
    const auto found = factors_.find(name);
    if (found == factors_.end()) {
      if (replaced == replaced_.end())
        set.add_from(base_, name, name);
      else
        set.add(replaced->second);
      return;
    }
    const auto whole = [base = base_, name, own = replaced == replaced_.end() ? Tensor{} : replaced->second] {
      return own.defined() ? own : *base->find(name);
    };
    Tensor merged = *base_->describe(name);
    merged.dtype = DType::kF32;
    merged.data = nullptr;
    merged.owner = nullptr;
    StoredTensor stored = *base_->stored(name);
    for (const Tensor* factor : {&found->second.down, &found->second.up})
      stored.scales.emplace_back(factor->data, static_cast<std::size_t>(factor->bytes()));
    set.add_made(merged, std::move(stored),
                 [whole, factors = found->second](std::byte* out) { merge(whole(), factors, out); });
  }

  std::shared_ptr<const Checkpoint> base_;
  fs::path folder_;
  Settings settings_;
  std::shared_ptr<const TensorSet> adapter_;
  std::map<std::string, Factors> factors_;  ///< by the base's name
  std::map<std::string, Tensor> replaced_;
};

}  // namespace

std::shared_ptr<const Checkpoint> with_adapter(std::shared_ptr<const Checkpoint> base,
                                               const fs::path& folder) {
  return Merger(std::move(base), folder).merged();
}

}  // namespace defectoscope
