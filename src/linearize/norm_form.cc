#include "linearize/norm_form.h"

namespace defectoscope {
namespace {

void centre(std::span<float> x) {
  double sum = 0;
  for (const float value : x) sum += static_cast<double>(value);
  const auto mean = static_cast<float>(sum / static_cast<double>(x.size()));
  for (float& value : x) value -= mean;
}

void scale_by(const NormForm& norm, std::span<float> x) {
  if (norm.gain.empty())
    for (float& value : x) value *= norm.scale;
  else
    for (std::size_t i = 0; i < x.size(); ++i) x[i] *= norm.scale * norm.gain[i];
}

const NormWeights& first_defined(const NormWeights& a, const NormWeights& b) { return a.defined() ? a : b; }

}  // namespace

void NormForm::apply(MatrixView x) const {
  if (is_identity()) return;
  for (Index r = 0; r < x.rows(); ++r) {
    if (centred) centre(x.row(r));
    scale_by(*this, x.row(r));
  }
}

void NormForm::apply_transpose(MatrixView x) const {
  if (is_identity()) return;
  for (Index r = 0; r < x.rows(); ++r) {
    scale_by(*this, x.row(r));
    if (centred) centre(x.row(r));
  }
}

NormForm norm_form(const NormWeights& norm, const ModelConfig& config, bool paper_parity) {
  NormForm form;
  if (!norm.defined()) return form;
  form.gain = norm.gain;
  form.centred = config.architecture->norm == NormKind::kLayerNorm && !paper_parity;
  return form;
}

NormRoles norms_by_role(const LayerWeights& layer, const ArchitectureSpec& architecture) {
  static const NormWeights kNone;
  NormRoles norms{&kNone, &kNone, &kNone, &kNone, &kNone, &kNone};
  const NormWeights& after_attention = first_defined(layer.attention_post_norm, layer.attention_norm);
  const NormWeights& after_ffn = first_defined(layer.ffn_post_norm, layer.ffn_norm);
  switch (architecture.placement) {
    case NormPlacement::kSandwich:
      norms.attention_out = &layer.attention_post_norm;
      norms.ffn_out = &layer.ffn_post_norm;
      [[fallthrough]];
    case NormPlacement::kPre:
      norms.attention_in = &layer.attention_norm;
      norms.ffn_in = &layer.ffn_norm;
      if (architecture.residual == ResidualForm::kParallelShared ||
          (architecture.residual == ResidualForm::kParallel && !layer.ffn_norm.defined()))
        norms.ffn_in = &layer.attention_norm;
      break;
    case NormPlacement::kPost:
      norms.between = &after_attention;
      norms.last = &after_ffn;
      break;
    case NormPlacement::kOutput:
      norms.attention_out = &after_attention;
      norms.ffn_out = &after_ffn;
      break;
  }
  return norms;
}

}  // namespace defectoscope
