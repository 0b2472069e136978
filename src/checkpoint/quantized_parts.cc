#include "checkpoint/quantized_parts.h"

#include <algorithm>

#include "base/error.h"
#include "checkpoint/strict_json.h"

namespace defectoscope {

std::optional<Tensor> QuantizedParts::find(std::string_view part) const {
  return stored_->find(stem_ + "." + std::string(part));
}

Tensor QuantizedParts::get(std::string_view part, std::size_t rank, const std::vector<DType>& types) const {
  std::optional<Tensor> tensor = find(part);
  if (!tensor) fail(part, "part of a quantized weight missing", "a tensor of that name", "none");
  if (tensor->shape.size() != rank)
    fail(part, "part of a quantized weight has another rank", std::to_string(rank) + " dimensions",
         tensor->shape_text());
  if (std::ranges::find(types, tensor->dtype) == types.end())
    fail(part, "part of a quantized weight has another type", std::string(dtype_name(types.front())),
         std::string(dtype_name(tensor->dtype)));
  return *std::move(tensor);
}

void QuantizedParts::expect(const Tensor& tensor, const std::vector<Index>& shape) const {
  if (tensor.shape == shape) return;
  throw_bad_input({.what = "parts of a quantized weight do not fit each other",
                   .file = stored_->file_of(tensor.name).string(),
                   .tensor = shortened(tensor.name),
                   .expected = shape_text(shape),
                   .got = tensor.shape_text(),
                   .hint = "quantization_config and weights may be of different models"});
}

void QuantizedParts::fail(std::string_view part, const std::string& what, const std::string& expected,
                          const std::string& got) const {
  const std::string name = stem_ + "." + std::string(part);
  std::string file = stored_->file_of(name).string();
  if (file.empty() && !stored_->files().empty()) file = stored_->files().front().string();
  throw_bad_input({.what = what, .file = file, .tensor = shortened(name), .expected = expected, .got = got});
}

}  // namespace defectoscope
