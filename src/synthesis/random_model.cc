#include "synthesis/random_model.h"

#include <cmath>
#include <string>

#include "base/random.h"
#include "synthesis/matrix_plan.h"
#include "synthesis/model_folder.h"
#include "synthesis/phantom_tokenizer.h"

namespace defectoscope {
namespace {

class RandomModelBuilder {
 public:
  explicit RandomModelBuilder(const RandomModelOptions& options) : options_(options), shape_(options.shape) {}

  std::vector<StreamedTensor> build() {
    const Index d = shape_.hidden_size, layers = shape_.layers;
    const Index query = shape_.heads * shape_.head_dim, kv = shape_.kv_heads * shape_.head_dim;
    if (shape_.form == PhantomForm::kLlama) {
      matrix("model.embed_tokens", shape_.vocab_size, d);
      for (Index l = 0; l < layers; ++l) {
        const std::string prefix = "model.layers." + std::to_string(l) + ".";
        constant(prefix + "input_layernorm.weight", d, 1);
        matrix(prefix + "self_attn.q_proj", query, d);
        matrix(prefix + "self_attn.k_proj", kv, d);
        matrix(prefix + "self_attn.v_proj", kv, d);
        matrix(prefix + "self_attn.o_proj", d, query);
        constant(prefix + "post_attention_layernorm.weight", d, 1);
        matrix(prefix + "mlp.gate_proj", shape_.ffn_size, d);
        matrix(prefix + "mlp.up_proj", shape_.ffn_size, d);
        matrix(prefix + "mlp.down_proj", d, shape_.ffn_size);
      }
      constant("model.norm.weight", d, 1);
    } else {
      const double writer = 1 / std::sqrt(2.0 * static_cast<double>(layers));
      matrix("transformer.wte", shape_.vocab_size, d);
      matrix("transformer.wpe", shape_.max_positions, d);
      for (Index l = 0; l < layers; ++l) {
        const std::string prefix = "transformer.h." + std::to_string(l) + ".";
        norm(prefix + "ln_1");
        convolution(prefix + "attn.c_attn", 3 * d, d, 1);
        convolution(prefix + "attn.c_proj", d, d, writer);
        norm(prefix + "ln_2");
        convolution(prefix + "mlp.c_fc", shape_.ffn_size, d, 1);
        convolution(prefix + "mlp.c_proj", d, shape_.ffn_size, writer);
      }
      norm("transformer.ln_f");
    }
    if (!shape_.tied_embeddings) matrix("lm_head", shape_.vocab_size, d);
    return std::move(tensors_);
  }

 private:
  void matrix(const std::string& name, Index outputs, Index inputs, double factor = 1,
              bool transposed = false) {
    MatrixPlan plan(name + ".weight", outputs, inputs, options_.deviation * factor);
    plan.transposed = transposed;
    tensors_.push_back(stream_matrix(std::move(plan), shape_.dtype, options_.seed));
  }
  void constant(const std::string& name, Index count, float value) {
    tensors_.push_back(
        stream_vector(name, std::vector<float>(static_cast<std::size_t>(count), value), shape_.dtype));
  }
  void norm(const std::string& name) {
    constant(name + ".weight", shape_.hidden_size, 1);
    constant(name + ".bias", shape_.hidden_size, 0);
  }
  void convolution(const std::string& name, Index outputs, Index inputs, double factor) {
    matrix(name, outputs, inputs, factor, true);
    constant(name + ".bias", outputs, 0);
  }

  const RandomModelOptions& options_;
  const PhantomShape& shape_;
  std::vector<StreamedTensor> tensors_;
};

}  // namespace

std::vector<StreamedTensor> random_model_tensors(const RandomModelOptions& options) {
  return RandomModelBuilder(options).build();
}

PhantomTruth write_random_model(const RandomModelOptions& options, const std::filesystem::path& folder) {
  PhantomOptions phantom;
  phantom.shape = options.shape;
  phantom.seed = options.seed;
  phantom.variant = PhantomVariant::kNone;
  phantom.shard_bytes = options.shard_bytes;
  validate(phantom);
  require_space(options.shape, folder);
  PhantomTruth truth;
  truth.variant = PhantomVariant::kNone;
  truth.seed = options.seed;
  const PhantomTokenizer tokenizer(options.shape, false);
  write_model_folder({phantom, tokenizer, random_model_tensors(options), truth}, folder);
  return truth;
}

RandomModelOptions random_random_model_options(std::uint64_t seed) {
  RandomModelOptions options;
  options.shape = random_phantom_options(seed).shape;
  options.seed = seed;
  if (seed % 3 == 2) {
    PhantomShape& shape = options.shape;
    shape.form = PhantomForm::kGpt2;
    shape.kv_heads = shape.heads;
    shape.ffn_size = 4 * shape.hidden_size;
    shape.max_positions = 1024;
    shape.tied_embeddings = true;
  }
  return options;
}

}  // namespace defectoscope
