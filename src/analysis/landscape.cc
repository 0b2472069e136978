#include "analysis/landscape.h"

#include <algorithm>

#include "analysis/row_limit.h"
#include "forward/transformer.h"
#include "kernels/pointwise.h"
#include "tokenizer/tokenizer.h"

namespace defectoscope {

NormLandscape norm_landscape(const Transformer& transformer, const Tokenizer& tokenizer) {
  TokenIds tokens = tokenizer.encode(kLandscapeSentence, true);
  const auto longest = static_cast<std::size_t>(row_limit(transformer.model().config(), kWholeContext));
  if (tokens.size() > longest) tokens.resize(longest);
  NormLandscape result;
  for (const TokenId id : tokens) result.tokens.push_back(readable_token(tokenizer.token(id)));
  for (const Matrix& states : transformer.hidden_states(tokens)) {
    std::vector<double> norms;
    for (Index i = 0; i < states.rows(); ++i) norms.push_back(norm(states.row(i)));
    result.norms.push_back(std::move(norms));
  }
  return result;
}

}  // namespace defectoscope
