#include "lineage/relations.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

namespace defectoscope {
namespace {

constexpr double kNotCompared = 90;
constexpr std::size_t kBlendNeighbours = 8;

Pair held_against(const std::vector<PreparedSignature>& signatures, Index a, Index b, double log_pairs) {
  Pair pair{.a = a, .b = b, .comparison = {}, .distance_degrees = {}, .log_p = {}};
  pair.comparison = compare(signatures[static_cast<std::size_t>(a)], signatures[static_cast<std::size_t>(b)]);
  pair.distance_degrees = smallest_distance(pair.comparison);
  if (pair.comparison.verdict == Verdict::kSameWeights)
    pair.log_p = -std::numeric_limits<double>::infinity();
  else if (pair.comparison.log_p)
    pair.log_p = std::min(0.0, *pair.comparison.log_p + log_pairs);
  pair.related = pair.log_p && *pair.log_p < kLogRelated;
  return pair;
}

double distance(const Relations& r, Index a, Index b) {
  return a == b ? 0 : r.pair(a, b).distance_degrees.value_or(kNotCompared);
}

void find_clusters(Relations& r) {
  const Index n = std::ssize(r.models);
  r.cluster.assign(static_cast<std::size_t>(n), -1);
  Index clusters = 0;
  const std::function<void(Index)> visit = [&](Index i) {
    r.cluster[static_cast<std::size_t>(i)] = clusters;
    for (Index k = 0; k < n; ++k)
      if (k != i && r.cluster[static_cast<std::size_t>(k)] < 0 && r.pair(i, k).related) visit(k);
  };
  for (Index i = 0; i < n; ++i) {
    if (r.cluster[static_cast<std::size_t>(i)] >= 0) continue;
    visit(i);
    ++clusters;
  }
}

/// Average linkage; ties go to the nodes made first.
void build_dendrogram(Relations& r) {
  struct Node {
    Index id;
    std::vector<Index> models;
  };
  std::vector<Node> open;
  for (Index i = 0; i < std::ssize(r.models); ++i) open.push_back({i, {i}});
  Index next = std::ssize(open);
  const auto mean_distance = [&](const Node& x, const Node& y) {
    double total = 0;
    for (const Index i : x.models)
      for (const Index k : y.models) total += distance(r, i, k);
    return total / static_cast<double>(x.models.size() * y.models.size());
  };
  while (open.size() > 1) {
    std::size_t left = 0, right = 1;
    double height = std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < open.size(); ++i)
      for (std::size_t k = i + 1; k < open.size(); ++k)
        if (const double d = mean_distance(open[i], open[k]); d < height) height = d, left = i, right = k;
    Node joined{next++, open[left].models};
    joined.models.insert(joined.models.end(), open[right].models.begin(), open[right].models.end());
    r.dendrogram.push_back({open[left].id, open[right].id, height, std::ssize(joined.models)});
    open.erase(open.begin() + static_cast<std::ptrdiff_t>(right));
    open[left] = std::move(joined);
  }
  if (!open.empty()) r.leaf_order = open.front().models;
}

void guess_parents(Relations& r) {
  const Index n = std::ssize(r.models);
  r.parents.assign(static_cast<std::size_t>(n), std::nullopt);
  const Index clusters = n == 0 ? 0 : 1 + *std::ranges::max_element(r.cluster);
  for (Index c = 0; c < clusters; ++c) {
    std::vector<Index> members;
    for (Index i = 0; i < n; ++i)
      if (r.cluster[static_cast<std::size_t>(i)] == c) members.push_back(i);
    const auto centrality = [&](Index i) {
      double total = 0;
      for (const Index k : members) total += distance(r, i, k);
      return total;
    };
    std::vector<Index> reached{*std::ranges::min_element(members, {}, centrality)};
    // Prim's algorithm from the centre: the tree's edges point to it.
    while (reached.size() < members.size()) {
      std::optional<Parent> nearest;
      Index child = -1;
      for (const Index k : members) {
        if (std::ranges::find(reached, k) != reached.end()) continue;
        for (const Index i : reached) {
          const double d = distance(r, i, k);
          if (!r.pair(i, k).related || (nearest && d >= nearest->distance_degrees)) continue;
          nearest = Parent{i, d};
          child = k;
        }
      }
      r.parents[static_cast<std::size_t>(child)] = nearest;
      reached.push_back(child);
    }
  }
}

void find_blends(Relations& r, const std::vector<Signature>& signatures) {
  const Index n = std::ssize(r.models);
  r.blends.assign(static_cast<std::size_t>(n), std::nullopt);
  const auto of = [&](Index i) -> const Signature& { return signatures[static_cast<std::size_t>(i)]; };
  for (Index c = 0; c < n; ++c) {
    std::vector<Index> near;
    for (Index i = 0; i < n; ++i)
      if (i != c && r.pair(i, c).related && r.pair(i, c).comparison.verdict != Verdict::kSameWeights)
        near.push_back(i);
    std::ranges::stable_sort(near, {}, [&](Index i) { return distance(r, i, c); });
    near.resize(std::min(near.size(), kBlendNeighbours));
    std::optional<Blend>& best = r.blends[static_cast<std::size_t>(c)];
    for (std::size_t i = 0; i < near.size(); ++i)
      for (std::size_t k = 0; k < i; ++k) {
        const Index a = std::min(near[i], near[k]), b = std::max(near[i], near[k]);
        const std::optional<BlendFit> fit = fit_blend(of(c), of(a), of(b));
        if (fit && looks_merged(*fit) && (!best || fit->off_the_line < best->fit.off_the_line))
          best = Blend{a, b, *fit};
      }
  }
}

}  // namespace

const Pair& Relations::pair(Index a, Index b) const {
  if (a > b) std::swap(a, b);
  const Index n = std::ssize(models);
  return pairs[static_cast<std::size_t>(a * n - a * (a + 1) / 2 + b - a - 1)];
}

Relations relations(const std::vector<Signature>& signatures) {
  Relations r;
  const Index n = std::ssize(signatures);
  for (const Signature& s : signatures) r.models.push_back(compared_model(s));
  const double log_pairs = std::log(static_cast<double>(std::max<Index>(1, n * (n - 1) / 2)));
  const std::vector<PreparedSignature> prepared(signatures.begin(), signatures.end());
  for (Index a = 0; a < n; ++a)
    for (Index b = a + 1; b < n; ++b) r.pairs.push_back(held_against(prepared, a, b, log_pairs));
  find_clusters(r);
  build_dendrogram(r);
  guess_parents(r);
  find_blends(r, signatures);
  return r;
}

}  // namespace defectoscope
