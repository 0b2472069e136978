#include "checkpoint/llama2c.h"

#include <array>
#include <cstring>
#include <optional>
#include <vector>

#include "base/error.h"
#include "checkpoint/load.h"

// Layout: github.com/karpathy/llama2.c, export.py.
namespace defectoscope {
namespace {

constexpr std::uint32_t kMagic = 0x616b3432;  // "ak42"
constexpr Index kHeaderOfVersion0 = 7 * 4;
constexpr Index kHeader = 256;
constexpr Index kFloat = sizeof(float);

using Sizes = Llama2cFile::Sizes;

/// The seven numbers that every version has.
Sizes read_sizes(std::span<const std::byte> bytes, std::size_t at) {
  std::array<Index, 7> n{};
  for (std::size_t i = 0; i < n.size(); ++i) n[i] = load<std::int32_t>(bytes, at + 4 * i);
  return {n[0], n[1], n[2], n[3], n[4], n[5], n[6], true};
}

/// What is wrong with the sizes; empty where nothing is. Bounds keep every product below within 62 bits.
std::string problem_of(const Sizes& s) {
  const auto outside = [](Index value, Index most) { return value < 1 || value > most; };
  if (outside(s.hidden, 1 << 20)) return "dim " + std::to_string(s.hidden);
  if (outside(s.ffn, 1 << 24)) return "hidden_dim " + std::to_string(s.ffn);
  if (outside(s.layers, 10'000)) return "n_layers " + std::to_string(s.layers);
  if (outside(s.heads, 1 << 16)) return "n_heads " + std::to_string(s.heads);
  if (outside(s.kv_heads, s.heads)) return "n_kv_heads " + std::to_string(s.kv_heads);
  if (outside(s.vocabulary, 1 << 28)) return "vocab_size " + std::to_string(s.vocabulary);
  if (outside(s.positions, 1 << 30)) return "seq_len " + std::to_string(s.positions);
  if (s.heads % s.kv_heads != 0 || s.hidden % (2 * s.heads) != 0)
    return "dim " + std::to_string(s.hidden) + " on " + std::to_string(s.heads) + " heads and " +
           std::to_string(s.kv_heads) + " key-value heads";
  return {};
}

/// One kind of tensor, for all layers or for the model; an empty name is skipped over.
struct Part {
  std::string_view gguf;
  std::vector<Index> shape;
  Index layers = 0;  ///< 0: one of the model
  bool quantized = false;

  Index copies() const { return layers == 0 ? 1 : layers; }
};

std::vector<Part> parts_of(const Sizes& s, std::int32_t version) {
  const Index d = s.hidden, kv = d / s.heads * s.kv_heads, layers = s.layers;
  const bool quantized = version == 2;
  const Part embedding{"token_embd.weight", {s.vocabulary, d}, 0, quantized};
  const Part attention_norm{"attn_norm.weight", {d}, layers};
  const Part ffn_norm{"ffn_norm.weight", {d}, layers};
  const Part final_norm{"output_norm.weight", {d}};
  const std::vector<Part> attention = {{"attn_q.weight", {d, d}, layers, quantized},
                                       {"attn_k.weight", {kv, d}, layers, quantized},
                                       {"attn_v.weight", {kv, d}, layers, quantized},
                                       {"attn_output.weight", {d, d}, layers, quantized}};
  const std::vector<Part> ffn = {{"ffn_gate.weight", {s.ffn, d}, layers, quantized},
                                 {"ffn_down.weight", {d, s.ffn}, layers, quantized},
                                 {"ffn_up.weight", {s.ffn, d}, layers, quantized}};
  std::vector<Part> parts;
  const auto append = [&](const std::vector<Part>& more) {
    parts.insert(parts.end(), more.begin(), more.end());
  };
  if (version == 0) {
    append({embedding, attention_norm});
    append(attention);
    append({ffn_norm});
    append(ffn);
    append({final_norm, {"", {s.positions, d / s.heads / 2}}, {"", {s.positions, d / s.heads / 2}}});
  } else {
    append({attention_norm, ffn_norm, final_norm, embedding});
    append(attention);
    append(ffn);
  }
  if (!s.tied) append({{"output.weight", {s.vocabulary, d}, 0, quantized}});
  return parts;
}

Index elements_of(const Part& part) {
  Index count = 1;
  for (const Index extent : part.shape) count *= extent;
  return count;
}
/// Bytes of one copy, its scales behind it.
Index bytes_of(const Part& part, Index group) {
  const Index count = elements_of(part);
  return part.quantized ? count + count / group * kFloat : count * kFloat;
}
Index total_bytes(const std::vector<Part>& parts, Index group) {
  Index total = 0;
  for (const Part& part : parts) total += part.copies() * bytes_of(part, group);
  return total;
}

/// Version 0 says by a negative number that the head is a matrix of its own.
Sizes sizes_of_version0(std::span<const std::byte> bytes) {
  Sizes sizes = read_sizes(bytes, 0);
  sizes.tied = sizes.vocabulary > 0;
  if (!sizes.tied) sizes.vocabulary = -sizes.vocabulary;
  return sizes;
}

}  // namespace

bool Llama2cFile::recognises(std::span<const std::byte> bytes) {
  if (bytes.size() < kHeaderOfVersion0) return false;
  if (load<std::uint32_t>(bytes, 0) == kMagic) return true;
  const Sizes sizes = sizes_of_version0(bytes);
  return problem_of(sizes).empty() &&
         kHeaderOfVersion0 + total_bytes(parts_of(sizes, 0), 1) == static_cast<Index>(bytes.size());
}

Llama2cFile Llama2cFile::open(const std::filesystem::path& path) {
  Llama2cFile result;
  result.file_ = std::make_shared<const MappedFile>(path);
  const std::span<const std::byte> bytes = result.file_->bytes();
  const auto fail = [&](const std::string& what, const std::string& expected, const std::string& got) {
    throw_bad_input({.what = what,
                     .file = path.string(),
                     .expected = expected,
                     .got = got,
                     .hint = "the file is damaged, not fully downloaded, or no llama2.c model"});
  };
  const auto size = static_cast<Index>(bytes.size());
  if (!recognises(bytes))
    fail("not a llama2.c model", "its magic, or the sizes of a file as long as they say",
         std::to_string(size) + " bytes");
  if (load<std::uint32_t>(bytes, 0) != kMagic) {
    result.sizes_ = sizes_of_version0(bytes);
    return result;
  }
  if (size < kHeader) fail("llama2.c header is cut short", "256 bytes", std::to_string(size));
  result.version_ = load<std::int32_t>(bytes, 4);
  if (result.version_ != 1 && result.version_ != 2)
    fail("llama2.c version not supported", "1 or 2, or version 0 without a magic",
         std::to_string(result.version_));
  result.sizes_ = read_sizes(bytes, 8);
  result.sizes_.tied = load<std::uint8_t>(bytes, 36) != 0;
  if (const std::string problem = problem_of(result.sizes_); !problem.empty())
    fail("llama2.c header has impossible sizes", "sizes above 0 that divide among heads", problem);
  const std::vector<Part> parts = parts_of(result.sizes_, result.version_);
  if (result.version_ == 2) {
    result.group_ = load<std::int32_t>(bytes, 37);
    for (const Part& part : parts)
      if (part.quantized && (result.group_ < 1 || elements_of(part) % result.group_ != 0))
        fail("llama2.c tensor is no whole number of groups",
             "a group size that divides " + std::to_string(elements_of(part)) + " values",
             std::to_string(result.group_));
  }
  const Index needed = kHeader + total_bytes(parts, result.group_);
  if (needed > size)
    fail("llama2.c file is shorter than its sizes say", std::to_string(needed) + " bytes",
         std::to_string(size));
  return result;
}

std::filesystem::path Llama2cFile::tokenizer_path() const {
  const std::filesystem::path folder = file_->path().parent_path();
  for (const std::string& name :
       {std::string("tokenizer.bin"), "tok" + std::to_string(sizes_.vocabulary) + ".bin"})
    if (std::filesystem::exists(folder / name)) return folder / name;
  return {};
}

std::shared_ptr<const TensorSet> Llama2cFile::tensors(const TensorNaming& naming) const {
  auto set = std::make_shared<TensorSet>();
  set->begin_file(file_->path());
  const std::byte* at = file_->bytes().data() + (version_ == 0 ? kHeaderOfVersion0 : kHeader);
  for (const Part& part : parts_of(sizes_, version_))
    for (Index i = 0; i < part.copies(); ++i) {
      const std::byte* data = at;
      at += bytes_of(part, group_);
      if (part.gguf.empty()) continue;
      const std::string layer = part.layers == 0 ? "" : "blk." + std::to_string(i) + ".";
      TensorPlace place = naming(layer + std::string(part.gguf));
      if (place.name.empty()) continue;
      std::vector<Index> shape = part.shape;
      RowOrder order;
      if (!undo_row_change(place.change, sizes_.heads, sizes_.kv_heads, shape, order))
        throw_bad_input({.what = "rows do not divide among heads",
                         .file = file_->path().string(),
                         .tensor = place.name,
                         .got = shape_text(part.shape)});
      Tensor tensor{std::move(place.name), DType::kF32, std::move(shape), data, file_};
      if (!part.quantized && order.in_place()) {
        set->add(tensor);
        continue;
      }
      tensor.data = nullptr;
      const Index count = elements_of(part), cols = order.cols, group = group_;
      const auto whole = static_cast<std::size_t>(bytes_of(part, group_));
      StoredTensor stored{part.quantized ? "int8 in groups of " + std::to_string(group) : "f32",
                          tensor.shape,
                          {data, whole},
                          file_,
                          {}};
      const RowOrder::ReadRow read = part.quantized ? RowOrder::ReadRow([=](Index row, std::byte* out) {
        for (Index i = row * cols; i < (row + 1) * cols; ++i, out += kFloat) {
          float scale;
          std::memcpy(&scale, data + count + i / group * kFloat, sizeof scale);
          const float value = scale * static_cast<float>(static_cast<std::int8_t>(data[i]));
          std::memcpy(out, &value, sizeof value);
        }
      })
                                                    : RowOrder::ReadRow([=](Index row, std::byte* out) {
                                                        std::memcpy(out, data + row * cols * kFloat,
                                                                    static_cast<std::size_t>(cols * kFloat));
                                                      });
      set->add_made(tensor, std::move(stored),
                    [order, read](std::byte* out) { order.make(DType::kF32, read, out); });
    }
  set->finish();
  return set;
}

}  // namespace defectoscope
