#include "analysis/synthetic_life.h"

#include <algorithm>
#include <cmath>

#include "analysis/at.h"
#include "base/random.h"

namespace defectoscope {
namespace {

class Draw {
 public:
  explicit Draw(std::uint64_t seed) : random_(seed, stream_of("synthetic life")) {}
  double between(double low, double high) { return low + (high - low) * random_.uniform(); }
  Index whole(Index low, Index high) {
    return high <= low ? low
                       : low + static_cast<Index>(random_.below(static_cast<std::uint64_t>(high - low + 1)));
  }
  bool chance(double p) { return random_.uniform() < p; }
  double normal() { return random_.normal(); }

 private:
  Random random_;
};

/// Spreads a way from one height to another over layers [first, first + count): the height after each.
std::vector<double> slope(double from, double to, Index count, bool geometric) {
  std::vector<double> heights;
  for (Index i = 1; i <= count; ++i) {
    const double part = static_cast<double>(i) / static_cast<double>(count);
    heights.push_back(geometric ? from * std::pow(to / from, part) : from + (to - from) * part);
  }
  return heights;
}

/// A way up or down: abrupt in one or two layers, or slow. Writes height[layer] from `first` on; returns the
/// layers that are abrupt, and moves `first` behind the way.
std::vector<Index> add_way(Draw& draw, std::vector<double>& height, Index& first, Index room, double from,
                           double to) {
  std::vector<Index> abrupt;
  std::vector<double> heights;
  if (room >= 4 && draw.chance(0.25)) {
    heights = slope(from, to, draw.whole(4, std::min<Index>(room, 10)), draw.chance(0.5));
  } else if (room >= 2 && draw.chance(0.35)) {
    const double middle = from + (to - from) * draw.between(0.25, 0.75);
    const Index apart = draw.whole(1, std::min<Index>(room - 1, 5));
    heights.assign(at(apart), middle);
    heights.push_back(to);
    abrupt = {first, first + apart};
  } else {
    heights = {to};
    abrupt = {first};
  }
  for (std::size_t i = 0; i < heights.size(); ++i) height[at(first) + i] = heights[i];
  first += static_cast<Index>(heights.size());
  for (std::size_t i = at(first); i < height.size(); ++i) height[i] = to;
  return abrupt;
}

}  // namespace

SyntheticLife synthetic_life(std::uint64_t seed) {
  Draw draw(seed);
  SyntheticLife life;
  const Index layers = draw.whole(4, 32), rows = draw.whole(10, 60), length = draw.whole(8, 40);
  const double scatter = draw.between(0.03, 0.35), differ = draw.between(0.0, 0.3);
  const double drift = draw.between(0.0, 0.06), high = 2 * std::pow(250.0, draw.between(0.0, 1.0));
  const bool initial = draw.chance(0.8), later = !initial || draw.chance(0.5);

  std::vector<double> height(at(layers + 1), 1.0);
  Index layer = draw.whole(1, std::max<Index>(1, layers / 2));
  if (!draw.chance(0.1)) {  // else no token is special
    life.explosion = add_way(draw, height, layer, layers - layer, 1.0, high);
    layer += draw.whole(0, std::max<Index>(0, layers - layer - 1));
    if (layer <= layers && draw.chance(0.8))
      life.decay = add_way(draw, height, layer, layers - layer + 1, high, 1.0);
  }
  double ordinary = 2, plateau = 1;
  std::vector<std::uint8_t> special;
  std::vector<double> own;
  for (Index row = 0; row < rows; ++row) {
    std::vector<std::int32_t> ids;
    for (Index i = 0; i < length; ++i) {
      const bool trigger = later && i > 0 && draw.chance(0.06);
      ids.push_back(trigger ? 7 : 8 + static_cast<std::int32_t>(draw.whole(0, 200)));
      special.push_back(trigger || (initial && i == 0));
      own.push_back(std::exp(differ * draw.normal()));
    }
    life.table.tokens.append_row(ids);
  }
  for (Index l = 0; l <= layers; ++l) {
    ordinary *= std::exp(draw.between(-0.05, 0.2));
    plateau *= std::exp(drift * draw.normal());
    std::vector<float> norms;
    for (std::size_t t = 0; t < special.size(); ++t) {
      const double extra = special[t] != 0 && height[at(l)] > 1 ? height[at(l)] * own[t] * plateau : 0;
      norms.push_back(static_cast<float>(ordinary * std::hypot(std::exp(scatter * draw.normal()), extra)));
    }
    life.table.norms.push_back(std::move(norms));
  }
  return life;
}

}  // namespace defectoscope
