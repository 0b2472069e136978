#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "base/random.h"
#include "kernels/pointwise.h"
#include "lineage/packed_rows.h"
#include "lineage/signature.h"
#include "lineage/signature_file.h"

/// Signatures without models: unrelated ones, and relatives of a known angle.
namespace defectoscope::synthetic {

struct Shape {
  Index width = 64, layers = 4, tokens = 64;
};

inline Matrix random_directions(Index rows, Index cols, Random& random) {
  Matrix out(rows, cols);
  for (Index i = 0; i < rows * cols; ++i) out.data()[i] = static_cast<float>(random.normal());
  make_rows_unit(out);
  return out;
}

/// Rows at exactly this angle to those of `rows`, otherwise random.
inline Matrix at_angle(const Matrix& rows, double degrees, Random& random) {
  Matrix out = random_directions(rows.rows(), rows.cols(), random);
  const double angle = degrees * std::numbers::pi / 180;
  for (Index r = 0; r < rows.rows(); ++r) {
    const double along = dot(out.row(r), rows.row(r));
    for (Index i = 0; i < rows.cols(); ++i) out(r, i) -= static_cast<float>(along) * rows(r, i);
    const double length = norm(out.row(r));
    for (Index i = 0; i < rows.cols(); ++i)
      out(r, i) = static_cast<float>(std::cos(angle) * rows(r, i) + std::sin(angle) * out(r, i) / length);
  }
  return out;
}

/// A model that no other is related to. Models of one `vocabulary` share their tokens.
inline Signature unrelated(const Shape& shape, std::uint64_t seed, std::uint64_t vocabulary = 0) {
  Random random(seed, 1), words(vocabulary, 2);
  Signature s;
  s.model = "model-" + std::to_string(seed);
  s.model_type = s.family = "llama";
  s.fingerprint = "weights-" + std::to_string(seed);
  s.hidden_size = shape.width;
  s.layers = shape.layers;
  s.vocab_size = 32000;
  s.embedding_rms = 0.02;
  s.left = random_directions(shape.layers, shape.width, random);
  s.ffn_left = random_directions(shape.layers, shape.width, random);
  for (Matrix Signature::* values : {&Signature::singular_values, &Signature::ffn_singular_values}) {
    s.*values = Matrix(shape.layers, 2);
    for (Index i = 0; i < shape.layers; ++i) {
      (s.*values)(i, 0) = static_cast<float>(std::exp(random.normal()));
      (s.*values)(i, 1) = static_cast<float>((s.*values)(i, 0) * (0.1 + 0.8 * random.uniform()));
    }
  }
  for (Index i = 0; i < shape.tokens; ++i) s.token_hashes.push_back(words.next_u64());
  std::ranges::sort(s.token_hashes);
  s.token_left = random_directions(shape.layers, shape.tokens, random);
  s.token_ffn_left = random_directions(shape.layers, shape.tokens, random);
  s.token_dimension = static_cast<double>(shape.tokens) / 2;
  round_to_stored(s);
  return s;
}

/// How a relative hides. Its singular values are always its own.
enum class Disguise {
  kNone,        ///< fine-tuned: every direction turned by the angle
  kRotated,     ///< the hidden space turned: only E·u is left
  kOtherWidth,  ///< grown to twice the width: the same
  kShifted,     ///< the first layer dropped: same-numbered layers have nothing in common
  kOneLayer     ///< all layers but one trained anew
};

inline Signature relative(const Signature& base, double degrees, Disguise disguise, std::uint64_t seed) {
  Random random(seed, 3);
  const bool wider = disguise == Disguise::kOtherWidth;
  Signature s =
      unrelated({wider ? 2 * base.hidden_size : base.hidden_size, base.layers, base.tokens()}, seed);
  s.token_hashes = base.token_hashes;
  s.token_dimension = base.token_dimension;
  const auto take = [&](const Matrix& from, Matrix& to) {
    const Matrix turned = at_angle(from, degrees, random);
    if (disguise == Disguise::kOneLayer) {
      std::ranges::copy(turned.row(turned.rows() / 2), to.row(to.rows() / 2).begin());
    } else if (disguise == Disguise::kShifted) {
      for (Index r = 1; r < to.rows(); ++r) std::ranges::copy(turned.row(r), to.row(r - 1).begin());
    } else {
      to = turned;
    }
  };
  if (disguise != Disguise::kRotated && !wider) {
    take(base.left, s.left);
    take(base.ffn_left, s.ffn_left);
  }
  take(base.token_left, s.token_left);
  take(base.token_ffn_left, s.token_ffn_left);
  round_to_stored(s);
  return s;
}

}  // namespace defectoscope::synthetic
