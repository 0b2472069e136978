#include "checkpoint/gguf_blocks.h"

#include <cstring>

#include "tensor/dtype.h"

// Layouts of the blocks: github.com/ggml-org/ggml, docs/gguf.md and the structs of ggml-common.h. Below,
// `value` runs within a block; scales and offsets are f16.
namespace defectoscope {
namespace {

using Byte = std::uint8_t;

float half(const Byte* at) {
  std::uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return f16_to_f32(bits);
}
std::uint32_t word(const Byte* at) {
  std::uint32_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return bits;
}
float whole(int value) { return static_cast<float>(value); }

/// Blocks of 32 with 4-bit codes: byte i holds value i below and value i + 16 above.
template <typename Decode>
void unpack_nibbles(const Byte* codes, float* out, const Decode& decode) {
  for (int i = 0; i < 16; ++i) {
    out[i] = decode(codes[i] & 15, i);
    out[i + 16] = decode(codes[i] >> 4, i + 16);
  }
}

void q4_0(const Byte* block, float* out) {
  const float scale = half(block);
  unpack_nibbles(block + 2, out, [&](int code, int) { return scale * whole(code - 8); });
}

void q4_1(const Byte* block, float* out) {
  const float scale = half(block), low = half(block + 2);
  unpack_nibbles(block + 4, out, [&](int code, int) { return scale * whole(code) + low; });
}

/// The fifth bit of value i is bit i of a word.
int fifth(std::uint32_t bits, int value) { return static_cast<int>((bits >> value) & 1u) << 4; }

void q5_0(const Byte* block, float* out) {
  const float scale = half(block);
  const std::uint32_t high = word(block + 2);
  unpack_nibbles(block + 6, out,
                 [&](int code, int value) { return scale * whole((code | fifth(high, value)) - 16); });
}

void q5_1(const Byte* block, float* out) {
  const float scale = half(block), low = half(block + 2);
  const std::uint32_t high = word(block + 4);
  unpack_nibbles(block + 8, out,
                 [&](int code, int value) { return scale * whole(code | fifth(high, value)) + low; });
}

void q8_0(const Byte* block, float* out) {
  const float scale = half(block);
  for (int i = 0; i < 32; ++i) out[i] = scale * whole(static_cast<std::int8_t>(block[2 + i]));
}

// Blocks of 256, cut into groups with small scales of their own.

/// Value of 16-value groups g = 0 .. 15: 2 bits of code from bytes that hold four groups of one half-block.
int two_bits(const Byte* codes, int group, int i) {
  const int half_block = group / 8, shift = group % 8 / 2 * 2, odd = group % 2;
  return (codes[32 * half_block + 16 * odd + i] >> shift) & 3;
}

void q2_k(const Byte* block, float* out) {
  const Byte* scales = block;
  const Byte* codes = block + 16;
  const float scale = half(block + 80), low = half(block + 82);
  for (int g = 0; g < 16; ++g) {
    const float step = scale * whole(scales[g] & 15), offset = low * whole(scales[g] >> 4);
    for (int i = 0; i < 16; ++i) *out++ = step * whole(two_bits(codes, g, i)) - offset;
  }
}

void q3_k(const Byte* block, float* out) {
  const Byte* high = block;  // bit g / 2 of byte i: the third bit of the code, inverted sign of -4
  const Byte* codes = block + 32;
  const Byte* scales = block + 96;
  const float scale = half(block + 108);
  for (int g = 0; g < 16; ++g) {
    const int low4 = g < 8 ? scales[g] & 15 : scales[g - 8] >> 4;
    const int high2 = (scales[8 + g % 4] >> (g / 4 * 2)) & 3;
    const float step = scale * whole((low4 | high2 << 4) - 32);
    for (int i = 0; i < 16; ++i) {
      const bool third = ((high[16 * (g % 2) + i] >> (g / 2)) & 1) != 0;
      *out++ = step * whole(two_bits(codes, g, i) - (third ? 0 : 4));
    }
  }
}

struct ScaleAndLow {
  int scale, low;
};
/// 6 bits each for the groups of 32, g = 0 .. 7, in 12 bytes.
ScaleAndLow six_bits(const Byte* packed, int g) {
  if (g < 4) return {packed[g] & 63, packed[g + 4] & 63};
  return {(packed[g + 4] & 15) | (packed[g - 4] >> 6) << 4, (packed[g + 4] >> 4) | (packed[g] >> 6) << 4};
}

/// Q4_K, and with `fifths` (bit g of byte i) Q5_K.
void unpack_k(const Byte* block, const Byte* fifths, const Byte* codes, float* out) {
  const float scale = half(block), low = half(block + 2);
  for (int g = 0; g < 8; ++g) {
    const ScaleAndLow packed = six_bits(block + 4, g);
    const float step = scale * whole(packed.scale), offset = low * whole(packed.low);
    for (int i = 0; i < 32; ++i) {
      int code = (codes[32 * (g / 2) + i] >> (4 * (g % 2))) & 15;
      if (fifths != nullptr) code |= ((fifths[i] >> g) & 1) << 4;
      *out++ = step * whole(code) - offset;
    }
  }
}
void q4_k(const Byte* block, float* out) { unpack_k(block, nullptr, block + 16, out); }
void q5_k(const Byte* block, float* out) { unpack_k(block, block + 16, block + 48, out); }

void q6_k(const Byte* block, float* out) {
  const Byte* low4 = block;
  const Byte* high2 = block + 128;
  const Byte* scales = block + 192;
  const float scale = half(block + 208);
  for (int g = 0; g < 8; ++g) {  // of 32
    const int half_block = g / 4, part = g % 4;
    for (int i = 0; i < 32; ++i) {
      const int low = (low4[64 * half_block + 32 * (part % 2) + i] >> (4 * (part / 2))) & 15;
      const int high = (high2[32 * half_block + i] >> (2 * part)) & 3;
      // Signed by the format. NOLINTNEXTLINE(bugprone-signed-char-misuse)
      const int step = static_cast<std::int8_t>(scales[2 * g + i / 16]);
      *out++ = scale * whole(step) * whole((low | high << 4) - 32);
    }
  }
}

/// The sixteen levels of the non-linear 4-bit types.
constexpr int kLevels[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

void iq4_nl(const Byte* block, float* out) {
  const float scale = half(block);
  unpack_nibbles(block + 2, out, [&](int code, int) { return scale * whole(kLevels[code]); });
}

void iq4_xs(const Byte* block, float* out) {
  const float scale = half(block);
  const int high = block[2] | block[3] << 8;
  for (int g = 0; g < 8; ++g) {
    const int low4 = (block[4 + g / 2] >> (4 * (g % 2))) & 15;
    const float step = scale * whole((low4 | ((high >> (2 * g)) & 3) << 4) - 32);
    unpack_nibbles(block + 8 + 16 * g, out + 32 * g,
                   [&](int code, int) { return step * whole(kLevels[code]); });
  }
}

constexpr GgufFormat kFormats[] = {
    {0, "f32", 1, 4, nullptr},      {1, "f16", 1, 2, nullptr},       {30, "bf16", 1, 2, nullptr},
    {28, "f64", 1, 8, nullptr},     {24, "i8", 1, 1, nullptr},       {25, "i16", 1, 2, nullptr},
    {26, "i32", 1, 4, nullptr},     {27, "i64", 1, 8, nullptr},      {2, "q4_0", 32, 18, q4_0},
    {3, "q4_1", 32, 20, q4_1},      {6, "q5_0", 32, 22, q5_0},       {7, "q5_1", 32, 24, q5_1},
    {8, "q8_0", 32, 34, q8_0},      {10, "q2_k", 256, 84, q2_k},     {11, "q3_k", 256, 110, q3_k},
    {12, "q4_k", 256, 144, q4_k},   {13, "q5_k", 256, 176, q5_k},    {14, "q6_k", 256, 210, q6_k},
    {20, "iq4_nl", 32, 18, iq4_nl}, {23, "iq4_xs", 256, 136, iq4_xs}};

}  // namespace

const GgufFormat* find_gguf_format(std::uint32_t type) {
  for (const GgufFormat& format : kFormats)
    if (format.type == type) return &format;
  return nullptr;
}

}  // namespace defectoscope
