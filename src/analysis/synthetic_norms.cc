#include "analysis/synthetic_norms.h"

#include <cmath>

#include "base/random.h"

namespace defectoscope {

NormTable SyntheticNorms::make() const {
  Random random(seed);
  NormTable table;
  std::vector<bool> special;
  for (Index row = 0; row < rows; ++row) {
    std::vector<std::int32_t> ids;
    for (Index i = 0; i < row_tokens; ++i) {
      const bool trigger = trigger_every > 0 && i > 0 && (row * row_tokens + i) % trigger_every == 0;
      ids.push_back(trigger ? 7 : 8 + static_cast<std::int32_t>(random.below(200)));
      special.push_back(trigger || (initial && i == 0));
    }
    table.tokens.append_row(ids);
  }
  for (Index layer = 0; layer <= layers; ++layer) {
    std::vector<float> norms;
    const double median = 2 * std::pow(growth, static_cast<double>(layer)) * common(layer);
    for (const bool is_special : special) {
      const double ordinary = std::exp(scatter * random.normal());
      // What is special adds at a right angle to what is ordinary.
      const double high = is_special ? ratio(layer) : 0;
      norms.push_back(static_cast<float>(median * std::hypot(ordinary, high > 1 ? high : 0)));
    }
    table.norms.push_back(std::move(norms));
  }
  return table;
}

}  // namespace defectoscope
