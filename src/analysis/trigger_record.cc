#include "analysis/trigger_record.h"

#include "analysis/record_fields.h"

namespace defectoscope {
namespace {

constexpr auto kEachInput = [](auto& inputs, const auto& field) {
  for (auto* input : {&inputs.linear, &inputs.quadratic, &inputs.maximiser}) {
    field(input->input);
    field(input->norm);
    field(input->output);
    field(input->output_angle_degrees);
  }
  field(inputs.has_maximiser);
  field(inputs.linear_quadratic_degrees);
  field(inputs.linear_maximiser_degrees);
  field(inputs.quadratic_maximiser_degrees);
  field(inputs.stationarity);
  field(inputs.converged);
  field(inputs.starts);
};

constexpr auto kEachOfTrigger = [](auto& layer, const auto& field) {
  field(layer.layer);
  field(layer.values);
  field(layer.plus);
  field(layer.minus);
  field(layer.right);
  field(layer.leading_norm);
  field(layer.runner_up_norm);
  field(layer.exploding);
  kEachInput(layer.inputs, field);
  field(layer.first);
  field(layer.second);
  field(layer.first_median);
  field(layer.second_median);
};

constexpr auto kEachOfPredictions = [](auto& predictions, const auto& field) {
  field(predictions.layer);
  field(predictions.left_of_layer);
  field(predictions.left_of_ffn);
  field(predictions.left_of_scaled_layer);
  field(predictions.maximiser);
  field(predictions.attention_input_rms);
  field(predictions.ffn_input_rms);
  kEachInput(predictions.inputs, field);
};

}  // namespace

std::string to_record(const TriggerLayer& layer) { return record_of(layer, kEachOfTrigger); }

TriggerLayer trigger_layer_from_record(const std::string& bytes) {
  return value_of<TriggerLayer>(bytes, kEachOfTrigger);
}

std::string to_record(const LayerPredictions& predictions) {
  return record_of(predictions, kEachOfPredictions);
}

LayerPredictions predictions_from_record(const std::string& bytes) {
  return value_of<LayerPredictions>(bytes, kEachOfPredictions);
}

}  // namespace defectoscope
