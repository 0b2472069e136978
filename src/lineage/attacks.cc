#include "lineage/attacks.h"

#include <array>
#include <charconv>
#include <cmath>

#include "base/error.h"

namespace defectoscope {
namespace {

constexpr std::array kAttacks{
    Attack{"hidden-permutation", true, "hidden dimensions in another order", 0, "", permute_hidden},
    Attack{"gain-folding", true, "norm gains moved into the matrices behind them, others put in their place",
           0.5, "deviation of the logarithm of the new gains", fold_gains},
    Attack{"neuron-permutation", true, "every FFN's neurons in another order", 0, "", permute_neurons},
    Attack{"up-down-rescaling", true, "neurons' inputs scaled up and their outputs down", 1,
           "deviation of the logarithm of the factors", rescale_neurons},
    Attack{"value-output", true, "values and attention outputs reparametrised within every head", 1,
           "deviation of the logarithm of the stretches beside the rotation", reparametrise_values},
    Attack{"head-permutation", true, "attention heads in another order", 0, "", permute_heads},
    Attack{"rotation", true, "hidden space rotated, after folding the gains", 0, "", rotate_hidden},
    Attack{"residual-scaling", true, "residual stream scaled", 3, "the factor", scale_residual},
    Attack{"layer-insertion", true, "layers put in that write nothing", 1, "how many", insert_layers},
    Attack{"vocabulary-extension", true, "entries added to embedding, head and tokenizer", 0.1,
           "their number over the vocabulary's", extend_vocabulary},
    Attack{"vocabulary-shuffle", true, "vocabulary entries under other ids, in the tokenizer too", 1,
           "share of the entries", shuffle_vocabulary},
    Attack{"noise", false, "normal noise added to every matrix", 0.1, "deviation over the matrix's rms",
           add_noise},
    Attack{"quantize", false, "layers' matrices rounded to so many bits, row by row", 8, "bits, 2 to 16",
           quantize_weights},
    Attack{"prune", false, "smallest weights of every matrix set to zero", 0.3, "their share", prune_weights},
    Attack{"drop-layers", false, "middle layers left out", 1, "how many", drop_layers},
    Attack{"duplicate-layers", false, "middle layers put in twice", 1, "how many", duplicate_layers},
    Attack{"interpolate", false, "moved towards another model of the same shape (--with)", 0.3,
           "the other's weight", interpolate},
    Attack{"embedding-shuffle", false, "embedding and head rows exchanged, the tokenizer left alone", 1,
           "share of the entries", shuffle_embedding},
    Attack{"low-rank", false, "a random update of rank 8 added to every matrix of the layers", 0.1,
           "its Frobenius norm over the matrix's", add_low_rank},
    Attack{"prune-neurons", false, "the weakest neurons taken out of every FFN", 0.25, "their share",
           prune_neurons},
    Attack{"embedding-noise", false, "normal noise added to the embedding alone", 0.3,
           "deviation over the embedding's rms", add_embedding_noise},
    Attack{"embedding-replacement", false, "rows of the embedding replaced by random ones of the same size",
           1, "share of the rows", replace_embedding},
};

std::string known_attacks() {
  std::string names;
  for (const Attack& attack : kAttacks) names += (names.empty() ? "" : ", ") + std::string(attack.name);
  return names;
}

}  // namespace

std::span<const Attack> attacks() { return kAttacks; }

ChosenAttack parse_attack(std::string_view text) {
  const std::string_view name = text.substr(0, text.find(':'));
  const auto* const found = std::ranges::find(kAttacks, name, &Attack::name);
  if (found == kAttacks.end())
    throw Error(
        ErrorKind::kUsage,
        {.what = "unknown attack", .expected = "one of " + known_attacks(), .got = std::string(name)});
  ChosenAttack chosen{found, found->default_strength};
  if (name.size() == text.size()) return chosen;
  const std::string_view number = text.substr(name.size() + 1);
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), chosen.strength);
  if (error != std::errc() || end != number.data() + number.size() || !std::isfinite(chosen.strength) ||
      found->strength_means.empty())
    throw Error(ErrorKind::kUsage,
                {.what = "malformed attack",
                 .expected = found->strength_means.empty()
                                 ? std::string(name) + " has no strength"
                                 : std::string(name) + ":NUMBER (" + std::string(found->strength_means) + ")",
                 .got = std::string(text)});
  return chosen;
}

}  // namespace defectoscope
