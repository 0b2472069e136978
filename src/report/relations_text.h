#pragma once

#include <string>

#include "lineage/relations.h"

namespace defectoscope {

/// Clusters with likely parents, the matrix of distances, the dendrogram in letters.
std::string relations_text(const Relations& relations);

/// Schema "defectoscope.lineage/1" (docs/schema/lineage.schema.json).
std::string relations_json(const Relations& relations);

/// A row a pair: a, b, distance_degrees, paper_distance_degrees, log10_p_value, related, carried_by. Empty
/// fields for what does not exist; names quoted where they need it.
std::string relations_csv(const Relations& relations);

}  // namespace defectoscope
