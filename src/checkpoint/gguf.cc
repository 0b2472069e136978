#include "checkpoint/gguf.h"

#include <algorithm>
#include <cstring>
#include <regex>

#include "base/error.h"
#include "checkpoint/gguf_blocks.h"
#include "checkpoint/strict_json.h"

namespace defectoscope {
namespace {

constexpr Index kMostParts = 99999;  // files of a model, experts of a layer

/// What a format's values become: plain types stay as they are, quantized ones are f32.
DType dtype_of(const GgufFormat& format) {
  if (format.unpack != nullptr) return DType::kF32;
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kF64, DType::kI8, DType::kI16,
                           DType::kI32, DType::kI64})
    if (dtype_name(type) == format.name) return type;
  return DType::kU8;  // not reached: every plain format has its dtype
}

/// Writes one stored row.
struct RowReader {
  const GgufFormat& format;
  const std::byte* data;
  Index cols;

  void operator()(Index row, std::byte* out) const {
    const Index row_bytes = cols / format.block_values * format.block_bytes;
    const std::byte* from = data + row * row_bytes;
    if (format.unpack == nullptr) {
      std::memcpy(out, from, static_cast<std::size_t>(row_bytes));
      return;
    }
    for (Index block = 0; block < cols / format.block_values; ++block)
      format.unpack(reinterpret_cast<const std::uint8_t*>(from + block * format.block_bytes),
                    reinterpret_cast<float*>(out) + block * format.block_values);
  }
};

/// Adds tensors of one file to a set.
class Adder {
 public:
  Adder(std::shared_ptr<const MappedFile> file, const GgufMetadata& metadata, const GgufMetadata& first,
        TensorSet& set)
      : file_(std::move(file)), metadata_(metadata), first_(first), set_(set) {}

  void add(const GgufTensor& entry, TensorPlace place) {
    entry_ = &entry;
    const GgufFormat& format = format_of(entry);
    std::vector<Index> shape(entry.dimensions.rbegin(), entry.dimensions.rend());
    const std::span<const std::byte> bytes = data_of(entry, format);
    if (place.split) return add_each(place.name, shape, format, bytes);
    const RowOrder order = undo(place.change, shape, format);
    add(Tensor{std::move(place.name), dtype_of(format), std::move(shape), bytes.data(), file_}, format, bytes,
        order);
  }

 private:
  void add(Tensor tensor, const GgufFormat& format, std::span<const std::byte> bytes, const RowOrder& order) {
    if (format.unpack == nullptr && order.in_place()) return set_.add(tensor);
    tensor.data = nullptr;
    set_.add_made(tensor, {std::string(format.name), tensor.shape, bytes, file_, {}},
                  [order, &format, data = bytes.data()](std::byte* out) {
                    const RowReader reader{format, data, order.cols};
                    order.make(dtype_of(format), reader, out);
                  });
  }

  void add_each(const std::string& pattern, const std::vector<Index>& shape, const GgufFormat& format,
                std::span<const std::byte> bytes) {
    const std::size_t number = pattern.find("{}");
    if (shape.size() < 2 || shape[0] < 1 || shape[0] > kMostParts || number == pattern.npos)
      fail("tensor of several has another shape", "1 to " + std::to_string(kMostParts) + " of one shape",
           shape_text(shape));
    const std::size_t size = bytes.size() / static_cast<std::size_t>(shape[0]);
    for (Index i = 0; i < shape[0]; ++i) {
      std::vector<Index> own(shape.begin() + 1, shape.end());
      RowOrder order;
      undo_row_change(RowChange::kNone, 0, 0, own, order);
      const std::span<const std::byte> data = bytes.subspan(static_cast<std::size_t>(i) * size, size);
      std::string name = pattern;
      name.replace(number, 2, std::to_string(i));
      add(Tensor{std::move(name), dtype_of(format), std::move(own), data.data(), file_}, format, data, order);
    }
  }

  [[noreturn]] void fail(const std::string& what, const std::string& expected, const std::string& got) const {
    throw_bad_input({.what = what,
                     .file = metadata_.file(),
                     .tensor = shortened(entry_->name),
                     .expected = expected,
                     .got = got});
  }

  const GgufFormat& format_of(const GgufTensor& entry) const {
    const GgufFormat* format = find_gguf_format(entry.type);
    if (format == nullptr)
      fail("GGUF tensor has a type that is not supported",
           "f32, f16, bf16, q4_0 to q8_0, q2_k to q6_k, iq4_nl or iq4_xs",
           "type " + std::to_string(entry.type));
    return *format;
  }

  std::span<const std::byte> data_of(const GgufTensor& entry, const GgufFormat& format) const {
    const Index cols = entry.dimensions.empty() ? 1 : entry.dimensions.front();
    Index rows = 1;
    for (std::size_t i = 1; i < entry.dimensions.size(); ++i) rows *= entry.dimensions[i];
    if (cols % format.block_values != 0)
      fail("row of a quantized tensor is no whole number of blocks",
           "a multiple of " + std::to_string(format.block_values), std::to_string(cols) + " values");
    // By division, as products may not fit.
    const auto size = static_cast<std::uint64_t>(file_->bytes().size());
    const std::uint64_t data = std::min(metadata_.data_offset(), size);
    const std::uint64_t room = entry.offset <= size - data ? size - data - entry.offset : 0;
    const auto blocks = static_cast<std::uint64_t>(cols / format.block_values);
    const auto block_bytes = static_cast<std::uint64_t>(format.block_bytes);
    if (blocks > room / block_bytes || blocks * block_bytes > room / static_cast<std::uint64_t>(rows))
      fail("tensor lies outside the file",
           std::to_string(rows) + " rows of " + std::to_string(cols) + " values",
           std::to_string(room) + " bytes from its beginning; the file may be cut off");
    return file_->bytes().subspan(data + entry.offset,
                                  static_cast<std::uint64_t>(rows) * blocks * block_bytes);
  }

  Index head_count(const char* suffix, Index otherwise) const {
    const std::string key =
        std::string(first_.text("general.architecture").value_or("")) + ".attention.head_count" + suffix;
    return first_.integer(key).value_or(otherwise);
  }

  RowOrder undo(RowChange change, std::vector<Index>& shape, const GgufFormat& format) const {
    const Index heads = head_count("", 0), kv_heads = head_count("_kv", heads);
    const std::vector<Index> stored = shape;
    RowOrder order;
    if (undo_row_change(change, heads, kv_heads, shape, order) && order.cols % format.block_values == 0)
      return order;
    if (change == RowChange::kTransposed)
      fail("tensor to transpose is no matrix", "two dimensions", shape_text(stored));
    fail("rows do not divide among heads",
         change == RowChange::kRegrouped ? "a multiple of query, key and value heads"
                                         : "a multiple of twice the heads",
         shape_text(stored) + ", " + std::to_string(heads) + " heads and " + std::to_string(kv_heads) +
             " key-value heads (attention.head_count)");
  }

  std::shared_ptr<const MappedFile> file_;
  const GgufMetadata& metadata_;
  const GgufMetadata& first_;
  TensorSet& set_;
  const GgufTensor* entry_ = nullptr;
};

/// "NAME-00001-of-00003.gguf".
const std::regex& part_name() {
  static const std::regex kPart(R"((.*-)(\d{5})(-of-(\d{5})\.gguf))");
  return kPart;
}

/// Where part `number`, from 1, of a model in parts lies.
std::filesystem::path part_path(const std::filesystem::path& any, Index number) {
  std::smatch match;
  const std::string name = any.filename().string();
  if (!std::regex_match(name, match, part_name())) return any;
  std::string digits = std::to_string(number);
  digits.insert(0, 5 - std::min<std::size_t>(5, digits.size()), '0');
  return any.parent_path() / (match[1].str() + digits + match[3].str());
}

}  // namespace

std::filesystem::path first_gguf_part(const std::filesystem::path& path) { return part_path(path, 1); }

GgufFiles::Part GgufFiles::open_part(const std::filesystem::path& path) {
  auto file = std::make_shared<const MappedFile>(path);
  auto metadata = std::make_shared<const GgufMetadata>(file->bytes(), path.string());
  return {std::move(file), std::move(metadata)};
}

GgufFiles GgufFiles::open(const std::filesystem::path& path) {
  const auto fail = [](const std::filesystem::path& file, const std::string& what, const std::string& key,
                       const std::string& expected, const std::string& got) {
    throw_bad_input({.what = what,
                     .file = file.string(),
                     .tensor = key,
                     .expected = expected,
                     .got = got,
                     .hint = "keep all parts in one folder under their own names, or join them: "
                             "llama-gguf-split --merge FIRST_PART JOINED"});
  };
  GgufFiles files;
  files.parts_.push_back(open_part(first_gguf_part(path)));
  const GgufMetadata& first = files.metadata();
  const Index count = std::clamp<Index>(first.integer("split.count").value_or(1), 1, kMostParts);
  if (count > 1 && part_path(path, 2) == path && part_path(path, 1) == path)
    fail(path, "one part of a GGUF model in several files", "split.count",
         "a name like model-00001-of-" + std::to_string(count) + ".gguf", path.filename().string());
  for (Index i = 2; i <= count; ++i) {
    const std::filesystem::path part = part_path(path, i);
    if (!std::filesystem::exists(part))
      fail(part, "part of a GGUF model missing", {}, std::to_string(count) + " parts", "no such file");
    files.parts_.push_back(open_part(part));
  }
  Index tensors = 0;
  for (std::size_t i = 0; i < files.parts_.size(); ++i) {
    const GgufMetadata& part = *files.parts_[i].metadata;
    tensors += static_cast<Index>(part.tensors().size());
    if (count == 1) break;
    if (part.integer("split.no").value_or(-1) != static_cast<Index>(i) ||
        part.integer("split.count").value_or(-1) != count)
      fail(part.file(), "part of another GGUF model, or in another's place", "split.no",
           std::to_string(i) + " of " + std::to_string(count),
           std::to_string(part.integer("split.no").value_or(-1)) + " of " +
               std::to_string(part.integer("split.count").value_or(-1)));
  }
  const Index expected = first.integer("split.tensors.count").value_or(tensors);
  if (count > 1 && expected != tensors)
    fail(first.file(), "parts of a GGUF model hold another number of tensors", "split.tensors.count",
         std::to_string(expected), std::to_string(tensors));
  if (tensors == 0)
    throw_bad_input({.what = "GGUF file without weights",
                     .file = first.file(),
                     .expected = "tensors",
                     .got = "a vocabulary alone",
                     .hint = "take the model's own file"});
  return files;
}

std::vector<Index> GgufFiles::shape_of(std::string_view name) const {
  for (const Part& part : parts_)
    for (const GgufTensor& entry : part.metadata->tensors())
      if (entry.name == name) return {entry.dimensions.rbegin(), entry.dimensions.rend()};
  return {};
}

std::vector<float> GgufFiles::values_of(std::string_view name) const {
  if (shape_of(name).empty()) return {};
  const auto only = [&](std::string_view other) {
    return TensorPlace{other == name ? std::string(name) : ""};
  };
  return to_f32(*tensors(only)->find(name));
}

std::shared_ptr<const TensorSet> GgufFiles::tensors(const TensorNaming& naming) const {
  auto set = std::make_shared<TensorSet>();
  for (const Part& part : parts_) {
    set->begin_file(part.file->path());
    Adder adder(part.file, *part.metadata, metadata(), *set);
    for (const GgufTensor& entry : part.metadata->tensors())
      if (TensorPlace place = naming(entry.name); !place.name.empty()) adder.add(entry, std::move(place));
  }
  set->finish();
  return set;
}

}  // namespace defectoscope
