#include "lineage/embedded_tokens.h"

#include "kernels/block_apply.h"
#include "kernels/pointwise.h"
#include "model/model.h"

namespace defectoscope {

Matrix embedded_tokens(const Model& model, std::span<const TokenId> ids) {
  const ModelConfig& config = model.config();
  const WeightMatrix embedding = model.embedding();
  const auto count = static_cast<Index>(ids.size());
  Matrix rows(count, embedding.cols);
  const auto scale = static_cast<float>(config.embedding_scale);
  for (Index i = 0; i < count; ++i) {
    embedding.copy_row(ids[static_cast<std::size_t>(i)], rows.row(i));
    for (float& x : rows.row(i)) x *= scale;
  }
  if (const WeightMatrix project = model.project_in(); project.defined()) {
    Matrix projected(count, project.rows);
    block_apply(project, rows, projected);
    rows = std::move(projected);
  }
  if (const NormWeights norm = model.embedding_norm(); norm.defined()) {
    if (config.architecture->norm == NormKind::kLayerNorm)
      layer_norm(rows, norm.gain, norm.shift, config.norm_eps, rows);
    else
      rms_norm(rows, norm.gain, config.norm_eps, rows);
  }
  return rows;
}

}  // namespace defectoscope
