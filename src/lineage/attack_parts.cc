#include "lineage/attack_parts.h"

#include <cmath>
#include <numeric>

#include "base/error.h"
#include "kernels/pointwise.h"

namespace defectoscope {

void refuse(const std::string& attack, const std::string& reason, const std::string& hint) {
  throw Error(ErrorKind::kUsage,
              {.what = attack + " would change what this model computes", .got = reason, .hint = hint});
}

void strength_out_of_range(const char* attack, const std::string& expected, double got) {
  throw Error(ErrorKind::kUsage, {.what = std::string("the strength of ") + attack + " is out of range",
                                  .expected = expected,
                                  .got = std::to_string(got)});
}

void require_share(const char* attack, double strength) {
  if (strength < 0 || strength > 1) strength_out_of_range(attack, "a share from 0 to 1", strength);
}

std::span<float> values_of(Matrix& x) { return {x.data(), static_cast<std::size_t>(x.rows() * x.cols())}; }

double squares(std::span<const float> x) { return dot(x, x); }

void add_noise_to(std::span<float> values, double strength, Random& random) {
  const double deviation = strength * std::sqrt(squares(values) / static_cast<double>(values.size()));
  for (float& x : values) x = static_cast<float>(static_cast<double>(x) + deviation * random.normal());
}

std::vector<Index> random_order(Index count, Random& random) {
  std::vector<Index> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), Index{0});
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
  return order;
}

}  // namespace defectoscope
