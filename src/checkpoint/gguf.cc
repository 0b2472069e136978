#include "checkpoint/gguf.h"

#include <algorithm>
#include <regex>

#include "base/error.h"
#include "checkpoint/gguf_blocks.h"
#include "checkpoint/gguf_rows.h"
#include "checkpoint/strict_json.h"

namespace defectoscope {
namespace {

/// Adds tensors of one file to a set.
class Adder {
 public:
  Adder(std::shared_ptr<const MappedFile> file, const GgufMetadata& metadata, const GgufMetadata& first,
        TensorSet& set)
      : file_(std::move(file)), metadata_(metadata), first_(first), set_(set) {}

  void add(const GgufTensor& entry, GgufPlace place) {
    entry_ = &entry;
    const GgufFormat& format = format_of(entry);
    std::vector<Index> shape(entry.dimensions.rbegin(), entry.dimensions.rend());
    GgufRows rows{&format, nullptr, 1, shape.empty() ? 1 : shape.back()};
    for (std::size_t i = 0; i + 1 < shape.size(); ++i) rows.rows *= shape[i];
    const std::span<const std::byte> bytes = data_of(entry, rows);
    rows.data = bytes.data();
    undo(place.change, shape, rows);
    Tensor tensor{std::move(place.name), gguf_dtype(format), std::move(shape), rows.data, file_};
    if (format.unpack == nullptr && rows.heads == 0 && !rows.transposed) return set_.add(tensor);
    tensor.data = nullptr;
    set_.add_made(tensor, {std::string(format.name), tensor.shape, bytes, file_, {}},
                  [rows](std::byte* out) { rows.make(out); });
  }

 private:
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

  std::span<const std::byte> data_of(const GgufTensor& entry, const GgufRows& rows) const {
    if (rows.cols % rows.format->block_values != 0)
      fail("row of a quantized tensor is no whole number of blocks",
           "a multiple of " + std::to_string(rows.format->block_values),
           std::to_string(rows.cols) + " values");
    // By division, as products may not fit.
    const auto size = static_cast<std::uint64_t>(file_->bytes().size());
    const std::uint64_t data = std::min(metadata_.data_offset(), size);
    const std::uint64_t room = entry.offset <= size - data ? size - data - entry.offset : 0;
    if (static_cast<std::uint64_t>(rows.cols / rows.format->block_values) > room ||
        static_cast<std::uint64_t>(rows.row_bytes()) > room / static_cast<std::uint64_t>(rows.rows))
      fail("tensor lies outside the file",
           std::to_string(rows.rows) + " rows of " + std::to_string(rows.cols) + " values",
           std::to_string(room) + " bytes from its beginning; the file may be cut off");
    return file_->bytes().subspan(data + entry.offset,
                                  static_cast<std::size_t>(rows.rows * rows.row_bytes()));
  }

  Index head_count(const char* suffix, Index otherwise) const {
    const std::string key =
        std::string(first_.text("general.architecture").value_or("")) + ".attention.head_count" + suffix;
    return first_.integer(key).value_or(otherwise);
  }

  void undo(GgufChange change, std::vector<Index>& shape, GgufRows& rows) const {
    if (change == GgufChange::kNone) return;
    if (change == GgufChange::kTransposed) {
      if (shape.size() != 2) fail("tensor to transpose is no matrix", "two dimensions", shape_text(shape));
      rows.transposed = true;
      std::swap(shape[0], shape[1]);
      return;
    }
    if (shape.size() == 1) std::swap(rows.rows, rows.cols);  // a bias: one value a row
    const Index heads = head_count("", 0), kv_heads = head_count("_kv", heads);
    const bool regrouped = change == GgufChange::kRegrouped;
    rows.heads = change == GgufChange::kPermutedKey ? kv_heads : heads;
    if (regrouped) rows.kv_heads = kv_heads;
    constexpr Index kMost = Index{1} << 30;  // of heads, so that sums of them fit
    const bool possible = heads > 0 && kv_heads > 0 && heads < kMost && kv_heads < kMost &&
                          rows.cols % rows.format->block_values == 0;
    if (!possible || rows.rows % (regrouped ? heads + 2 * kv_heads : 2 * rows.heads) != 0 ||
        (regrouped && heads % kv_heads != 0))
      fail("rows do not divide among heads",
           regrouped ? "a multiple of query, key and value heads" : "a multiple of twice the heads",
           std::to_string(rows.rows) + " rows, " + std::to_string(heads) + " heads and " +
               std::to_string(kv_heads) + " key-value heads (attention.head_count)");
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

constexpr Index kMostParts = 99999;

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
  const auto only = [&](std::string_view other) { return GgufPlace{other == name ? std::string(name) : ""}; };
  return to_f32(*tensors(only)->find(name));
}

std::shared_ptr<const TensorSet> GgufFiles::tensors(const GgufNaming& naming) const {
  auto set = std::make_shared<TensorSet>();
  for (const Part& part : parts_) {
    set->begin_file(part.file->path());
    Adder adder(part.file, *part.metadata, metadata(), *set);
    for (const GgufTensor& entry : part.metadata->tensors())
      if (GgufPlace place = naming(entry.name); !place.name.empty()) adder.add(entry, std::move(place));
  }
  set->finish();
  return set;
}

}  // namespace defectoscope
