#include "analysis/trigger_record.h"

#include "analysis/record_fields.h"

namespace defectoscope {
namespace {

template <typename Inputs, typename Field>
void each_input_field(Inputs& inputs, const Field& field) {
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
}

template <typename Layer, typename Field>
void each_trigger_field(Layer& layer, const Field& field) {
  field(layer.layer);
  field(layer.values);
  field(layer.plus);
  field(layer.minus);
  field(layer.right);
  field(layer.leading_norm);
  field(layer.runner_up_norm);
  field(layer.exploding);
  each_input_field(layer.inputs, field);
  field(layer.first);
  field(layer.second);
  field(layer.first_median);
  field(layer.second_median);
}

template <typename Predictions, typename Field>
void each_prediction_field(Predictions& predictions, const Field& field) {
  field(predictions.layer);
  field(predictions.left_of_layer);
  field(predictions.left_of_ffn);
  field(predictions.left_of_scaled_layer);
  field(predictions.maximiser);
  field(predictions.attention_input_rms);
  field(predictions.ffn_input_rms);
  each_input_field(predictions.inputs, field);
}

}  // namespace

std::string to_record(const TriggerLayer& layer) {
  RecordWriter record;
  each_trigger_field(layer, WriteField{record});
  return record.bytes();
}

TriggerLayer trigger_layer_from_record(const std::string& bytes) {
  RecordReader record(bytes);
  TriggerLayer layer;
  each_trigger_field(layer, ReadField{record});
  return layer;
}

std::string to_record(const LayerPredictions& predictions) {
  RecordWriter record;
  each_prediction_field(predictions, WriteField{record});
  return record.bytes();
}

LayerPredictions predictions_from_record(const std::string& bytes) {
  RecordReader record(bytes);
  LayerPredictions predictions;
  each_prediction_field(predictions, ReadField{record});
  return predictions;
}

}  // namespace defectoscope
