#include "lineage/signature_file.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <cstring>
#include <map>

#include "base/error.h"
#include "base/files.h"
#include "base/sha256.h"
#include "base/version.h"
#include "checkpoint/safetensors.h"
#include "kernels/pointwise.h"
#include "lineage/packed_rows.h"

namespace defectoscope {
namespace {

namespace fs = std::filesystem;
using Metadata = std::map<std::string, std::string>;

constexpr const char* kFormat = "defectoscope.signature";
constexpr const char* kAgain = "make it anew: defectoscope signature MODEL -o ";
constexpr double kUnitTolerance = 0.01;

Tensor owned(std::string name, DType dtype, std::vector<Index> shape) {
  Tensor tensor{std::move(name), dtype, std::move(shape), nullptr, nullptr};
  const auto bytes = std::make_shared<std::vector<std::byte>>(static_cast<std::size_t>(tensor.bytes()));
  tensor.data = bytes->data();
  tensor.owner = bytes;
  return tensor;
}

template <typename T>
Tensor tensor_of(std::string name, DType dtype, std::vector<Index> shape, const T* values) {
  Tensor tensor = owned(std::move(name), dtype, std::move(shape));
  if (tensor.bytes() > 0)
    std::memcpy(const_cast<std::byte*>(tensor.data), values, static_cast<std::size_t>(tensor.bytes()));
  return tensor;
}

Tensor in_f16(const char* name, const Matrix& rows) {
  Tensor tensor = owned(name, DType::kF16, {rows.rows(), rows.cols()});
  convert_from_f32(DType::kF16, rows.data(), tensor.elements(), const_cast<std::byte*>(tensor.data));
  return tensor;
}

Tensor in_bytes(const char* name, const Matrix& rows) {
  const std::vector<std::int8_t> packed = pack_rows(rows);
  return tensor_of(name, DType::kI8, {rows.rows(), rows.cols()}, packed.data());
}

Matrix from_f16(const Tensor& tensor) {
  Matrix rows(tensor.shape[0], tensor.shape[1]);
  convert_to_f32(tensor.dtype, tensor.data, tensor.elements(), rows.data());
  make_rows_unit(rows);
  return rows;
}

Matrix from_bytes(const Tensor& tensor) {
  const auto* values = reinterpret_cast<const std::int8_t*>(tensor.data);
  return unpack_rows({values, static_cast<std::size_t>(tensor.elements())}, tensor.shape[0], tensor.shape[1]);
}

/// SHA-256 over what the file says: metadata but for the sum itself, and all tensors, in order of names.
template <typename Tensors>
std::string checksum(const Metadata& metadata, const Tensors& tensors) {
  Sha256 sum;
  for (const auto& [key, value] : metadata)
    if (key != "sha256") sum.update(fmt::format("{}:{}={}:{}\n", key.size(), key, value.size(), value));
  for (const auto& [name, tensor] : tensors) {
    sum.update(fmt::format("{} {} {}\n", name, dtype_name(tensor.dtype), tensor.shape_text()));
    sum.update(std::span(tensor.data, static_cast<std::size_t>(tensor.bytes())));
  }
  return sum.hex_digest();
}

/// The file as it is read: every question names it.
class Reader {
 public:
  explicit Reader(std::shared_ptr<const SafetensorsFile> file)
      : file_(std::move(file)), path_(file_->path().string()) {}

  void check_kind() const {
    const auto format = file_->metadata().find("format");
    if (format == file_->metadata().end() || format->second != kFormat)
      fail("no signature", "metadata format", kFormat,
           format == file_->metadata().end() ? "none" : format->second,
           "a model's folder is given as a folder, not as one of its files");
    const Index version = integer("version");
    if (version < 1 || version > kSignatureVersion)
      fail("a signature of a newer schema", "metadata version", fmt::format("{} at most", kSignatureVersion),
           std::to_string(version), "update defectoscope, or make the signature anew with this version");
    const std::string& expected = text("sha256");
    const std::string got = checksum(file_->metadata(), file_->tensors());
    if (got != expected)
      fail("the signature was changed after it was written", "metadata sha256", expected, got,
           "take it from where it came, or make it anew");
  }

  const std::string& text(const std::string& key) const {
    const auto found = file_->metadata().find(key);
    if (found == file_->metadata().end()) fail("incomplete signature", "metadata " + key, "a value", "none");
    return found->second;
  }
  Index integer(const std::string& key) const {
    const std::string& value = text(key);
    Index number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error != std::errc() || end != value.data() + value.size() || number < 0 || number > 1'000'000'000)
      fail("malformed signature", "metadata " + key, "a whole number", value);
    return number;
  }
  double positive(const std::string& key) const {
    const std::string& value = text(key);
    double number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error != std::errc() || end != value.data() + value.size() || !(number >= 0) ||
        !std::isfinite(number))
      fail("malformed signature", "metadata " + key, "a finite number, not negative", value);
    return number;
  }
  Tensor tensor(const std::string& name, DType dtype, const std::vector<Index>& shape) const {
    const auto found = file_->tensors().find(name);
    const std::string expected = fmt::format("{} {}", dtype_name(dtype), shape_text(shape));
    if (found == file_->tensors().end()) fail("incomplete signature", name, expected, "no such tensor");
    if (found->second.dtype != dtype || found->second.shape != shape)
      fail("malformed signature", name, expected,
           fmt::format("{} {}", dtype_name(found->second.dtype), found->second.shape_text()));
    return found->second;
  }
  bool has(const std::string& name) const { return file_->tensors().contains(name); }
  Index elements(const std::string& name) const { return file_->tensors().at(name).elements(); }

  /// Finite unit rows, or zero ones.
  void check_directions(const std::string& name, const Tensor& tensor) const {
    std::vector<float> row(static_cast<std::size_t>(tensor.shape[1]));
    for (Index r = 0; r < tensor.shape[0]; ++r) {
      convert_to_f32(tensor.dtype, tensor.data + r * tensor.shape[1] * dtype_size(tensor.dtype),
                     tensor.shape[1], row.data());
      const double length = norm(row);
      if (!std::isfinite(length) || (length > 0 && std::abs(length - 1) > kUnitTolerance))
        fail("a direction that is none", fmt::format("{}, layer {}", name, r + 1), "finite, of length 1",
             fmt::format("length {:g}", length));
    }
  }
  Matrix numbers(const std::string& name, Index rows, Index cols) const {
    const Tensor stored = tensor(name, DType::kF32, {rows, cols});
    Matrix values(rows, cols);
    std::memcpy(values.data(), stored.data, static_cast<std::size_t>(stored.bytes()));
    for (Index i = 0; i < rows * cols; ++i)
      if (!std::isfinite(values.data()[i]))
        fail("a value that is not finite", name, "finite numbers", "NaN or infinity");
    return values;
  }

  [[noreturn]] void fail(const std::string& what, const std::string& where, const std::string& expected,
                         const std::string& got, const std::string& hint = "") const {
    throw_bad_input({.what = what,
                     .file = path_,
                     .tensor = where,
                     .expected = expected,
                     .got = got,
                     .hint = hint.empty() ? kAgain + path_ : hint});
  }

 private:
  std::shared_ptr<const SafetensorsFile> file_;
  std::string path_;
};

Signature read(const Reader& reader);

}  // namespace

void write_signature(const Signature& signature, const fs::path& path) {
  write_file(path, signature_bytes(signature));
}

std::string signature_bytes(const Signature& signature) {
  Metadata metadata{{"format", kFormat},
                    {"version", std::to_string(kSignatureVersion)},
                    {"program", fmt::format("defectoscope {}", kVersion)},
                    {"form", signature_form_name(signature.form)},
                    {"model", signature.model},
                    {"model_type", signature.model_type},
                    {"family", signature.family},
                    {"fingerprint", signature.fingerprint},
                    {"hidden_size", std::to_string(signature.hidden_size)},
                    {"layers", std::to_string(signature.layers)},
                    {"vocab_size", std::to_string(signature.vocab_size)},
                    {"embedding_rms", fmt::format("{}", signature.embedding_rms)},
                    {"token_dimension", fmt::format("{}", signature.token_dimension)}};
  std::vector<Tensor> list;
  list.push_back(in_f16("left", signature.left));
  list.push_back(in_bytes("ffn_left", signature.ffn_left));
  const auto numbers = [&](const char* name, const Matrix& values) {
    list.push_back(tensor_of(name, DType::kF32, {values.rows(), values.cols()}, values.data()));
  };
  numbers("singular_values", signature.singular_values);
  numbers("ffn_singular_values", signature.ffn_singular_values);
  if (signature.decay_eigenvalues.rows() > 0) numbers("decay_eigenvalues", signature.decay_eigenvalues);
  if (signature.tokens() > 0) {
    list.push_back(
        tensor_of("token_hashes", DType::kI64, {signature.tokens()}, signature.token_hashes.data()));
    list.push_back(in_bytes("token_left", signature.token_left));
    list.push_back(in_bytes("token_ffn_left", signature.token_ffn_left));
  }
  std::map<std::string, Tensor> tensors;
  for (const Tensor& tensor : list) tensors.emplace(tensor.name, tensor);
  metadata["sha256"] = checksum(metadata, tensors);
  return safetensors_bytes(list, metadata);
}

Signature read_signature(const fs::path& path) { return read(Reader(SafetensorsFile::open(path))); }

Signature signature_of_bytes(std::string bytes, const std::string& name) {
  const auto owner = std::make_shared<const std::string>(std::move(bytes));
  return read(Reader(SafetensorsFile::read(std::as_bytes(std::span(*owner)), owner, name)));
}

namespace {

Signature read(const Reader& reader) {
  reader.check_kind();
  Signature signature;
  const std::string& form = reader.text("form");
  if (form != signature_form_name(SignatureForm::kCanonical) &&
      form != signature_form_name(SignatureForm::kPaper))
    reader.fail("malformed signature", "metadata form", "canonical or paper", form);
  signature.form =
      form == signature_form_name(SignatureForm::kPaper) ? SignatureForm::kPaper : SignatureForm::kCanonical;
  signature.model = reader.text("model");
  signature.model_type = reader.text("model_type");
  signature.family = reader.text("family");
  signature.fingerprint = reader.text("fingerprint");
  signature.hidden_size = reader.integer("hidden_size");
  signature.layers = reader.integer("layers");
  signature.vocab_size = reader.integer("vocab_size");
  signature.embedding_rms = reader.positive("embedding_rms");
  signature.token_dimension = reader.positive("token_dimension");

  const Index layers = signature.layers, width = signature.hidden_size;
  const Tensor left = reader.tensor("left", DType::kF16, {layers, width});
  reader.check_directions("left", left);
  signature.left = from_f16(left);
  signature.ffn_left = from_bytes(reader.tensor("ffn_left", DType::kI8, {layers, width}));
  signature.singular_values = reader.numbers("singular_values", layers, 2);
  signature.ffn_singular_values = reader.numbers("ffn_singular_values", layers, 2);
  if (reader.has("decay_eigenvalues"))
    signature.decay_eigenvalues = reader.numbers("decay_eigenvalues", layers, 2);
  if (reader.has("token_hashes")) {
    const Index tokens = reader.elements("token_hashes");
    const Tensor hashes = reader.tensor("token_hashes", DType::kI64, {tokens});
    signature.token_hashes.resize(static_cast<std::size_t>(tokens));
    std::memcpy(signature.token_hashes.data(), hashes.data, static_cast<std::size_t>(hashes.bytes()));
    for (std::size_t i = 1; i < signature.token_hashes.size(); ++i)
      if (signature.token_hashes[i] <= signature.token_hashes[i - 1])
        reader.fail("malformed signature", "token_hashes", "ascending", "out of order");
    signature.token_left = from_bytes(reader.tensor("token_left", DType::kI8, {layers, tokens}));
    signature.token_ffn_left = from_bytes(reader.tensor("token_ffn_left", DType::kI8, {layers, tokens}));
  }
  return signature;
}

}  // namespace

bool is_signature_file(const fs::path& path) {
  if (path.extension() != ".safetensors" || !fs::is_regular_file(path)) return false;
  const auto file = SafetensorsFile::open(path);
  const auto format = file->metadata().find("format");
  return format != file->metadata().end() && format->second == kFormat;
}

void round_to_stored(Signature& signature) {
  signature.left = from_f16(in_f16("left", signature.left));
  signature.ffn_left = from_bytes(in_bytes("ffn_left", signature.ffn_left));
  if (signature.tokens() == 0) return;
  signature.token_left = from_bytes(in_bytes("token_left", signature.token_left));
  signature.token_ffn_left = from_bytes(in_bytes("token_ffn_left", signature.token_ffn_left));
}

}  // namespace defectoscope
