#include "quantize/skip_search.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace defectoscope {

std::vector<ModuleId> by_damage(const QuantizeStudy& study, bool from_forecast) {
  const auto damage = [&](const ModuleOutcome& module) {
    if (from_forecast) return module.forecast ? module.forecast->relative_error : 0;
    return module.alone_kl.value_or(module.measured.relative_error);
  };
  std::vector<ModuleOutcome> sorted = study.modules;
  std::ranges::stable_sort(sorted, std::ranges::greater(), damage);
  std::vector<ModuleId> order;
  for (const ModuleOutcome& module : sorted) order.push_back(module.id);
  return order;
}

SkipSearch search_skip_set(const Model& model, const QuantizeStudy& study, const StudyOptions& options,
                           MethodComparison& comparison) {
  SkipSearch search;
  search.target = options.target_increase.value();
  search.order = options.auto_from_forecast ? "forecast" : "measured";
  const std::vector<ModuleId> order = by_damage(study, options.auto_from_forecast);
  const double unquantized = study.rows.front().perplexity;
  std::vector<std::string> notes;
  const auto perplexity_skipping = [&](std::size_t count) {
    QuantMethod method = method_named("rtn");
    method.skipped = {order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count)};
    ++search.evaluations;
    return comparison.run({method}, notes).front().perplexity;
  };
  const auto within = [&](double perplexity) { return perplexity <= unquantized * (1 + search.target); };
  // Between `low`, which misses the target, and `high`, which meets it.
  std::size_t low = 0, high = order.size();
  double best = unquantized;
  const double none = perplexity_skipping(0);
  if (within(none)) {
    high = 0;
    best = none;
  }
  while (high > low + 1) {
    const std::size_t middle = low + (high - low) / 2;
    const double got = perplexity_skipping(middle);
    if (within(got)) {
      high = middle;
      best = got;
    } else {
      low = middle;
    }
  }
  if (high == order.size())
    throw Error(
        ErrorKind::kUsage,
        fmt::format("no skip set of {} keeps the perplexity within {:.3g} % of {:.4f}: with every matmul "
                    "but one left alone it is not reached",
                    model.name(), 100 * search.target, unquantized));
  search.reached = true;
  search.skipped.assign(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(high));
  search.perplexity = best;
  search.increase = best / unquantized - 1;
  return search;
}

}  // namespace defectoscope
