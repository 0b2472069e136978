#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "model/model.h"

namespace defectoscope {

/// A model in memory as f32, to be changed and written again in its family's own files. Matrices are [out,
/// in] here, whatever the files have; vectors are one row. Memory: four bytes a parameter.
class EditableModel {
 public:
  /// Throws Error(kBadInput) where `model` is no Hugging Face folder (the written one is, with config.json
  /// made from the read one).
  explicit EditableModel(const Model& model);

  const ModelConfig& config() const { return config_; }
  const ArchitectureSpec& architecture() const { return *config_.architecture; }
  void set_norm_eps(double eps);
  /// Says in the configuration what the tensors were changed to. A larger vocabulary also gets entries in
  /// tokenizer.json, where there is one, when written.
  void set_vocab_size(Index entries);
  void set_ffn_size(Index neurons);
  /// The entries that move_tokens() can move: movable_tokens() of the model's folder.
  std::vector<Index> movable_tokens() const;
  /// Entry i becomes entry places[i]: its rows of embedding and head and its bias of the logits, and when
  /// written the tokenizer's files. `places` is a permutation of all rows that moves only movable_tokens().
  void move_tokens(const std::vector<Index>& places);

  /// Rows of a weight, and of its bias where it has one, that a role owns: all, or those of a fused tensor.
  struct Part {
    Matrix* weight = nullptr;  ///< [out, in]
    Matrix* bias = nullptr;    ///< [1, out]
    std::vector<Index> rows;
    bool defined() const { return weight != nullptr; }
    std::span<float> row(Index i) const { return weight->row(rows[static_cast<std::size_t>(i)]); }
    float* bias_at(Index i) const { return bias ? &(*bias)(0, rows[static_cast<std::size_t>(i)]) : nullptr; }
  };
  Part query(Index layer), key(Index layer), value(Index layer), output(Index layer);
  Part gate(Index layer), up(Index layer), down(Index layer);  ///< gate undefined for plain FFNs

  /// Gain as it acts is the stored one plus ModelConfig::norm_gain_offset.
  struct Norm {
    Matrix* gain = nullptr;   ///< [1, d]
    Matrix* shift = nullptr;  ///< [1, d] or null
    bool defined() const { return gain != nullptr; }
  };
  Norm attention_norm(Index layer), ffn_norm(Index layer), attention_post_norm(Index layer),
      ffn_post_norm(Index layer);
  Norm embedding_norm(), final_norm();

  Matrix& embedding();
  Matrix* position_embedding();  ///< null where there is none
  Matrix* lm_head();             ///< null where tied to the embedding
  Matrix* logit_bias();          ///< [1, entries]; null where there is none

  /// Matrices that read what a norm gives: attention's, the FFN's. A fused tensor counts once.
  std::vector<Matrix*> attention_readers(Index layer), ffn_readers(Index layer);
  /// All matrices of a layer, each once.
  std::vector<Matrix*> matrices(Index layer);

  /// The layers become those numbered here (0-based, of the present ones), in that order.
  void choose_layers(const std::vector<Index>& layers);
  /// Tensors by the names of the files.
  std::map<std::string, Matrix>& tensors() { return tensors_; }

  /// Writes config.json, model.safetensors (f32) and copies of the tokenizer's files into a folder that is
  /// empty or new. Throws Error(kResources) where it cannot, Error(kUsage) where the folder holds files.
  void write(const std::filesystem::path& folder) const;

 private:
  void set_number(const std::vector<std::string_view>& keys, const nlohmann::ordered_json& value);
  std::string tokenizer_text(const std::string& file) const;
  Matrix* find(std::string_view pattern, Index layer);
  Part part(std::string_view pattern, Index layer, std::vector<Index> rows = {});
  Part qkv(int which, Index layer);
  Norm norm(std::string_view pattern, Index layer);

  ModelConfig config_;
  Index source_vocab_size_ = 0;
  std::vector<Index> token_places_;  ///< of the source's entries; empty: none has moved
  nlohmann::ordered_json json_;
  std::string prefix_;
  std::filesystem::path source_;
  std::vector<std::string> tokenizer_files_;
  std::map<std::string, Matrix> tensors_;
  std::map<std::string, Index> ranks_;  ///< 1 or 2, as stored
};

}  // namespace defectoscope
