// Whether token signatures tell relatives better when the embedding's covariance is taken out of them:
// whitening_study MODELS ZOO PHANTOMS
// E·u as it is, whitened, and with shrunken covariances; MODELS holds independently trained models
// (zoo/unrelated.py), the null's phantoms are written into PHANTOMS where they are not there yet. First how
// close unrelated pairs come, then llama-base of ZOO against its relatives and against itself after attacks:
// the smallest angle, and the p of that kind of evidence alone, the largest of the laws' and of both
// populations of unrelated models' by the same signatures. docs/lineage.md has the tables.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "lineage/empirical_null.h"
#include "lineage/unrelated_pairs.h"
#include "model/model.h"
#include "report/lineage_text.h"
#include "tokenizer/tokenizer.h"
#include "zoo/disguised_at.h"
#include "zoo/model_folders.h"
#include "zoo/phantom_at.h"
#include "zoo/program.h"

namespace defectoscope {
namespace {

namespace fs = std::filesystem;

struct Whitening {
  const char* name;
  std::optional<double> ridge;
};
constexpr std::array<Whitening, 4> kWhitenings{
    {{"unwhitened", {}}, {"whitened, ridge 1", 1.0}, {"whitened, ridge 0.1", 0.1}, {"whitened", 0.0}}};
constexpr std::array kKinds{EvidenceKind::kTokens, EvidenceKind::kFfnTokens};

/// Signatures of one model, one a whitening.
using Whitened = std::array<Signature, kWhitenings.size()>;

Whitened signatures_of(const fs::path& path) {
  const Model model = Model::open(path);
  const auto tokenizer = open_tokenizer(path);
  Whitened found;
  for (std::size_t w = 0; w < found.size(); ++w)
    found[w] = compute_signature(model, tokenizer.get(), {.ridge = kWhitenings[w].ridge});
  return found;
}

/// Independent models, compared in pairs, by whitening.
struct Population {
  std::array<std::vector<UnrelatedPair>, kWhitenings.size()> pairs;

  explicit Population(const std::vector<Whitened>& models) {
    for (std::size_t w = 0; w < pairs.size(); ++w) {
      std::vector<Signature> signatures;
      for (const Whitened& model : models) signatures.push_back(model[w]);
      pairs[w] = unrelated_pairs(signatures);
    }
  }
};

const Evidence& evidence_of(const Comparison& comparison, EvidenceKind kind) {
  return comparison.evidence[static_cast<std::size_t>(kind)];
}

std::vector<double> values(std::span<const UnrelatedPair> pairs, EvidenceKind kind,
                           double Evidence::* member) {
  std::vector<double> found;
  for (const UnrelatedPair& pair : pairs)
    if (const Evidence& evidence = evidence_of(pair.comparison, kind); evidence.compared())
      found.push_back(evidence.*member);
  return found;
}

void print_unrelated(const std::string& what, const Population& population) {
  for (const EvidenceKind kind : kKinds)
    for (std::size_t w = 0; w < kWhitenings.size(); ++w) {
      const auto& pairs = population.pairs[w];
      const std::vector<double> log_p = values(pairs, kind, &Evidence::log_p_laws);
      std::vector<double> angles = values(pairs, kind, &Evidence::distance_degrees),
                          dimensions = values(pairs, kind, &Evidence::dimension);
      std::ranges::sort(angles);
      std::ranges::sort(dimensions);
      fmt::print("| {} | {}, {} | {} | {:.0f} | {:.4f} | {:.4f} | {:.2g} | {:.1f}°, {:.1f}° |\n", what,
                 evidence_name(kind), kWhitenings[w].name, angles.size(), dimensions[dimensions.size() / 2],
                 share_below(log_p, 0.1), share_below(log_p, 0.01),
                 std::exp(*std::ranges::min_element(log_p)), angles.front(), angles[angles.size() / 2]);
    }
}

/// Angle and p of one kind of evidence, judged by all that is known of unrelated models.
std::string cell(const Signature& a, const Signature& b, EvidenceKind kind,
                 std::span<const EmpiricalNull> null) {
  const Comparison comparison = compare(a, b, null);
  const Evidence& evidence = evidence_of(comparison, kind);
  if (!evidence.compared()) return "–";
  return fmt::format("{:.1f}°, {}", evidence.distance_degrees, probability_text(evidence.log_p));
}

class Judge {
 public:
  Judge(const Population& trained, const Population& phantoms) {
    for (std::size_t w = 0; w < nulls_.size(); ++w)
      for (const Population* population : {&trained, &phantoms})
        std::ranges::copy(null_of(population->pairs[w], -1, -1, 0), std::back_inserter(nulls_[w]));
  }

  void print_row(const std::string& name, const Whitened& base, const Whitened& other) const {
    fmt::print("| {} |", name);
    for (const EvidenceKind kind : kKinds)
      for (std::size_t w = 0; w < nulls_.size(); ++w)
        fmt::print(" {} |", cell(base[w], other[w], kind, nulls_[w]));
    fmt::print("\n");
    std::fflush(stdout);
  }

 private:
  std::array<std::vector<EmpiricalNull>, kWhitenings.size()> nulls_;
};

void print_study(const fs::path& models, const fs::path& zoo, const fs::path& phantoms) {
  std::vector<Whitened> independent, planted;
  for (const fs::path& folder : model_folders(models)) independent.push_back(signatures_of(folder));
  const Population trained(independent);
  for (Index i = 1; i <= kPhantomsOfTheNull; ++i)
    planted.push_back(signatures_of(phantom_at(phantoms, static_cast<std::uint64_t>(i))));
  const Population of_phantoms(planted);
  fmt::print(
      "| unrelated | evidence | pairs | dimension | p < 0.1 | p < 0.01 | smallest p | smallest, median angle "
      "|\n"
      "|---|---|---|---|---|---|---|---|\n");
  print_unrelated("models", trained);
  print_unrelated("phantoms", of_phantoms);

  const Judge judge(trained, of_phantoms);
  fmt::print("\n| llama-base and |");
  for (const EvidenceKind kind : kKinds)
    for (const Whitening& w : kWhitenings) fmt::print(" {}, {} |", evidence_name(kind), w.name);
  fmt::print("\n|---|");
  for (std::size_t i = 0; i < kKinds.size() * kWhitenings.size(); ++i) fmt::print("---|");
  fmt::print("\n");
  const Whitened base = signatures_of(zoo / "llama-base");
  for (const char* name : {"llama-base-ft-full", "llama-base-ft-lora", "llama-base-ckpt-2400",
                           "llama-base-ckpt-1600", "llama-base-ckpt-800", "llama-base-ckpt-400",
                           "llama-base-ckpt-100", "llama-wide", "llama-distilled", "llama-seed2"})
    judge.print_row(name, base, signatures_of(zoo / name));
  const fs::path scratch = fs::temp_directory_path() / "whitening-study";
  for (const char* text : {"hidden-permutation",
                           "rotation",
                           "residual-scaling:30",
                           "vocabulary-shuffle:1",
                           "vocabulary-extension:0.1",
                           "vocabulary-extension:0.5",
                           "vocabulary-extension:1",
                           "noise:0.1",
                           "noise:0.3",
                           "noise:1",
                           "embedding-noise:0.1",
                           "embedding-noise:0.3",
                           "embedding-noise:1",
                           "embedding-replacement:0.3",
                           "interpolate:0.3",
                           "interpolate:0.5",
                           "quantize:4",
                           "quantize:2",
                           "prune:0.9",
                           "low-rank:1"}) {
    write_disguised(zoo / "llama-base", parse_attack(text), zoo / "llama-seed2", scratch);
    judge.print_row(text, base, signatures_of(scratch));
  }
  fs::remove_all(scratch);
}

int run(const std::vector<std::string>& arguments) {
  if (arguments.size() != 3) {
    std::fputs("usage: whitening_study MODELS ZOO PHANTOMS\n", stderr);
    return 2;
  }
  print_study(arguments[0], arguments[1], arguments[2]);
  return 0;
}

}  // namespace
}  // namespace defectoscope

int main(int argc, char** argv) {
  return defectoscope::run_program("whitening_study", argc, argv, defectoscope::run);
}
