// Weights packed into 32-bit integers, lowest bits first.
#include <array>
#include <cstdint>
#include <cstring>

#include "checkpoint/quantized_matrix.h"
#include "checkpoint/quantized_parts.h"

namespace defectoscope {
namespace {

constexpr Index kWord = 32;
const std::vector<DType> kGroupScaleTypes = {DType::kF16, DType::kBF16, DType::kF32};

std::uint32_t word_at(const Tensor& tensor, Index position) {
  std::uint32_t word;
  std::memcpy(&word, tensor.data + position * static_cast<Index>(sizeof word), sizeof word);
  return word;
}

/// Field `i` of the words that begin at `first`, as if they were one string of bits.
int field_at(const Tensor& tensor, Index first, Index i, Index bits) {
  const std::uint32_t word = word_at(tensor, first + i * bits / kWord);
  return static_cast<int>(word >> (i * bits % kWord) & ((1u << bits) - 1));
}

/// [a, b] row-major to [b, a].
std::vector<float> transposed(const std::vector<float>& values, Index a, Index b) {
  std::vector<float> out(values.size());
  for (Index i = 0; i < a; ++i)
    for (Index j = 0; j < b; ++j)
      out[static_cast<std::size_t>(j * a + i)] = values[static_cast<std::size_t>(i * b + j)];
  return out;
}

/// Groups of columns from a stored index, held to be below `groups`.
std::vector<Index> column_groups(const QuantizedParts& parts, const Tensor& index, Index groups) {
  std::vector<Index> result;
  for (Index i = 0; i < index.elements(); ++i) {
    const auto group = static_cast<std::int32_t>(word_at(index, i));
    if (group < 0 || group >= groups)
      parts.fail("g_idx", "group of an input does not exist", "0 to " + std::to_string(groups - 1),
                 std::to_string(group) + " at [" + std::to_string(i) + "]");
    result.push_back(group);
  }
  return result;
}

std::span<const std::byte> bytes_of(const Tensor& tensor) {
  return {tensor.data, static_cast<std::size_t>(tensor.bytes())};
}

QuantizedWeight weight(const QuantizedParts& parts, const std::string& format, const Tensor& main,
                       std::vector<Index> shape, const std::vector<Tensor>& others,
                       const std::function<QuantizedMatrix()>& prepare) {
  QuantizedWeight result;
  result.described = {parts.stem() + ".weight", DType::kF32, std::move(shape), nullptr, nullptr};
  result.stored = {format, result.described.shape, bytes_of(main), main.owner, {}};
  for (const Tensor& other : others) result.stored.scales.push_back(bytes_of(other));
  result.maker = [prepare](std::byte* out) { prepare().make(out); };
  return result;
}

/// What GPTQ and AWQ share: [inputs, outputs], scales and zero points [groups, outputs].
struct Grouped {
  Index in = 0, out = 0, groups = 0, group_size = 0, per_word = 0;
  Tensor codes, scales, zeros;
};

Grouped read_grouped(const QuantizedParts& parts, bool packed_inputs) {
  const Quantization& scheme = parts.scheme();
  Grouped g;
  g.per_word = kWord / scheme.bits;
  g.codes = parts.get("qweight", 2, {DType::kI32});
  g.in = g.codes.shape[0] * (packed_inputs ? g.per_word : 1);
  g.out = g.codes.shape[1] * (packed_inputs ? 1 : g.per_word);
  g.group_size = scheme.group_size < 0 ? g.in : scheme.group_size;
  g.groups = g.group_size == 0 ? 0 : (g.in + g.group_size - 1) / g.group_size;
  g.scales = parts.get("scales", 2, kGroupScaleTypes);
  g.zeros = parts.get("qzeros", 2, {DType::kI32});
  if (g.in == 0 || g.out % g.per_word != 0)
    parts.fail("qweight", "packed weight has an impossible shape",
               "outputs that are a multiple of " + std::to_string(g.per_word), g.codes.shape_text());
  parts.expect(g.scales, {g.groups, g.out});
  parts.expect(g.zeros, {g.groups, g.out / g.per_word});
  return g;
}

/// Without codes and zero points.
QuantizedMatrix matrix_of(const Grouped& g) {
  QuantizedMatrix matrix;
  matrix.rows = g.out;
  matrix.cols = g.in;
  matrix.groups = g.groups;
  matrix.group_size = g.group_size;
  matrix.scales = transposed(to_f32(g.scales), g.groups, g.out);
  return matrix;
}

}  // namespace

QuantizedWeight unpack_gptq(const QuantizedParts& parts) {
  const Grouped g = read_grouped(parts, true);
  const Index bits = parts.scheme().bits;
  const bool less_one = parts.scheme().zeros_less_one;
  std::vector<Tensor> others = {g.scales, g.zeros};
  std::optional<Tensor> index = parts.find("g_idx");
  if (index) {
    index = parts.get("g_idx", 1, {DType::kI32});
    parts.expect(*index, {g.in});
    others.push_back(*index);
  }
  return weight(parts, "gptq " + std::to_string(bits) + " bits", g.codes, {g.out, g.in}, others, [=] {
    QuantizedMatrix matrix = matrix_of(g);
    if (index) matrix.column_group = column_groups(parts, *index, g.groups);
    const int mask = (1 << bits) - 1;
    for (Index row = 0; row < g.out; ++row)
      for (Index group = 0; group < g.groups; ++group) {
        const int zero = field_at(g.zeros, group * (g.out / g.per_word), row, bits);
        matrix.zeros.push_back(static_cast<float>(less_one ? (zero + 1) & mask : zero));
      }
    matrix.read_codes = [=](Index row, std::span<float> codes) {
      for (Index i = 0; i < g.in; ++i) {
        const std::uint32_t word = word_at(g.codes, i / g.per_word * g.out + row);
        codes[static_cast<std::size_t>(i)] =
            static_cast<float>(static_cast<int>(word >> (i % g.per_word * bits)) & mask);
      }
    };
    return matrix;
  });
}

QuantizedWeight unpack_awq(const QuantizedParts& parts) {
  // Output k of eight neighbours lies in this nibble.
  static constexpr std::array<Index, 8> kNibble = {0, 4, 1, 5, 2, 6, 3, 7};
  const Grouped g = read_grouped(parts, false);
  const Index words = g.out / g.per_word;
  const auto code = [words](const Tensor& tensor, Index line, Index output) {
    const std::uint32_t word = word_at(tensor, line * words + output / 8);
    return static_cast<float>(word >> (4 * kNibble[static_cast<std::size_t>(output % 8)]) & 15u);
  };
  return weight(parts, "awq 4 bits", g.codes, {g.out, g.in}, {g.scales, g.zeros}, [=] {
    QuantizedMatrix matrix = matrix_of(g);
    for (Index row = 0; row < g.out; ++row)
      for (Index group = 0; group < g.groups; ++group) matrix.zeros.push_back(code(g.zeros, group, row));
    matrix.read_codes = [=](Index row, std::span<float> codes) {
      for (Index i = 0; i < g.in; ++i) codes[static_cast<std::size_t>(i)] = code(g.codes, i, row);
    };
    return matrix;
  });
}

QuantizedWeight unpack_compressed(const QuantizedParts& parts) {
  constexpr Index kMost = Index{1} << 28;
  const Tensor codes = parts.get("weight_packed", 2, {DType::kI32});
  const Tensor size = parts.get("weight_shape", 1, {DType::kI64, DType::kI32});
  parts.expect(size, {2});
  std::array<Index, 2> shape{};
  for (Index i = 0; i < 2; ++i) {
    const Index low = word_at(size, size.dtype == DType::kI64 ? 2 * i : i);
    const Index high = size.dtype == DType::kI64 ? word_at(size, 2 * i + 1) : 0;
    shape[static_cast<std::size_t>(i)] = high != 0 || low == 0 || low > kMost ? 0 : low;
  }
  const auto [out, in] = shape;
  Index bits = 0;
  for (const Index candidate : {Index{4}, Index{8}})
    if (in > 0 && codes.shape[0] == out && codes.shape[1] == (in * candidate + kWord - 1) / kWord)
      bits = candidate;
  if (bits == 0)
    parts.fail("weight_packed", "packed weight does not fit its shape",
               "4 or 8 bits for each of " + std::to_string(out) + " times " + std::to_string(in),
               codes.shape_text());
  const Tensor scales = parts.get("weight_scale", 2, kGroupScaleTypes);
  const Index groups = scales.shape[1];
  std::vector<Tensor> others = {scales};
  std::optional<Tensor> index = parts.find("weight_g_idx"), zeros = parts.find("weight_zero_point");
  if (groups < 1 || in % groups != 0)
    parts.fail("weight_scale", "groups do not divide the inputs", "a divisor of " + std::to_string(in),
               std::to_string(groups));
  parts.expect(scales, {out, groups});
  if (index) {
    index = parts.get("weight_g_idx", 1, {DType::kI32});
    parts.expect(*index, {in});
    // Before groups were assigned the index holds -1 throughout.
    others.push_back(*index);
  }
  if (zeros) {
    zeros = parts.get("weight_zero_point", 2, {DType::kI32});  // packed along the outputs
    parts.expect(*zeros, {(out * bits + kWord - 1) / kWord, groups});
    others.push_back(*zeros);
  }
  const Index columns = codes.shape[1], rows = out, cols = in;
  const Index width = bits;
  const int offset = 1 << (bits - 1);
  return weight(parts, "packed " + std::to_string(bits) + " bits", codes, {out, in}, others, [=] {
    QuantizedMatrix matrix;
    matrix.rows = rows;
    matrix.cols = cols;
    matrix.groups = groups;
    matrix.group_size = cols / groups;
    matrix.scales = to_f32(scales);
    if (index && static_cast<std::int32_t>(word_at(*index, 0)) != -1)
      matrix.column_group = column_groups(parts, *index, groups);
    if (zeros)
      for (Index row = 0; row < rows; ++row)
        for (Index group = 0; group < groups; ++group) {
          const std::uint32_t word = word_at(*zeros, row * width / kWord * groups + group);
          const int code = static_cast<int>(word >> (row * width % kWord)) & (2 * offset - 1);
          matrix.zeros.push_back(static_cast<float>(code - offset));
        }
    matrix.read_codes = [=](Index row, std::span<float> values) {
      for (Index i = 0; i < cols; ++i)
        values[static_cast<std::size_t>(i)] =
            static_cast<float>(field_at(codes, row * columns, i, width) - offset);
    };
    return matrix;
  });
}

}  // namespace defectoscope
