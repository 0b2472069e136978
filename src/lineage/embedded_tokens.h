#pragma once

#include <span>

#include "tensor/matrix.h"
#include "tokenizer/tokenizer.h"

namespace defectoscope {

class Model;

/// What the residual stream starts from for each token, positions left out, [tokens, d]: the embedding's
/// rows, as the family scales, projects and normalizes them.
Matrix embedded_tokens(const Model& model, std::span<const TokenId> ids);

}  // namespace defectoscope
