#pragma once

#include <optional>
#include <vector>

#include "lineage/blend.h"
#include "lineage/compare.h"

namespace defectoscope {

/// Two models held against each other among several.
struct Pair {
  Index a = 0, b = 0;  ///< positions in Relations::models, a < b
  Comparison comparison;
  /// The smallest distance of the kinds compared, kAnyLayers left out; none where nothing was.
  std::optional<double> distance_degrees;
  /// Comparison::log_p times the number of pairs; −inf for the same weights.
  std::optional<double> log_p;
  bool related = false;  ///< that is under ln 1e-4
};

/// One step of the dendrogram: two nodes joined. Models are nodes 0 .. n − 1, the k-th step makes node n + k.
struct Merge {
  Index left = 0, right = 0;
  double height_degrees = 0;  ///< mean distance between the models of the two (UPGMA); 90 where not compared
  Index size = 0;             ///< models below
};

/// Where a model probably comes from, within its cluster.
struct Parent {
  Index model = 0;
  double distance_degrees = 0;
};

/// Two models between which a third lies.
struct Blend {
  Index a = 0, b = 0;
  BlendFit fit;
};

/// How several models hang together.
struct Relations {
  std::vector<ComparedModel> models;
  std::vector<Pair> pairs;  ///< all, in order of (a, b)
  const Pair& pair(Index a, Index b) const;

  /// Connected by related pairs; numbered from 0 in order of their first models.
  std::vector<Index> cluster;
  std::vector<Merge> dendrogram;  ///< models − 1 steps, heights not descending
  std::vector<Index> leaf_order;  ///< models as the dendrogram draws them
  /// The neighbour towards the cluster's centre (least mean distance) on the shortest tree through the
  /// cluster's related pairs; none for a centre. Signatures do not say which of two came first: a guess.
  std::vector<std::optional<Parent>> parents;
  /// Of each model, the two related ones between which it lies best, where it looks_merged(); sought among
  /// its nearest eight.
  std::vector<std::optional<Blend>> blends;
};

/// Compares all with all. Needs one signature or more; throws as compare() does. O(n² · compare).
Relations relations(const std::vector<Signature>& signatures);

}  // namespace defectoscope
