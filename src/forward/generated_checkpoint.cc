#include "forward/generated_checkpoint.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/files.h"
#include "base/parallel.h"
#include "base/random.h"
#include "checkpoint/safetensors.h"

namespace defectoscope {
namespace {

Index count_of(const GeneratedTensor& tensor) {
  Index count = 1;
  for (const Index size : tensor.shape) count *= size;
  return count;
}

Tensor make_tensor(const GeneratedTensor& tensor, std::uint64_t seed, DType dtype) {
  const Index count = count_of(tensor);
  auto bytes = std::make_shared<std::vector<std::byte>>(static_cast<std::size_t>(count * dtype_size(dtype)));
  parallel_ranges(count, Index{1} << 16, [&](Index begin, Index end) {
    std::vector<float> values(static_cast<std::size_t>(end - begin));
    generate_values(seed, tensor, begin, values);
    convert_from_f32(dtype, values.data(), end - begin, bytes->data() + begin * dtype_size(dtype));
  });
  return {tensor.name, dtype, tensor.shape, bytes->data(), bytes};
}

class MemoryCheckpoint final : public Checkpoint {
 public:
  explicit MemoryCheckpoint(std::vector<Tensor> tensors) {
    for (Tensor& tensor : tensors) tensors_.emplace(tensor.name, std::move(tensor));
    for (const auto& [name, tensor] : tensors_) names_.push_back(name);
  }
  const std::vector<std::string>& names() const override { return names_; }
  std::optional<Tensor> find(std::string_view name) const override {
    const auto it = tensors_.find(name);
    return it == tensors_.end() ? std::nullopt : std::optional(it->second);
  }
  std::filesystem::path file_of(std::string_view) const override { return "(generated)"; }

 private:
  std::map<std::string, Tensor, std::less<>> tensors_;
  std::vector<std::string> names_;
};

std::vector<Tensor> make_tensors(const std::vector<GeneratedTensor>& tensors, std::uint64_t seed,
                                 DType dtype) {
  std::vector<Tensor> made;
  for (const GeneratedTensor& tensor : tensors) made.push_back(make_tensor(tensor, seed, dtype));
  return made;
}

}  // namespace

void generate_values(std::uint64_t seed, const GeneratedTensor& tensor, Index first, std::span<float> out) {
  const std::uint64_t stream = stream_of(tensor.name.c_str());
  const float scale = std::ldexp(1.0f, tensor.exponent - 23);
  std::array<std::uint32_t, 4> block{};
  for (Index i = first; i < first + static_cast<Index>(out.size()); ++i) {
    if (i == first || i % 4 == 0) block = philox(seed, stream, static_cast<std::uint64_t>(i / 4));
    const auto word = static_cast<std::int32_t>(block[static_cast<std::size_t>(i % 4)] >> 8) - (1 << 23);
    out[static_cast<std::size_t>(i - first)] = tensor.offset + static_cast<float>(word) * scale;
  }
}

std::shared_ptr<const Checkpoint> generated_checkpoint(const std::vector<GeneratedTensor>& tensors,
                                                       std::uint64_t seed, DType dtype) {
  return std::make_shared<MemoryCheckpoint>(make_tensors(tensors, seed, dtype));
}

void write_generated_model(const std::filesystem::path& folder, std::string_view config_json,
                           const std::vector<GeneratedTensor>& tensors, std::uint64_t seed, DType dtype) {
  make_folder(folder);
  write_file(folder / "config.json", config_json);
  write_safetensors(folder / "model.safetensors", make_tensors(tensors, seed, dtype), {{"format", "pt"}});
}

std::vector<GeneratedTensor> llama_tensors(Index vocab, Index hidden, Index layers, Index query_size,
                                           Index kv_size, Index ffn, bool tied) {
  std::vector<GeneratedTensor> tensors;
  const auto add_gain = [&](const std::string& name) { tensors.push_back({name, {hidden}, -2, 1}); };
  const auto add_matrix = [&](const std::string& name, Index out, Index in) {
    const double limit = std::sqrt(3.0 / static_cast<double>(in));
    tensors.push_back({name, {out, in}, static_cast<int>(std::lround(std::log2(limit))), 0});
  };
  tensors.push_back({"model.embed_tokens.weight", {vocab, hidden}, 0, 0});
  for (Index i = 0; i < layers; ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    add_gain(layer + "input_layernorm.weight");
    add_matrix(layer + "self_attn.q_proj.weight", query_size, hidden);
    add_matrix(layer + "self_attn.k_proj.weight", kv_size, hidden);
    add_matrix(layer + "self_attn.v_proj.weight", kv_size, hidden);
    add_matrix(layer + "self_attn.o_proj.weight", hidden, query_size);
    add_gain(layer + "post_attention_layernorm.weight");
    add_matrix(layer + "mlp.gate_proj.weight", ffn, hidden);
    add_matrix(layer + "mlp.up_proj.weight", ffn, hidden);
    add_matrix(layer + "mlp.down_proj.weight", hidden, ffn);
  }
  add_gain("model.norm.weight");
  if (!tied) add_matrix("lm_head.weight", vocab, hidden);
  return tensors;
}

}  // namespace defectoscope
