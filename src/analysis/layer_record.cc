#include "analysis/layer_record.h"

#include <type_traits>

#include "analysis/journal.h"

namespace defectoscope {
namespace {

/// Calls field(member) for every member of a report: the one list that writing and reading share.
template <typename Report, typename Field>
void for_each_field(Report& report, Field&& field) {
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
}

struct Write {
  RecordWriter& record;
  template <typename T>
  void operator()(const std::vector<T>& list) const {
    record.list(list);
  }
  template <typename T>
  void operator()(const std::optional<T>& value) const {
    record.value(value.has_value());
    record.value(value.value_or(T{}));
  }
  template <typename T>
    requires std::is_arithmetic_v<T>
  void operator()(const T& value) const {
    record.value(value);
  }
};

struct Read {
  RecordReader& record;
  template <typename T>
  void operator()(std::vector<T>& list) const {
    list = record.list<T>();
  }
  template <typename T>
  void operator()(std::optional<T>& value) const {
    const bool has = record.value<bool>();
    const T inner = record.value<T>();
    value = has ? std::optional<T>(inner) : std::nullopt;
  }
  template <typename T>
    requires std::is_arithmetic_v<T>
  void operator()(T& value) const {
    value = record.value<T>();
  }
};

}  // namespace

std::string to_record(const LayerReport& report) {
  RecordWriter record;
  for_each_field(report, Write{record});
  return record.bytes();
}

LayerReport layer_from_record(const std::string& bytes) {
  RecordReader record(bytes);
  LayerReport report;
  for_each_field(report, Read{record});
  return report;
}

}  // namespace defectoscope
