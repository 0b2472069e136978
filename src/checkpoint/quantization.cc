#include "checkpoint/quantization.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "checkpoint/quantized_parts.h"
#include "checkpoint/strict_json.h"

namespace defectoscope {
namespace {

using nlohmann::json;
using Method = Quantization::Method;

constexpr const char* kSection = "quantization_config";
constexpr const char* kHint = "take the model's unquantized version";
constexpr Index kLargestGroup = Index{1} << 24;

class Parser {
 public:
  Parser(const json& config, const std::string& file) : config_(config), file_(file) {}

  Quantization parse() {
    if (!config_.is_object()) fail("", "an object", config_.type_name());
    const std::string method = text("quant_method", "");
    if (method == "gptq") return gptq();
    if (method == "awq") return awq();
    if (method == "fp8" || method == "fbgemm_fp8") return fp8();
    if (method == "compressed-tensors") return compressed();
    if (method == "bitsandbytes") return bitsandbytes();
    fail("quant_method", "gptq, awq, fp8, fbgemm_fp8, compressed-tensors or bitsandbytes",
         method.empty() ? "none" : shortened(method));
  }

 private:
  [[noreturn]] void fail(const std::string& key, const std::string& expected, const std::string& got) const {
    throw_bad_input({.what = "quantized weights of this kind are not read",
                     .file = file_,
                     .tensor = kSection + (key.empty() ? "" : "." + key),
                     .expected = expected,
                     .got = got,
                     .hint = kHint});
  }
  std::string text(const char* key, const char* otherwise) const {
    const auto found = config_.find(key);
    if (found == config_.end() || found->is_null()) return otherwise;
    if (!found->is_string()) fail(key, "a text", found->type_name());
    return found->get<std::string>();
  }
  Index integer(const json& value, const std::string& key, Index low, Index high) const {
    if (!value.is_number_integer() || value < low || value > high)
      fail(key, std::to_string(low) + " to " + std::to_string(high), shortened(value.dump()));
    return value.get<Index>();
  }
  Index integer(std::string_view key, std::string_view other, Index otherwise, Index low, Index high) const {
    for (const std::string_view name : {key, other})
      if (const auto found = config_.find(name); found != config_.end() && !found->is_null())
        return integer(*found, std::string(name), low, high);
    return otherwise;
  }

  void groups(Quantization& scheme) const {
    scheme.group_size = integer("group_size", "q_group_size", -1, -1, kLargestGroup);
    if (scheme.group_size == 0) fail("group_size", "-1 or more than 0", "0");
  }

  Quantization gptq() const {
    Quantization scheme{.method = Method::kGptq, .bits = integer("bits", "", 4, 1, 8)};
    if (scheme.bits != 4 && scheme.bits != 8) fail("bits", "4 or 8", std::to_string(scheme.bits));
    groups(scheme);
    const std::string format = text("checkpoint_format", "gptq");
    if (format != "gptq" && format != "gptq_v2")
      fail("checkpoint_format", "gptq or gptq_v2", shortened(format));
    scheme.zeros_less_one = format == "gptq";
    return scheme;
  }

  Quantization awq() const {
    Quantization scheme{.method = Method::kAwq, .bits = integer("bits", "w_bit", 4, 1, 8)};
    if (scheme.bits != 4) fail("bits", "4", std::to_string(scheme.bits));
    groups(scheme);
    std::string version = text("version", "gemm");
    std::ranges::transform(version, version.begin(), [](unsigned char c) { return std::tolower(c); });
    if (version != "gemm") fail("version", "gemm", shortened(version));
    scheme.zeros_less_one = false;
    return scheme;
  }

  Quantization fp8() const {
    Quantization scheme{.method = Method::kScaled};
    const auto block = config_.find("weight_block_size");
    if (block == config_.end() || block->is_null()) return scheme;
    if (!block->is_array() || block->size() != 2)
      fail("weight_block_size", "two sizes", shortened(block->dump()));
    scheme.block_rows = integer((*block)[0], "weight_block_size", 1, kLargestGroup);
    scheme.block_cols = integer((*block)[1], "weight_block_size", 1, kLargestGroup);
    return scheme;
  }

  Quantization compressed() const {
    const std::string format = text("format", "dense");
    if (format == "dense") return {};
    for (const char* known : {"int-quantized", "float-quantized", "naive-quantized", "pack-quantized"})
      if (format == known) return {.method = Method::kCompressed};
    fail("format", "int-quantized, float-quantized, naive-quantized or pack-quantized", shortened(format));
  }

  Quantization bitsandbytes() const {
    const auto four = config_.find("load_in_4bit");
    if (four != config_.end() && four->is_boolean() && four->get<bool>())
      fail("load_in_4bit", "bitsandbytes in 8 bits", "4 bits (nf4 or fp4)");
    return {.method = Method::kScaled};
  }

  const json& config_;
  const std::string& file_;
};

constexpr std::string_view kWeight = ".weight", kPacked = ".qweight", kCompressed = ".weight_packed";

/// What stands beside a quantized weight; scales of activations are of no use here.
constexpr std::array<std::string_view, 24> kParts = {"qzeros",
                                                     "scales",
                                                     "g_idx",
                                                     "weight_scale",
                                                     "weight_scale_inv",
                                                     "weight_shape",
                                                     "weight_g_idx",
                                                     "SCB",
                                                     "weight_zero_point",
                                                     "weight_format",
                                                     "input_scale",
                                                     "output_scale",
                                                     "input_zero_point",
                                                     "output_zero_point",
                                                     "activation_scale",
                                                     "input_scale_ub",
                                                     "k_scale",
                                                     "v_scale",
                                                     "q_scale",
                                                     "input_scale_inv",
                                                     "qweight",
                                                     "weight_packed",
                                                     "weight",
                                                     "act_scale"};

bool is_eight_bits(DType type) {
  return type == DType::kI8 || type == DType::kF8E4M3 || type == DType::kF8E5M2;
}

/// "a.b" of "a.b.weight" where `name` is a quantized weight's main part; empty where it is none.
std::string stem_of(const Checkpoint& stored, const std::string& name) {
  for (const std::string_view suffix : {kPacked, kCompressed, kWeight})
    if (name.ends_with(suffix)) {
      if (suffix == kWeight && !is_eight_bits(stored.describe(name)->dtype)) return {};
      return name.substr(0, name.size() - suffix.size());
    }
  return {};
}

QuantizedWeight weight_of(const Checkpoint& stored, const std::string& name, const std::string& stem,
                          const Quantization& scheme) {
  const QuantizedParts parts(stored, stem, scheme);
  if (name.ends_with(kWeight)) return scale_weight(parts);
  if (name.ends_with(kCompressed)) return unpack_compressed(parts);
  if (scheme.method == Method::kGptq) return unpack_gptq(parts);
  if (scheme.method == Method::kAwq) return unpack_awq(parts);
  parts.fail("qweight", "packed weights, but the configuration does not say how", kSection,
             "none of gptq or awq");
}

bool is_part(const std::string& name, const std::vector<std::string>& stems) {
  const std::size_t dot = name.rfind('.');
  if (dot == name.npos) return false;
  return std::ranges::find(kParts, std::string_view(name).substr(dot + 1)) != kParts.end() &&
         std::ranges::binary_search(stems, name.substr(0, dot));
}

}  // namespace

Quantization parse_quantization(const json& config, const std::string& file) {
  return Parser(config, file).parse();
}

std::shared_ptr<const Checkpoint> dequantized(std::shared_ptr<const Checkpoint> stored,
                                              const Quantization& scheme) {
  std::vector<std::string> stems;
  for (const std::string& name : stored->names())
    if (std::string stem = stem_of(*stored, name); !stem.empty()) stems.push_back(std::move(stem));
  if (stems.empty()) return stored;
  std::ranges::sort(stems);
  auto set = std::make_shared<TensorSet>();
  for (const std::filesystem::path& file : stored->files()) {
    set->begin_file(file);
    for (const std::string& name : stored->names()) {
      if (stored->file_of(name) != file) continue;
      if (const std::string stem = stem_of(*stored, name); !stem.empty()) {
        QuantizedWeight weight = weight_of(*stored, name, stem, scheme);
        set->add_made(weight.described, std::move(weight.stored),
                      [maker = std::move(weight.maker), stored](std::byte* out) { maker(out); });
      } else if (!is_part(name, stems)) {
        set->add_from(stored, name, name);
      }
    }
  }
  set->finish();
  return set;
}

}  // namespace defectoscope
