#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "analysis/scan_result.h"
#include "forward/text_windows.h"
#include "forward/transformer.h"
#include "linearize/layer_operator.h"

namespace defectoscope {

class Tokenizer;
class ScanJournal;

/// What is done to the stream around an explosion layer.
enum class Ablation {
  kRemoveBefore,      ///< h ← h − v (v·h) before its FFN (the paper's figure 10)
  kRemoveBeforeHigh,  ///< the same for tokens with a large coefficient only
  kClampBefore,       ///< v·h set to the ordinary tokens' mean coefficient
  kRemoveAfter        ///< h ← h − u (u·h) after the layer, u the high-norm direction
};
const char* ablation_name(Ablation kind);
std::vector<Ablation> all_ablations();

/// Where and along what one explosion layer is ablated.
struct AblationSite {
  Index layer = 0;             ///< 1-based
  std::vector<float> trigger;  ///< [d] v1, unit, of the sign that explodes
  double cut = 0;              ///< coefficient above which a token counts as high-norm
  double ordinary_mean = 0;    ///< mean coefficient of the others
};

/// The change as an observer, for Transformer::run or TransformerOptions::intervention. Borrows `sites` and
/// `direction` [d].
std::shared_ptr<Observer> make_ablation(Ablation kind, std::span<const AblationSite> sites,
                                        std::span<const float> direction);

struct AblateOptions {
  std::vector<Index> layers;              ///< explosion layers, 1-based: all ablated together
  std::span<const float> direction = {};  ///< [d] the empirical one, unit; empty: no kRemoveAfter
  double threshold = 0;                   ///< of high norms; tells the sites' two kinds of tokens apart
  LinearizeOptions linearize = {};
  Index window = 512;          ///< tokens of a perplexity window; the model's context or the text if shorter
  Index sequences = 4;         ///< generated side by side
  Index sequence_tokens = 48;  ///< of each, its 8 tokens of prompt included
  double temperature = 0;      ///< of generation; 0: greedy
  std::uint64_t seed = 0;
  ComputeType compute = ComputeType::kF32;
};

/// One run of the text.
struct AblationRun {
  std::string name;               ///< "none" or ablation_name
  std::vector<LayerNorms> norms;  ///< [layers + 1]
  std::optional<double> perplexity;
  std::optional<double> mean_loss;  ///< nats per target
  std::vector<std::string> texts;   ///< [sequences] prompt and continuation
};

struct AblationResult {
  std::vector<AblationSite> sites;
  std::vector<AblationRun> runs;  ///< the untouched model first
  Index tokens = 0, window = 0, targets = 0;
  std::vector<std::string> notes;
};

/// The same text through the model, untouched and under each ablation: norms by layer, perplexity, and
/// continuations of the same prompts by the same seeds. `rows`: the text, a row a sequence. Where a
/// perplexity does not exist (no causal mask, fewer than two tokens) a note says so. Throws Error(kUsage) on
/// no layer or one the model lacks. Cost: five times the text twice, and the generation. Every batch of the
/// text, pass of windows and set of continuations goes to `journal` (its key tells model and rows) when it is
/// done; the same call with the same journal goes on from there, to the same bits.
AblationResult ablate(const Model& model, const Tokenizer& tokenizer, const std::vector<TokenIds>& rows,
                      const AblateOptions& options, ScanJournal& journal);

}  // namespace defectoscope
