#include "checkpoint/gguf.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/parallel.h"
#include "checkpoint/gguf_blocks.h"
#include "checkpoint/gguf_names.h"
#include "checkpoint/strict_json.h"

namespace defectoscope {
namespace {

constexpr const char* kRopeFactors = "rope_freqs.weight";
constexpr Index kRowsAtOnce = 64;

/// What find() gives of a format: plain types as they are, quantized ones as f32.
DType dtype_of(const GgufFormat& format) {
  if (format.unpack != nullptr) return DType::kF32;
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kF64, DType::kI8, DType::kI16,
                           DType::kI32, DType::kI64})
    if (dtype_name(type) == format.name) return type;
  return DType::kU8;  // not reached: every plain format has its dtype
}

/// How a tensor's rows come from the file's.
struct Rows {
  const GgufFormat* format;
  const std::byte* data;
  Index rows, cols;  // as stored
  Index heads = 0;   // of permuted rows; 0 where they are not
  bool transposed = false;

  Index row_bytes() const { return cols / format->block_values * format->block_bytes; }

  /// Where the row of the family's own file stands: halves of a head against neighbours.
  Index stored_row(Index row) const {
    if (heads == 0) return row;
    const Index size = rows / heads, half = size / 2, within = row % size;
    return row - within + 2 * (within % half) + within / half;
  }

  void read_row(Index row, std::byte* out) const {
    const std::byte* from = data + stored_row(row) * row_bytes();
    if (format->unpack == nullptr) {
      std::memcpy(out, from, static_cast<std::size_t>(row_bytes()));
      return;
    }
    for (Index block = 0; block < cols / format->block_values; ++block)
      format->unpack(reinterpret_cast<const std::uint8_t*>(from + block * format->block_bytes),
                     reinterpret_cast<float*>(out) + block * format->block_values);
  }

  void make(std::byte* out) const {
    const Index size = dtype_size(dtype_of(*format));
    parallel_ranges(rows, kRowsAtOnce, [&](Index begin, Index end) {
      std::vector<float> scratch(transposed ? static_cast<std::size_t>(cols * size) / sizeof(float) + 1 : 0);
      for (Index row = begin; row < end; ++row) {
        if (!transposed) {
          read_row(row, out + row * cols * size);
          continue;
        }
        const auto values = reinterpret_cast<std::byte*>(scratch.data());
        read_row(row, values);
        for (Index col = 0; col < cols; ++col)
          std::memcpy(out + (col * rows + row) * size, values + col * size, static_cast<std::size_t>(size));
      }
    });
  }
};

}  // namespace

std::shared_ptr<const GgufCheckpoint> GgufCheckpoint::open(const std::filesystem::path& path) {
  auto checkpoint = std::make_shared<GgufCheckpoint>();
  checkpoint->file_ = std::make_shared<const MappedFile>(path);
  checkpoint->metadata_ = std::make_unique<const GgufMetadata>(checkpoint->file_->bytes(), path.string());
  checkpoint->begin_file(path);
  checkpoint->read_tensors();
  checkpoint->finish();
  return checkpoint;
}

void GgufCheckpoint::read_tensors() {
  const std::string architecture(metadata_->text("general.architecture").value_or(""));
  if (find_gguf_family(architecture) == nullptr)
    throw_bad_input({.what = "GGUF architecture is not supported",
                     .file = metadata_->file(),
                     .tensor = "general.architecture",
                     .expected = known_gguf_architectures(),
                     .got = architecture.empty() ? "none" : shortened(architecture),
                     .hint = "take the model's safetensors version, where its family is supported"});
  if (metadata_->integer("split.count").value_or(1) > 1)
    throw_bad_input({.what = "one part of a GGUF model in several files",
                     .file = metadata_->file(),
                     .tensor = "split.count",
                     .expected = "a model in one file",
                     .got = std::to_string(*metadata_->integer("split.count")) + " parts",
                     .hint = "join them: llama-gguf-split --merge FIRST_PART JOINED"});
  if (metadata_->tensors().empty())
    throw_bad_input({.what = "GGUF file without weights",
                     .file = metadata_->file(),
                     .expected = "tensors",
                     .got = "a vocabulary alone",
                     .hint = "take the model's own file"});
  for (const GgufTensor& entry : metadata_->tensors()) add_tensor(entry);
}

void GgufCheckpoint::add_tensor(const GgufTensor& entry) {
  const auto fail = [&](const std::string& what, const std::string& expected, const std::string& got) {
    throw_bad_input({.what = what,
                     .file = metadata_->file(),
                     .tensor = shortened(entry.name),
                     .expected = expected,
                     .got = got});
  };
  const GgufFormat* format = find_gguf_format(entry.type);
  if (format == nullptr)
    fail("GGUF tensor has a type that is not supported",
         "f32, f16, bf16, q4_0 to q8_0, q2_k to q6_k, iq4_nl or iq4_xs",
         "type " + std::to_string(entry.type));
  std::vector<Index> shape(entry.dimensions.rbegin(), entry.dimensions.rend());
  Rows rows{format, nullptr, 1, shape.empty() ? 1 : shape.back()};
  for (std::size_t i = 0; i + 1 < shape.size(); ++i) rows.rows *= shape[i];
  if (rows.cols % format->block_values != 0)
    fail("row of a quantized tensor is no whole number of blocks",
         "a multiple of " + std::to_string(format->block_values), std::to_string(rows.cols) + " values");
  // By division, as products may not fit.
  const auto size = static_cast<std::uint64_t>(file_->bytes().size());
  const std::uint64_t data = std::min(metadata_->data_offset(), size);
  const std::uint64_t room = entry.offset <= size - data ? size - data - entry.offset : 0;
  if (static_cast<std::uint64_t>(rows.cols / format->block_values) > room ||
      static_cast<std::uint64_t>(rows.row_bytes()) > room / static_cast<std::uint64_t>(rows.rows))
    fail("tensor lies outside the file",
         std::to_string(rows.rows) + " rows of " + std::to_string(rows.cols) + " values",
         std::to_string(room) + " bytes from its beginning; the file may be cut off");
  const std::span<const std::byte> bytes =
      file_->bytes().subspan(data + entry.offset, static_cast<std::size_t>(rows.rows * rows.row_bytes()));
  rows.data = bytes.data();

  const GgufFamily& family = *find_gguf_family(*metadata_->text("general.architecture"));
  const TranslatedName translated =
      translate(family, entry.name).value_or(TranslatedName{entry.name, GgufChange::kNone});
  if (translated.change == GgufChange::kPermutedQuery || translated.change == GgufChange::kPermutedKey) {
    const std::string key = std::string(family.architecture) + ".attention.head_count";
    rows.heads = metadata_->integer(key).value_or(0);
    if (translated.change == GgufChange::kPermutedKey)
      rows.heads = metadata_->integer(key + "_kv").value_or(rows.heads);
    if (shape.size() == 1) std::swap(rows.rows, rows.cols);  // a bias: one value a row
    if (rows.heads <= 0 || rows.rows % rows.heads != 0 || rows.rows / rows.heads % 2 != 0 ||
        rows.cols % format->block_values != 0)
      fail("rows do not divide among heads", "a multiple of twice the heads (" + key + ")",
           std::to_string(rows.rows) + " rows, " + std::to_string(rows.heads) + " heads");
  }
  if (translated.change == GgufChange::kTransposed) {
    if (shape.size() != 2) fail("tensor to transpose is no matrix", "two dimensions", shape_text(shape));
    rows.transposed = true;
    std::swap(shape[0], shape[1]);
  }

  Tensor tensor{translated.name, dtype_of(*format), std::move(shape), rows.data, file_};
  if (entry.name == kRopeFactors) {
    if (tensor.dtype == DType::kF32) rope_factors_ = to_f32(tensor);
    return;
  }
  if (format->unpack == nullptr && rows.heads == 0 && !rows.transposed) return add(tensor);
  tensor.data = nullptr;
  add_made(tensor, {std::string(format->name), tensor.shape, bytes, file_},
           [rows](std::byte* out) { rows.make(out); });
}

}  // namespace defectoscope
