#include "registry/sketch.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>

#include "base/error.h"
#include "base/random.h"
#include "kernels/sign_bits.h"
#include "lineage/null_law.h"
#include "lineage/shared_tokens.h"

namespace defectoscope {
namespace {

static_assert(kDirectionWords == kSignWords * kDirectionPlanes);

constexpr std::size_t kWordBits = 64;
// Part of the format: stored sketches are compared with new ones.
constexpr std::uint64_t kDirectionSeed = 0x736b6574636831, kTokenSeed = 0x736b6574636832;

/// [width, 256] standard normal; those of a width are kept.
std::shared_ptr<const Matrix> direction_projections(Index width) {
  static std::mutex mutex;
  static std::map<Index, std::shared_ptr<const Matrix>> known;
  const std::scoped_lock lock(mutex);
  std::shared_ptr<const Matrix>& kept = known[width];
  if (kept) return kept;
  Matrix normals(width, static_cast<Index>(kDirectionWords * kWordBits));
  for (Index i = 0; i < width; ++i) {
    Random random(kDirectionSeed, static_cast<std::uint64_t>(i));
    for (float& x : normals.row(i)) x = static_cast<float>(random.normal());
  }
  return kept = std::make_shared<const Matrix>(std::move(normals));
}

/// [tokens, 64] of ±1. Steele, Lea and Flood's mixer (splitmix64, OOPSLA 2014).
Matrix token_projections(const std::vector<std::uint64_t>& hashes) {
  Matrix signs(std::ssize(hashes), static_cast<Index>(kWordBits));
  for (std::size_t i = 0; i < hashes.size(); ++i) {
    std::uint64_t bits = hashes[i] + kTokenSeed;
    bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9;
    bits = (bits ^ (bits >> 27)) * 0x94d049bb133111eb;
    bits ^= bits >> 31;
    for (std::size_t j = 0; j < kWordBits; ++j)
      signs(static_cast<Index>(i), static_cast<Index>(j)) = (bits >> j) & 1 ? 1.0f : -1.0f;
  }
  return signs;
}

/// Signs of rows · projections into `words` [planes, rows, words of a plane]; see Sketch.
void append_signs(const Matrix& rows, const Matrix& projections, std::size_t planes,
                  std::vector<std::uint64_t>& words) {
  const auto a_row = static_cast<std::size_t>(projections.cols()) / kWordBits / planes;
  const auto a_plane = static_cast<std::size_t>(rows.rows()) * a_row;
  std::vector<float> sums(static_cast<std::size_t>(projections.cols()));
  const std::size_t begin = words.size();
  words.resize(begin + planes * a_plane);
  for (Index r = 0; r < rows.rows(); ++r) {
    std::ranges::fill(sums, 0.0f);
    bool exists = false;
    for (Index i = 0; i < rows.cols(); ++i) {
      const float x = rows(r, i);
      if (x == 0) continue;
      exists = true;
      const auto projection = projections.row(i);
      for (std::size_t j = 0; j < sums.size(); ++j) sums[j] += x * projection[j];
    }
    const bool flip = sums[0] < 0;
    for (std::size_t j = 0; exists && j < sums.size(); ++j) {
      if ((sums[j] < 0) != flip) continue;
      const std::size_t word = j / kWordBits;
      words[begin + word / a_row * a_plane + static_cast<std::size_t>(r) * a_row + word % a_row] |=
          std::uint64_t{1} << j % kWordBits;
    }
  }
}

/// −ln P(|2H − B| ≥ k), H binomial (B, ½), for k = 0 ... B.
template <std::size_t kSize>
std::array<double, kSize + 1> surprises() {
  constexpr int kBits = static_cast<int>(kSize);
  std::array<double, kSize + 1> table{};
  double tail = 0;  // from the far end: small terms first
  for (int k = kBits; k >= 0; k -= 2) {
    const int heads = (kBits + k) / 2;
    const double log_term = std::lgamma(kBits + 1) - std::lgamma(heads + 1) - std::lgamma(kBits - heads + 1) -
                            kBits * std::log(2);
    tail += (k == 0 ? 1 : 2) * std::exp(log_term);
    table[static_cast<std::size_t>(k)] = -std::log(std::min(1.0, tail));
    if (k > 0) table[static_cast<std::size_t>(k - 1)] = table[static_cast<std::size_t>(k)];
  }
  return table;
}

double direction_table(std::size_t k) {
  static const auto kTable = surprises<64 * kDirectionWords>();
  return kTable[k];
}
double token_table(std::size_t k) {
  static const auto kTable = surprises<64>();
  return kTable[k];
}

/// −ln P(X ≥ sum) of n exponential variables together (Wilson and Hilferty 1931).
double surprise_of_sum(double sum, double n) {
  const double z = (std::cbrt(sum / n) - 1 + 1 / (9 * n)) * 3 * std::sqrt(n);
  return z > 0 ? -log_normal_two_tails(z, 0, 1) : 0;
}

/// Whether a layer has a direction, by its row's first word.
bool exists(std::uint64_t first) { return (first & 1) != 0; }

/// Same-numbered rows of planes [planes, rows, words].
double same_layers_surprise(std::span<const std::uint64_t> a, std::span<const std::uint64_t> b,
                            std::size_t planes, std::size_t words, double (*table)(std::size_t)) {
  const std::size_t plane_a = a.size() / planes, plane_b = b.size() / planes;
  const int bits = static_cast<int>(planes * words * kWordBits);
  double largest = 0, sum = 0, n = 0;
  for (std::size_t i = 0; i + words <= std::min(plane_a, plane_b); i += words) {
    if (!exists(a[i]) || !exists(b[i])) continue;
    int ones = 0;
    for (std::size_t p = 0; p < planes; ++p)
      for (std::size_t w = i; w < i + words; ++w)
        ones += std::popcount(a[p * plane_a + w] ^ b[p * plane_b + w]);
    const double surprise = table(static_cast<std::size_t>(std::abs(2 * ones - bits)));
    largest = std::max(largest, surprise);
    sum += surprise;
    ++n;
  }
  return n == 0 ? 0 : std::max(largest - std::log(n), surprise_of_sum(sum, n));
}

std::span<const std::uint64_t> half(std::span<const std::uint64_t> words, bool second) {
  return words.subspan(second ? words.size() / 2 : 0, words.size() / 2);
}

/// The planes without rows of layers that have no direction.
std::vector<std::uint64_t> existing(std::span<const std::uint64_t> planes) {
  std::vector<std::uint64_t> kept;
  const std::size_t a_plane = planes.size() / kDirectionPlanes;
  for (std::size_t i = 0; i < planes.size(); ++i)
    if (exists(planes[i % a_plane / kSignWords * kSignWords])) kept.push_back(planes[i]);
  return kept;
}

}  // namespace

Sketch sketch_of(const Signature& signature) {
  Sketch sketch;
  const auto directions = direction_projections(signature.hidden_size);
  append_signs(signature.left, *directions, kDirectionPlanes, sketch.directions);
  append_signs(signature.ffn_left, *directions, kDirectionPlanes, sketch.directions);
  if (signature.tokens() == 0) return sketch;
  const Matrix signs = token_projections(signature.token_hashes);
  std::vector<Index> all(static_cast<std::size_t>(signature.tokens()));
  std::iota(all.begin(), all.end(), Index{0});
  append_signs(shared_columns(signature.token_left, all), signs, 1, sketch.tokens);
  append_signs(shared_columns(signature.token_ffn_left, all), signs, 1, sketch.tokens);
  return sketch;
}

std::string sketch_bytes(std::span<const std::uint64_t> words) {
  std::string bytes;
  bytes.reserve(8 * words.size());
  for (const std::uint64_t word : words)
    for (int shift = 0; shift < 64; shift += 8) bytes += static_cast<char>(word >> shift);
  return bytes;
}

void append_sketch(std::string_view bytes, std::size_t words_a_layer, const std::string& file, Index model,
                   std::vector<std::uint64_t>& words) {
  if (bytes.size() % (16 * words_a_layer) != 0)
    throw_bad_input({.what = "a sketch in the registry is damaged",
                     .file = file,
                     .tensor = "model " + std::to_string(model),
                     .expected = "whole layers",
                     .got = std::to_string(bytes.size()) + " bytes",
                     .hint = "remove the model and add it again"});
  static_assert(std::endian::native == std::endian::little);
  const std::size_t begin = words.size();
  words.resize(begin + bytes.size() / 8);
  std::memcpy(words.data() + begin, bytes.data(), bytes.size());
}

DirectionSurprise direction_surprise(std::span<const std::uint64_t> a, std::span<const std::uint64_t> b) {
  DirectionSurprise surprise;
  const auto layers_a = half(a, false), layers_b = half(b, false);
  surprise.layers = same_layers_surprise(layers_a, layers_b, kDirectionPlanes, kSignWords, direction_table);
  surprise.ffns =
      same_layers_surprise(half(a, true), half(b, true), kDirectionPlanes, kSignWords, direction_table);
  // Two layers without a direction would agree in every bit.
  const std::vector<std::uint64_t> those_of_a = existing(layers_a);
  const double pairs = static_cast<double>(those_of_a.size() * layers_b.size()) /
                       static_cast<double>(kDirectionWords * kDirectionWords);
  if (pairs == 0) return surprise;
  const int farthest = farthest_from_half(those_of_a, layers_b, kDirectionPlanes);
  surprise.any_layers = std::max(0.0, direction_table(static_cast<std::size_t>(farthest)) - std::log(pairs));
  return surprise;
}

TokenSurprise token_surprise(std::span<const std::uint64_t> a, std::span<const std::uint64_t> b) {
  return {same_layers_surprise(half(a, false), half(b, false), 1, kTokenWords, token_table),
          same_layers_surprise(half(a, true), half(b, true), 1, kTokenWords, token_table)};
}

}  // namespace defectoscope
