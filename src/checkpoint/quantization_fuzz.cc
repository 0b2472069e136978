// Builds small quantized checkpoints from bytes: their weights are made, or an Error says what does not fit.
#include <fuzzer/FuzzedDataProvider.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>

#include "base/test_fuzz.h"
#include "checkpoint/quantization.h"
#include "checkpoint/strict_json.h"
#include "checkpoint/tensor_set.h"

namespace {

using namespace defectoscope;

constexpr const char* kParts[] = {
    "qweight",      "qzeros",       "scales",           "g_idx",        "weight",
    "weight_scale", "SCB",          "weight_scale_inv", "weight_shape", "weight_zero_point",
    "weight_g_idx", "weight_packed"};
constexpr DType kTypes[] = {DType::kF32, DType::kF16, DType::kBF16,   DType::kI8,
                            DType::kI32, DType::kI64, DType::kF8E4M3, DType::kF8E5M2};

Tensor draw_tensor(FuzzedDataProvider& input, std::string name) {
  Tensor tensor{std::move(name), input.PickValueInArray(kTypes)};
  for (int i = input.ConsumeIntegralInRange(0, 3); i > 0; --i)
    tensor.shape.push_back(input.ConsumeIntegralInRange<Index>(0, 24));
  const auto bytes = static_cast<std::size_t>(tensor.bytes());
  const auto data = std::make_shared<std::vector<std::byte>>(bytes + 8);
  const std::vector<std::uint8_t> drawn = input.ConsumeBytes<std::uint8_t>(std::min<std::size_t>(bytes, 64));
  std::ranges::copy(std::as_bytes(std::span(drawn)), data->begin());
  tensor.data = data->data();
  tensor.owner = data;
  return tensor;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzedDataProvider input(data, size);
  Quantization scheme;
  if (input.ConsumeBool()) {
    const std::string text = input.ConsumeRandomLengthString(200);
    attempt([&] { scheme = parse_quantization(parse_strict_json(text, "fuzz"), "fuzz"); });
  } else {
    using Method = Quantization::Method;
    constexpr Method kMethods[] = {Method::kNone, Method::kGptq, Method::kAwq, Method::kScaled,
                                   Method::kCompressed};
    scheme.method = input.PickValueInArray(kMethods);
    scheme.bits = input.ConsumeBool() ? 4 : 8;
    scheme.group_size = input.ConsumeBool() ? -1 : input.ConsumeIntegralInRange<Index>(1, 32);
    scheme.zeros_less_one = input.ConsumeBool();
    scheme.block_rows = input.ConsumeIntegralInRange<Index>(1, 32);
    scheme.block_cols = input.ConsumeIntegralInRange<Index>(1, 32);
  }
  auto stored = std::make_shared<TensorSet>();
  stored->begin_file("fuzz");
  for (const char* part : kParts)
    if (input.ConsumeBool()) stored->add(draw_tensor(input, std::string("layer.") + part));
  stored->finish();
  attempt([&] {
    const auto made = dequantized(stored, scheme);
    for (const std::string& name : made->names())
      attempt([&] { require(made->find(name)->shape == made->describe(name)->shape); });
  });
  return 0;
}
