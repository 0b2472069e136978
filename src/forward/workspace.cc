#include "forward/workspace.h"

#include <algorithm>

namespace defectoscope {

Workspace::Workspace(const ModelConfig& config, Index rows)
    : query_(config.query_size()),
      kv_(config.kv_size()),
      ffn_(config.ffn_size),
      normed_(rows, config.hidden_size),
      branch_(config.architecture->residual == ResidualForm::kSequential ? 0 : rows, config.hidden_size),
      shared_(rows,
              std::max(2 * query_ + 2 * kv_, (config.architecture->ffn == FfnForm::kPlain ? 1 : 2) * ffn_)) {}

}  // namespace defectoscope
