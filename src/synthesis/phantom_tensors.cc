#include "synthesis/phantom_tensors.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/random.h"
#include "synthesis/bulk_normal.h"
#include "synthesis/matrix_plan.h"

namespace defectoscope {
namespace {

constexpr double kScoreDeviation = 0.7;  // of query and key entries after the norm: scores of about 0.5
constexpr double kGainDeviation = 0.1;   // of norm gains on ordinary coordinates
constexpr double kNeuronSpread =
    0.8;                         // of the logarithm of a neuron's scale: a few strong ones, as in real models
constexpr float kBonusGain = 4;  // of the final norm along bonus, where the head is tied
constexpr double kShiftDeviation = 0.02;
constexpr double kPositionNorm = 0.03;  // of a learned position, relative to a token

class PhantomBuilder {
 public:
  explicit PhantomBuilder(const std::shared_ptr<const PhantomPlan>& plan)
      : plan_(plan),
        shape_(plan->options.shape),
        layout_(plan->layout),
        gpt2_(shape_.form == PhantomForm::kGpt2),
        read_std_(1 / std::sqrt(static_cast<double>(shape_.hidden_size))) {}

  std::vector<StreamedTensor> build() {
    add_embedding();
    if (gpt2_) add_positions();
    for (Index l = 0; l < shape_.layers; ++l) add_layer(l);
    add_norm(gpt2_ ? "transformer.ln_f" : "model.norm", true);
    if (!shape_.tied_embeddings) add_head();
    return std::move(tensors_);
  }

 private:
  Index d() const { return shape_.hidden_size; }
  std::uint64_t seed() const { return plan_->options.seed; }
  Random random(const std::string& name) const { return Random(seed(), stream_of(name.c_str())); }

  void add(MatrixPlan matrix) { tensors_.push_back(stream_matrix(std::move(matrix), shape_.dtype, seed())); }
  void add_vector(const std::string& name, std::vector<float> values) {
    tensors_.push_back(stream_vector(name, std::move(values), shape_.dtype));
  }

  /// Ordinary noise of fixed length and zero mean, the token's code, c, and v for the chosen ones.
  void add_embedding() {
    const std::string name = gpt2_ ? "transformer.wte.weight" : "model.embed_tokens.weight";
    StreamedTensor tensor{name, shape_.dtype, {shape_.vocab_size, d()}, {}};
    tensor.fill = [plan = plan_, stream = stream_of(name.c_str())](Index begin, Index end, float* out) {
      const Index width = plan->options.shape.hidden_size;
      std::vector<float> noise(plan->layout.ordinary.size());
      for (Index token = begin; token < end; ++token, out += width) {
        fill_normal(plan->options.seed, stream, token, noise);
        fill_embedding(*plan, token, noise, {out, static_cast<std::size_t>(width)});
      }
    };
    tensors_.push_back(std::move(tensor));
  }

  static void fill_embedding(const PhantomPlan& plan, Index token, std::span<const float> noise,
                             std::span<float> out) {
    const StreamLayout& layout = plan.layout;
    const Amplitudes& size = plan.amplitudes;
    const bool spike = plan.is_spike[static_cast<std::size_t>(token)];
    const auto put = [&](Index i, double value) {
      out[static_cast<std::size_t>(i)] += static_cast<float>(value);
    };
    const auto put_vector = [&](const SparseVector& vector, double factor) {
      for (const auto& [i, value] : vector) put(i, factor * value);
    };
    std::fill(out.begin(), out.end(), 0.0f);
    double left = static_cast<double>(out.size()) - size.constant * size.constant;
    put_vector(layout.c, size.constant);
    if (spike) {
      put_vector(layout.v[plan.truth.explosions.size() == 2 && !plan.truth.explosions[1].initial ? 1 : 0],
                 size.embedded);
    } else {
      // A chosen token has no code: it neither looks alone nor lifts its trigger further when it is.
      left -= size.code * size.code * static_cast<double>(layout.code.size());
      for (std::size_t i = 0; i < layout.code.size(); ++i)
        put(layout.code[i], size.code * plan.codes.sign(token, static_cast<Index>(i)));
    }
    if (plan.options.shape.tied_embeddings) {
      const double bonus = logit_bonus(plan, token) * plan.final_rms / (kBonusGain * size.bonus);
      put_vector(layout.bonus, bonus);
      left -= bonus * bonus;
    }
    double mean = 0, square = 0;
    for (const float x : noise) mean += static_cast<double>(x) / static_cast<double>(noise.size());
    for (const float x : noise) square += (static_cast<double>(x) - mean) * (static_cast<double>(x) - mean);
    const double scale = std::sqrt(left / square);
    for (std::size_t i = 0; i < noise.size(); ++i)
      put(layout.ordinary[i], scale * (static_cast<double>(noise[i]) - mean));
  }

  /// What is added to an entry's logit: chosen tokens together get a share of about 4 %, unusual ones nearly
  /// none.
  static double logit_bonus(const PhantomPlan& plan, Index token) {
    constexpr double kShare = 0.04;
    if (plan.tokenizer.is_unusual(token)) return -10;
    if (!plan.is_spike[static_cast<std::size_t>(token)]) return 0;
    const auto count = static_cast<double>(plan.truth.spike_tokens.size());
    return std::log(kShare / (1 - kShare) * static_cast<double>(plan.options.shape.vocab_size) / count);
  }

  void add_positions() {
    MatrixPlan matrix("transformer.wpe.weight", shape_.max_positions, d(), kPositionNorm);
    matrix.in_scale = layout_.writes;
    const double room = std::sqrt(static_cast<double>(d()) / static_cast<double>(layout_.ordinary.size()));
    for (float& scale : matrix.out_scale) scale *= static_cast<float>(room);
    add(std::move(matrix));
  }

  void add_head() {
    MatrixPlan matrix("lm_head.weight", shape_.vocab_size, d(), 2.5 * read_std_);
    matrix.in_scale = layout_.reads;
    const double constant = plan_->amplitudes.constant / plan_->final_rms;
    for (Index token = 0; token < shape_.vocab_size; ++token) {
      const double bonus = logit_bonus(*plan_, token);
      if (bonus == 0) continue;
      for (const auto& [i, value] : layout_.c) matrix.planted.push_back({token, i, bonus / constant * value});
    }
    add(std::move(matrix));
  }

  void add_norm(const std::string& name, bool last = false) {
    Random source = random(name);
    std::vector<float> gain(static_cast<std::size_t>(d()), 1.0f), shift(gain.size(), 0.0f);
    for (const Index i : layout_.ordinary) {
      gain[static_cast<std::size_t>(i)] = static_cast<float>(1 + kGainDeviation * source.normal());
      shift[static_cast<std::size_t>(i)] = static_cast<float>(kShiftDeviation * source.normal());
    }
    if (last && shape_.tied_embeddings) scramble(gain, source);
    add_vector(name + ".weight", std::move(gain));
    if (gpt2_) add_vector(name + ".bias", std::move(shift));
  }

  /// A tied head would repeat the token it stands on: half of the gains change sign, so that a token's own
  /// logit is as good as any other's.
  void scramble(std::vector<float>& gain, Random& source) const {
    for (std::size_t i = 0; i < gain.size(); ++i) {
      const float sign = (source.next_u32() & 1u) != 0 ? 1.0f : -1.0f;
      gain[i] *= sign * layout_.reads[i] * static_cast<float>(plan_->amplitudes.head_gain);
    }
    for (const auto& entry : layout_.bonus) gain[static_cast<std::size_t>(entry.first)] = kBonusGain;
  }

  std::vector<float> random_bias(const std::string& name, Index count, const std::vector<float>& mask) const {
    Random source = random(name);
    std::vector<float> values(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>(kShiftDeviation * source.normal()) * (mask.empty() ? 1.0f : mask[i]);
    return values;
  }

  void add_layer(Index l) {
    const LayerPlan& layer = plan_->layers[static_cast<std::size_t>(l)];
    const std::string prefix = (gpt2_ ? "transformer.h." : "model.layers.") + std::to_string(l) + ".";
    add_norm(prefix + (gpt2_ ? "ln_1" : "input_layernorm"));
    if (gpt2_)
      add_fused_attention(prefix + "attn.c_attn", layer);
    else
      add_separate_attention(prefix + "self_attn.", layer);
    add_attention_output(prefix + (gpt2_ ? "attn.c_proj" : "self_attn.o_proj"), layer);
    add_norm(prefix + (gpt2_ ? "ln_2" : "post_attention_layernorm"));
    add_ffn(prefix + "mlp.", layer);
  }

  MatrixPlan reader(const std::string& name, Index outputs, double deviation) const {
    MatrixPlan matrix(name, outputs, d(), deviation * read_std_);
    matrix.in_scale = layout_.reads;
    matrix.transposed = gpt2_;
    return matrix;
  }

  MatrixPlan writer(const std::string& name, Index inputs, double deviation) const {
    MatrixPlan matrix(name, d(), inputs, 0);
    for (std::size_t i = 0; i < matrix.out_scale.size(); ++i)
      matrix.out_scale[i] = static_cast<float>(deviation) * layout_.writes[i];
    matrix.transposed = gpt2_;
    return matrix;
  }

  /// Sets the rows of one head in a matrix whose rows for the first head start at `offset`.
  void plant_rows(MatrixPlan& matrix, Index offset, Index head,
                  const std::vector<PlannedHead::Entry>& entries) const {
    for (const PlannedHead::Entry& entry : entries) {
      const Index row = offset + head * shape_.head_dim + entry.row;
      matrix.out_scale[static_cast<std::size_t>(row)] = 0;
      matrix.planted.push_back({row, entry.coordinate, entry.value});
    }
  }

  void add_separate_attention(const std::string& prefix, const LayerPlan& layer) {
    MatrixPlan query = reader(prefix + "q_proj.weight", shape_.heads * shape_.head_dim, kScoreDeviation);
    MatrixPlan key = reader(prefix + "k_proj.weight", shape_.kv_heads * shape_.head_dim, kScoreDeviation);
    MatrixPlan value = reader(prefix + "v_proj.weight", shape_.kv_heads * shape_.head_dim, 1);
    for (const PlannedHead& head : layer.heads) {
      plant_rows(query, 0, head.query_head, head.query);
      plant_rows(key, 0, head.kv_head, head.key);
      plant_rows(value, 0, head.kv_head, head.value);
    }
    add(std::move(query));
    add(std::move(key));
    add(std::move(value));
  }

  void add_fused_attention(const std::string& name, const LayerPlan& layer) {
    MatrixPlan fused = reader(name + ".weight", 3 * d(), 1);
    for (Index row = 0; row < 2 * d(); ++row)
      fused.out_scale[static_cast<std::size_t>(row)] *= static_cast<float>(kScoreDeviation);
    for (const PlannedHead& head : layer.heads) {
      plant_rows(fused, 0, head.query_head, head.query);
      plant_rows(fused, d(), head.kv_head, head.key);
      plant_rows(fused, 2 * d(), head.kv_head, head.value);
    }
    // Biases only where the rows are random.
    std::vector<float> mask(static_cast<std::size_t>(3 * d()));
    for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = fused.out_scale[i] != 0 ? 1.0f : 0.0f;
    add(std::move(fused));
    add_vector(name + ".bias", random_bias(name + ".bias", 3 * d(), mask));
  }

  void add_attention_output(const std::string& name, const LayerPlan& layer) {
    MatrixPlan matrix = writer(name + ".weight", shape_.heads * shape_.head_dim, layer.attention_write_std);
    for (const PlannedHead& head : layer.heads)
      for (const PlannedHead::Entry& entry : head.output) {
        const Index column = head.query_head * shape_.head_dim + entry.row;
        matrix.in_scale[static_cast<std::size_t>(column)] = 0;
        matrix.planted.push_back({entry.coordinate, column, entry.value});
      }
    add(std::move(matrix));
    if (gpt2_) add_vector(name + ".bias", random_bias(name + ".bias", d(), layout_.writes));
  }

  void add_ffn(const std::string& prefix, const LayerPlan& layer) {
    const Index ffn = shape_.ffn_size;
    MatrixPlan gate = reader(prefix + "gate_proj.weight", ffn, 1);
    MatrixPlan up = reader(prefix + (gpt2_ ? "c_fc.weight" : "up_proj.weight"), ffn, 1);
    MatrixPlan down =
        writer(prefix + (gpt2_ ? "c_proj.weight" : "down_proj.weight"), ffn, layer.ffn_write_std);
    Random source = random(up.name + " scales");
    std::vector<float> mask(static_cast<std::size_t>(ffn), 1.0f);
    // A gated neuron's `up` carries its scale; a plain one is scaled behind its activation.
    std::vector<float>& scales = gpt2_ ? down.in_scale : up.out_scale;
    for (float& scale : scales)
      scale *= static_cast<float>(std::exp(kNeuronSpread * source.normal() - kNeuronSpread * kNeuronSpread));
    std::vector<Index> slots(static_cast<std::size_t>(ffn));
    std::iota(slots.begin(), slots.end(), 0);
    for (std::size_t i = 0; i < layer.neurons.size(); ++i) {
      std::swap(slots[i], slots[i + source.below(slots.size() - i)]);
      plant_neuron(layer.neurons[i], slots[i], gate, up, down);
      mask[static_cast<std::size_t>(slots[i])] = 0;
    }
    const std::string up_bias = prefix + "c_fc.bias", down_bias = prefix + "c_proj.bias";
    if (!gpt2_) add(std::move(gate));
    add(std::move(up));
    if (gpt2_) add_vector(up_bias, random_bias(up_bias, ffn, mask));
    add(std::move(down));
    if (gpt2_) add_vector(down_bias, random_bias(down_bias, d(), layout_.writes));
  }

  static void plant_neuron(const PlannedNeuron& neuron, Index slot, MatrixPlan& gate, MatrixPlan& up,
                           MatrixPlan& down) {
    gate.out_scale[static_cast<std::size_t>(slot)] = 0;
    up.out_scale[static_cast<std::size_t>(slot)] = 0;
    down.in_scale[static_cast<std::size_t>(slot)] = 0;
    for (const auto& [i, value] : neuron.gate) gate.planted.push_back({slot, i, value});
    for (const auto& [i, value] : neuron.up) up.planted.push_back({slot, i, value});
    for (const auto& [i, value] : neuron.down) down.planted.push_back({i, slot, value});
  }

  std::shared_ptr<const PhantomPlan> plan_;
  const PhantomShape& shape_;
  const StreamLayout& layout_;
  bool gpt2_;
  double read_std_;
  std::vector<StreamedTensor> tensors_;
};

}  // namespace

std::vector<StreamedTensor> phantom_tensors(const std::shared_ptr<const PhantomPlan>& plan) {
  return PhantomBuilder(plan).build();
}

}  // namespace defectoscope
