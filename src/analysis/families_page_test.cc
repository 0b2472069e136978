// docs/families.md: what the table holds and how near each family comes to the reference. `make families`
// writes it.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <regex>

#include "analysis/form_goldens.h"
#include "base/files.h"

namespace defectoscope {
namespace {

namespace fs = std::filesystem;

constexpr const char* kHead =
    "# Families\n\n"
    "Written by `make families` from the architecture table and the goldens. Each form is held to "
    "transformers' own "
    "class on small random models: hidden states of every layer and logits, in f32. The error is the largest "
    "of any "
    "layer, ‖ours − theirs‖ / ‖theirs‖ over its tokens; tests allow 1e-5 for each single token. Shapes of "
    "published "
    "models, without their weights, are in `src/model/testdata/published_configs.json`.\n\n"
    "A and F are the largest errors of the linear forms beside transformers' own layers, the first two of "
    "each "
    "golden: "
    "A (attention on one token, norms' scales held) as ‖ours − theirs‖ / ‖theirs‖ on fixed vectors, F as the "
    "largest "
    "|ours − theirs| in standard errors of the mean Jacobian of the FFN over 20,000 samples, over some 200 "
    "to "
    "900 "
    "components. Of layers with experts F is held expert by expert, with the router's mean weights "
    "([what the forms leave out](../src/analysis/form_goldens_test.cc)).\n\n"
    "All are read from safetensors and PyTorch `.bin`, whole or in parts, in f32, f16, bf16, f8, GPTQ, AWQ, "
    "compressed-tensors and int8; the last column says from which files besides.\n\n"
    "| family | model_type | form | norms | positions | query, key, value | FFN | goldens | error | A | F | "
    "also from |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|---|\n";

std::string norms(const ArchitectureSpec& row) {
  const std::string kind = row.norm == NormKind::kRmsNorm ? "RMS" : "Layer";
  switch (row.placement) {
    case NormPlacement::kPre:
      return kind + ", before";
    case NormPlacement::kPost:
      return kind + ", of the sums";
    case NormPlacement::kSandwich:
      return kind + ", before and after";
    case NormPlacement::kOutput:
      return kind + ", after";
  }
  return kind;
}

std::string positions(const ArchitectureSpec& row) {
  switch (row.position) {
    case PositionKind::kNone:
      return "none";
    case PositionKind::kRotaryHalf:
      return "rotary, halves";
    case PositionKind::kRotaryInterleaved:
      return "rotary, pairs";
    case PositionKind::kLearned:
      return "learned";
    case PositionKind::kAlibi:
      return "ALiBi";
  }
  return "";
}

std::string qkv(const ArchitectureSpec& row) {
  if (row.latent_attention) return "latent";
  switch (row.qkv) {
    case QkvLayout::kSeparate:
      return "separate";
    case QkvLayout::kFusedBlocks:
      return "fused";
    case QkvLayout::kFusedPerHead:
      return "fused by head";
    case QkvLayout::kFusedPerGroup:
      return "fused by group";
  }
  return "";
}

std::string ffn(const ArchitectureSpec& row) {
  const std::string dense = row.ffn == FfnForm::kPlain        ? "plain"
                            : row.ffn == FfnForm::kFusedGated ? "gated, fused"
                                                              : "gated";
  return row.experts.spellings.empty() ? dense : dense + ", experts";
}

std::string form(const ArchitectureSpec& row) {
  std::string text = row.residual == ResidualForm::kSequential ? "sequential" : "parallel";
  if (!row.causal) text += ", encoder";
  for (const FixedSetting& setting : row.when) text += fmt::format(", {} {}", setting.key, setting.value);
  return text;
}

std::string files(const ArchitectureSpec& row) {
  std::string text = row.gguf.architecture.empty() ? "" : fmt::format("GGUF ({})", row.gguf.architecture);
  if (row.gguf.llama2c) text += ", llama2.c";
  return text;
}

double error_of(const Golden& golden, const Model& model) {
  const Transformer transformer(model);
  double largest = 0;
  for (std::size_t i = 0; i < golden.sequences.size(); ++i) {
    const std::vector<Matrix> states = transformer.hidden_states(golden.sequences[i]);
    for (std::size_t layer = 0; layer < states.size(); ++layer)
      largest = std::max(largest, relative_error(states[layer], golden.hidden[i][layer]));
    Matrix logits(states.back().rows(), golden.logits[i].cols());
    transformer.logits(states.back(), logits);
    largest = std::max(largest, relative_error(logits, golden.logits[i]));
  }
  return largest;
}

struct Held {
  std::vector<std::string> goldens;
  double error = 0;           ///< of states and logits
  double attention_form = 0;  ///< of A
  double ffn_form = 0;        ///< of F, in standard errors
};

/// The goldens of every row.
std::map<const ArchitectureSpec*, Held> goldens_by_row() {
  std::map<const ArchitectureSpec*, Held> rows;
  for (const std::string& name : golden_names()) {
    const Golden golden = read_golden(name);
    const Model model = open_golden(golden);
    Held& held = rows[model.config().architecture];
    held.goldens.push_back(name);
    held.error = std::max(held.error, error_of(golden, model));
    const FormErrors forms = form_errors(golden, model);
    held.attention_form = std::max(held.attention_form, forms.attention);
    held.ffn_form = std::max(held.ffn_form, forms.largest());
  }
  return rows;
}

/// To one digit, so that the page does not change with the last bits of a machine's sums.
double rounded_up(double error) {
  const double power = std::pow(10, std::floor(std::log10(error)));
  return std::ceil(error / power) * power;
}

std::string page(const std::map<const ArchitectureSpec*, Held>& held) {
  std::string text = kHead;
  for (const ArchitectureSpec& row : architectures()) {
    const Held& own = held.at(&row);
    text += fmt::format("| {} | {} | {} | {} | {} | {} | {} | {} | {:.0e} | {:.0e} | {:.1f} | {} |\n",
                        row.name, fmt::join(row.model_types, ", "), form(row), norms(row), positions(row),
                        qkv(row), ffn(row), fmt::join(own.goldens, ", "), rounded_up(own.error),
                        rounded_up(own.attention_form), own.ffn_form, files(row));
  }
  return text;
}

/// The last bits of sums differ between processors.
std::string without_errors(const std::string& text) {
  return std::regex_replace(text, std::regex("[0-9]e-[0-9]+ \\||[0-9]\\.[0-9] \\|"), "|");
}

TEST(FamiliesPage, IsWhatTableAndGoldensSay) {
  const auto held = goldens_by_row();
  for (const ArchitectureSpec& row : architectures())
    ASSERT_TRUE(held.contains(&row)) << row.name << " has no golden for its form: " << form(row);
  const fs::path path = DEFECTOSCOPE_SOURCE_DIR "/docs/families.md";
  const std::string now = page(held);
  if (std::getenv("DEFECTOSCOPE_WRITE_FAMILIES") != nullptr) write_file(path, now);
  EXPECT_EQ(without_errors(read_file(path)), without_errors(now)) << "make families writes it anew";
}

}  // namespace
}  // namespace defectoscope
