#include "forward/workspace.h"

#include <algorithm>

namespace defectoscope {

Workspace::Workspace(const ModelConfig& config, Index rows)
    : query_(config.query_size()),
      context_(config.context_size()),
      key_(config.kv_size()),
      value_(config.value_size()),
      ffn_(config.ffn_size),
      normed_(rows, config.hidden_size),
      branch_(config.architecture->residual == ResidualForm::kSequential ? 0 : rows, config.hidden_size),
      shared_(rows, std::max(query_ + context_ + key_ + value_,
                             (config.architecture->ffn == FfnForm::kPlain ? 1 : 2) * ffn_)) {}

}  // namespace defectoscope
