#include "analysis/layer_record.h"

#include "analysis/record_fields.h"

namespace defectoscope {
namespace {

/// Calls field(member) for every member of a report: the one list that writing and reading share.
constexpr auto kEachOfReport = [](auto& report, const auto& field) {
  field(report.layer);
  field(report.left_angle_degrees);
  field(report.ffn_left_angle_degrees);
  field(report.singular_values);
  field(report.ffn_singular_values);
  field(report.passes);
  field(report.residual);
  field(report.angle_bound_degrees);
  field(report.converged);
  field(report.rayleigh);
  field(report.rayleigh_residual);
  field(report.decay_ratio);
  field(report.decay_inputs);
  field(report.eigenvalue);
  field(report.eigenvector_angle_degrees);
  field(report.eigenvector_span_angle_degrees);
  field(report.eigen_residual);
  field(report.eigenpair_certified);
  field(report.linear_variance_explained);
  field(report.quadratic_variance_explained);
  field(report.linear_variance_explained_weighted);
  field(report.quadratic_variance_explained_weighted);
  field(report.left);
  field(report.right);
  field(report.ffn_left);
};

}  // namespace

std::string to_record(const LayerReport& report) { return record_of(report, kEachOfReport); }

LayerReport layer_from_record(const std::string& bytes) {
  return value_of<LayerReport>(bytes, kEachOfReport);
}

}  // namespace defectoscope
