#include "analysis/text_norms.h"

#include "analysis/row_limit.h"
#include "base/error.h"
#include "kernels/pointwise.h"
#include "tokenizer/tokenizer.h"

namespace defectoscope {
namespace {

class ModuleNorms final : public Observer {
 public:
  explicit ModuleNorms(TextNorms& result) : result_(result) {}
  void on_states(Index, Tap tap, const Batch&, MatrixView states) override {
    switch (tap) {
      case Tap::kEmbedding:
        result_.landscape.norms.push_back(norms_of(states));
        break;
      case Tap::kBeforeAttention:
        keep(states);
        break;
      case Tap::kBeforeFfn:
        result_.before_ffn.push_back(norms_of(states));
        result_.attention_added.push_back(added(states));
        keep(states);
        break;
      case Tap::kAfterLayer:
        result_.ffn_added.push_back(added(states));
        result_.landscape.norms.push_back(norms_of(states));
        break;
    }
  }

 private:
  static std::vector<double> norms_of(ConstMatrixView states) {
    std::vector<double> norms;
    for (Index i = 0; i < states.rows(); ++i) norms.push_back(norm(states.row(i)));
    return norms;
  }
  void keep(ConstMatrixView states) {
    before_ = Matrix(states.rows(), states.cols());
    for (Index i = 0; i < states.rows(); ++i)
      std::copy(states.row(i).begin(), states.row(i).end(), before_.row(i).begin());
  }
  std::vector<double> added(ConstMatrixView states) const {
    Matrix difference(states.rows(), states.cols());
    for (Index i = 0; i < states.rows(); ++i)
      for (Index c = 0; c < states.cols(); ++c) difference(i, c) = states(i, c) - before_(i, c);
    return norms_of(difference);
  }

  TextNorms& result_;
  Matrix before_;
};

}  // namespace

TextNorms text_norms(const Transformer& transformer, const Tokenizer& tokenizer, TokenIds tokens) {
  if (tokens.empty())
    throw_bad_input({.what = "the text has no token",
                     .expected = "text with at least one token",
                     .hint = "give another --prompt or --text"});
  TextNorms result;
  result.tokens_in_text = static_cast<Index>(tokens.size());
  const auto& config = transformer.model().config();
  result.parallel = config.architecture->residual != ResidualForm::kSequential;
  const auto longest = static_cast<std::size_t>(row_limit(config, kWholeContext));
  if (tokens.size() > longest) tokens.resize(longest);
  for (const TokenId id : tokens) result.landscape.tokens.push_back(readable_token(tokenizer, id));
  ModuleNorms observer(result);
  transformer.run(Batch({tokens}), observer);
  return result;
}

}  // namespace defectoscope
