#pragma once

#include <string>

#include "lineage/relations.h"
#include "report/section.h"

namespace defectoscope {

/// What the user called a model of `relations`.
inline const std::string& name_of(const Relations& relations, Index model) {
  return relations.models[static_cast<std::size_t>(model)].model;
}

/// Clusters with likely parents, the matrix of distances, the dendrogram in letters.
std::string relations_text(const Relations& relations);

/// Schema "defectoscope.lineage/1" (docs/schema/lineage.schema.json).
std::string relations_json(const Relations& relations);

/// The same as charts and tables: distances in the dendrogram's order, the dendrogram, each model's angles to
/// the first named layer by layer; models, pairs.
Section relations_section(const Relations& relations);

}  // namespace defectoscope
