#include "kernels/rotary.h"

#include <cmath>

#include "base/parallel.h"

namespace defectoscope {
namespace {

void turn(float& a, float& b, float cosine, float sine) {
  const float turned = a * cosine - b * sine;
  b = b * cosine + a * sine;
  a = turned;
}

}  // namespace

RotaryTable make_rotary_table(std::span<const double> inverse_frequencies, Index positions,
                              double magnitude) {
  const auto half = static_cast<Index>(inverse_frequencies.size());
  RotaryTable table{Matrix(positions, half), Matrix(positions, half)};
  for (Index p = 0; p < positions; ++p)
    for (Index i = 0; i < half; ++i) {
      const float frequency = static_cast<float>(inverse_frequencies[static_cast<std::size_t>(i)]);
      const double angle = static_cast<double>(static_cast<float>(p) * frequency);
      table.cosine(p, i) = static_cast<float>(std::cos(angle) * magnitude);
      table.sine(p, i) = static_cast<float>(std::sin(angle) * magnitude);
    }
  return table;
}

void rotary(MatrixView x, Index heads, Index head_dim, const RotaryTable& table,
            std::span<const Index> positions, RotaryLayout layout, Index first_channel) {
  const Index half = table.cosine.cols();
  assert(first_channel + 2 * half <= head_dim && heads * head_dim <= x.cols());
  assert(static_cast<Index>(positions.size()) == x.rows());
  parallel_ranges(x.rows(), 16, [&](Index begin, Index end) {
    for (Index r = begin; r < end; ++r) {
      const Index position = positions[static_cast<std::size_t>(r)];
      assert(position >= 0 && position < table.positions());
      const float* cosine = table.cosine.row(position).data();
      const float* sine = table.sine.row(position).data();
      for (Index h = 0; h < heads; ++h) {
        float* head = x.data() + r * x.stride() + h * head_dim + first_channel;
        if (layout == RotaryLayout::kHalf) {
          float* __restrict first = head;
          float* __restrict second = head + half;
          for (Index i = 0; i < half; ++i) turn(first[i], second[i], cosine[i], sine[i]);
        } else {
          for (Index i = 0; i < half; ++i) turn(head[2 * i], head[2 * i + 1], cosine[i], sine[i]);
        }
      }
    }
  });
}

}  // namespace defectoscope
