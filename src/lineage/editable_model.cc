#include "lineage/editable_model.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/files.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors.h"
#include "lineage/moved_tokens.h"
#include "model/inspect.h"
#include "model/tensor_plan.h"

namespace defectoscope {
namespace {

namespace fs = std::filesystem;

Matrix transposed(const Matrix& x) {
  Matrix out(x.cols(), x.rows());
  for (Index r = 0; r < x.rows(); ++r)
    for (Index c = 0; c < x.cols(); ++c) out(c, r) = x(r, c);
  return out;
}

std::vector<Index> counting(Index first, Index count) {
  std::vector<Index> rows(static_cast<std::size_t>(count));
  std::iota(rows.begin(), rows.end(), first);
  return rows;
}

/// The patterns of a layer's tensors, biases left out.
std::vector<std::string_view> layer_patterns(const TensorNames& n) {
  std::vector<std::string_view> all{n.attention_norm,
                                    n.attention_post_norm,
                                    n.query,
                                    n.key,
                                    n.value,
                                    n.fused_qkv,
                                    n.query_norm,
                                    n.key_norm,
                                    n.attention_output,
                                    n.ffn_norm,
                                    n.ffn_post_norm,
                                    n.gate,
                                    n.up,
                                    n.down};
  std::erase_if(all, [](std::string_view pattern) { return pattern.empty(); });
  return all;
}

/// Files store a layer's matrices the other way round in some families (GPT-2).
bool is_turned(const ArchitectureSpec& row, std::string_view prefix, const std::string& name, Index layers) {
  if (!row.transposed_weights) return false;
  for (const std::string_view pattern :
       {row.names.query, row.names.key, row.names.value, row.names.fused_qkv, row.names.attention_output,
        row.names.gate, row.names.up, row.names.down})
    for (Index i = 0; i < layers && !pattern.empty(); ++i)
      if (tensor_name(prefix, pattern, i) == name) return true;
  return false;
}

/// Some families have parts that the attacks would have to change and do not know.
void require_known_parts(const ModelConfig& config) {
  const ArchitectureSpec& row = *config.architecture;
  const char* part = nullptr;
  if (!row.experts.spellings.empty()) part = "experts";
  if (row.latent_attention) part = "latent attention";
  if (config.embedding_size != 0 && config.embedding_size != config.hidden_size)
    part = "a projected embedding";
  if (config.token_types > 0) part = "token types";
  if (!row.norm_weights) part = "norms without weights";
  if (config.value_dim != 0 && config.value_dim != config.head_dim) part = "values of their own width";
  if (!row.names.sinks.empty()) part = "attention sinks";
  if (!row.names.head_dense.empty()) part = "a layer before the head";
  if (config.qk_norm == QkNorm::kOwnPerHead) part = "norms of every head";
  if (row.up_offset != 0 || config.ffn_clamp != 0) part = "an FFN of its own form";
  if (part != nullptr)
    throw Error(ErrorKind::kUsage,
                ErrorParts{.what = "this family cannot be disguised yet",
                           .got = std::string(row.name) + ", which has " + part,
                           .hint = "LLaMA, Mistral, Qwen2, Phi-3, Gemma, GPT-2, GPT-NeoX and their kin can"});
}

void require_empty(const fs::path& folder) {
  std::error_code error;
  if (fs::exists(folder, error) && (!fs::is_directory(folder, error) || !fs::is_empty(folder, error)))
    throw Error(ErrorKind::kUsage, {.what = "the folder to write holds files already",
                                    .file = folder.string(),
                                    .hint = "name a new or an empty folder"});
  make_folder(folder);
}

}  // namespace

EditableModel::EditableModel(const Model& model)
    : config_(model.config()), source_vocab_size_(config_.vocab_size), source_(model.folder()) {
  if (!fs::exists(source_ / "config.json"))
    throw_bad_input({.what = "only a Hugging Face folder can be changed and written again",
                     .file = source_.string(),
                     .expected = "a folder with config.json",
                     .hint = "convert the model first"});
  require_known_parts(config_);
  json_ = nlohmann::ordered_json::parse(read_file(source_ / "config.json"));
  prefix_ = find_prefix(architecture(), model.checkpoint());
  tokenizer_files_ = inspect_model(source_).tokenizer_files;
  for (const TensorSlot& slot : tensor_plan(config_, prefix_)) {
    const std::optional<Tensor> tensor =
        model.checkpoint().find(stored_name(architecture(), model.checkpoint(), slot.name));
    if (!tensor) continue;
    const auto rank = std::ssize(tensor->shape);
    Matrix values(rank == 1 ? 1 : tensor->shape[0], tensor->shape.back());
    convert_to_f32(tensor->dtype, tensor->data, tensor->elements(), values.data());
    if (is_turned(architecture(), prefix_, slot.name, config_.layers)) values = transposed(values);
    ranks_[slot.name] = rank;
    tensors_.emplace(slot.name, std::move(values));
  }
}

Matrix* EditableModel::find(std::string_view pattern, Index layer) {
  if (pattern.empty()) return nullptr;
  const auto found = tensors_.find(tensor_name(prefix_, pattern, layer));
  return found == tensors_.end() ? nullptr : &found->second;
}

EditableModel::Part EditableModel::part(std::string_view pattern, Index layer, std::vector<Index> rows) {
  Part part;
  part.weight = find(pattern, layer);
  if (part.weight == nullptr) return part;
  if (pattern.ends_with(".weight")) {
    const auto bias = tensors_.find(bias_name(tensor_name(prefix_, pattern, layer)));
    if (bias != tensors_.end()) part.bias = &bias->second;
  }
  part.rows = rows.empty() ? counting(0, part.weight->rows()) : std::move(rows);
  return part;
}

EditableModel::Part EditableModel::qkv(int which, Index layer) {
  const TensorNames& names = architecture().names;
  const Index q = config_.query_size(), kv = config_.kv_size(), dim = config_.head_dim;
  std::vector<Index> rows;
  switch (architecture().qkv) {
    case QkvLayout::kSeparate:
      return part(which == 0 ? names.query : which == 1 ? names.key : names.value, layer);
    case QkvLayout::kFusedBlocks:
      rows = which == 0 ? counting(0, q) : counting(which == 1 ? q : q + kv, kv);
      break;
    case QkvLayout::kFusedPerHead:
      for (Index h = 0; h < config_.heads; ++h)
        for (Index i = 0; i < dim; ++i) rows.push_back((3 * h + which) * dim + i);
      break;
    case QkvLayout::kFusedPerGroup: {
      const Index queries = config_.heads / config_.kv_heads;
      for (Index g = 0; g < config_.kv_heads; ++g)
        for (Index h = 0; h < (which == 0 ? queries : 1); ++h)
          for (Index i = 0; i < dim; ++i)
            rows.push_back((g * (queries + 2) + (which == 0 ? h : queries + which - 1)) * dim + i);
      break;
    }
  }
  return part(names.fused_qkv, layer, std::move(rows));
}

EditableModel::Part EditableModel::query(Index layer) { return qkv(0, layer); }
EditableModel::Part EditableModel::key(Index layer) { return qkv(1, layer); }
EditableModel::Part EditableModel::value(Index layer) { return qkv(2, layer); }
EditableModel::Part EditableModel::output(Index layer) {
  return part(architecture().names.attention_output, layer);
}
EditableModel::Part EditableModel::gate(Index layer) {
  if (architecture().ffn == FfnForm::kPlain) return {};
  if (architecture().ffn == FfnForm::kGated) return part(architecture().names.gate, layer);
  return part(architecture().names.up, layer, counting(0, config_.ffn_size));
}
EditableModel::Part EditableModel::up(Index layer) {
  if (architecture().ffn != FfnForm::kFusedGated) return part(architecture().names.up, layer);
  return part(architecture().names.up, layer, counting(config_.ffn_size, config_.ffn_size));
}
EditableModel::Part EditableModel::down(Index layer) { return part(architecture().names.down, layer); }

EditableModel::Norm EditableModel::norm(std::string_view pattern, Index layer) {
  const Part found = part(pattern, layer);
  return {found.weight, found.bias};
}
EditableModel::Norm EditableModel::attention_norm(Index layer) {
  return norm(architecture().names.attention_norm, layer);
}
EditableModel::Norm EditableModel::ffn_norm(Index layer) {
  return norm(architecture().names.ffn_norm, layer);
}
EditableModel::Norm EditableModel::attention_post_norm(Index layer) {
  return norm(architecture().names.attention_post_norm, layer);
}
EditableModel::Norm EditableModel::ffn_post_norm(Index layer) {
  return norm(architecture().names.ffn_post_norm, layer);
}
EditableModel::Norm EditableModel::embedding_norm() { return norm(architecture().names.embedding_norm, 0); }
EditableModel::Norm EditableModel::final_norm() { return norm(architecture().names.final_norm, 0); }

Matrix& EditableModel::embedding() { return *find(architecture().names.embedding, 0); }
Matrix* EditableModel::position_embedding() { return find(architecture().names.position_embedding, 0); }
Matrix* EditableModel::lm_head() {
  const auto head = tensors_.find(std::string(architecture().names.lm_head));
  return config_.tied_embeddings || head == tensors_.end() ? nullptr : &head->second;
}
Matrix* EditableModel::logit_bias() {
  for (auto& [name, matrix] : tensors_)
    if (matrix.rows() == 1 && matrix.cols() == config_.vocab_size && name.find("head") != std::string::npos)
      return &matrix;
  return nullptr;
}

std::vector<Matrix*> EditableModel::attention_readers(Index layer) {
  if (architecture().qkv != QkvLayout::kSeparate) return {value(layer).weight};
  return {query(layer).weight, key(layer).weight, value(layer).weight};
}
std::vector<Matrix*> EditableModel::ffn_readers(Index layer) {
  if (architecture().ffn == FfnForm::kGated) return {gate(layer).weight, up(layer).weight};
  return {up(layer).weight};
}
std::vector<Matrix*> EditableModel::matrices(Index layer) {
  std::vector<Matrix*> all = attention_readers(layer);
  all.push_back(output(layer).weight);
  for (Matrix* reader : ffn_readers(layer)) all.push_back(reader);
  all.push_back(down(layer).weight);
  return all;
}

void EditableModel::set_norm_eps(double eps) {
  config_.norm_eps = eps;
  set_number(architecture().keys.norm_eps, eps);
}

void EditableModel::set_number(const std::vector<std::string_view>& keys,
                               const nlohmann::ordered_json& value) {
  auto key = std::ranges::find_if(keys, [&](std::string_view k) { return json_.contains(std::string(k)); });
  if (key == keys.end()) key = keys.begin();
  json_[std::string(*key)] = value;
}

void EditableModel::set_vocab_size(Index entries) {
  config_.vocab_size = entries;
  set_number(architecture().keys.vocab_size, entries);
}

void EditableModel::set_ffn_size(Index neurons) {
  config_.ffn_size = neurons;
  set_number(architecture().keys.ffn_size, neurons);
}

std::vector<Index> EditableModel::movable_tokens() const {
  return defectoscope::movable_tokens(source_, source_vocab_size_);
}

void EditableModel::move_tokens(const std::vector<Index>& places) {
  const auto moved = [&](const Matrix& x, bool columns) {
    Matrix out(x.rows(), x.cols());
    for (Index i = 0; i < std::ssize(places); ++i) {
      const Index to = places[static_cast<std::size_t>(i)];
      if (columns)
        out(0, to) = x(0, i);
      else
        std::ranges::copy(x.row(i), out.row(to).begin());
    }
    return out;
  };
  for (Matrix* table : {&embedding(), lm_head()})
    if (table != nullptr) *table = moved(*table, false);
  if (Matrix* bias = logit_bias()) *bias = moved(*bias, true);
  if (token_places_.empty()) token_places_ = counting(0, source_vocab_size_);
  for (Index& place : token_places_) place = places[static_cast<std::size_t>(place)];
}

/// A tokenizer's file as it is to be written: entries under their new ids, and in tokenizer.json one for
/// every row that was added.
std::string EditableModel::tokenizer_text(const std::string& file) const {
  std::string text = read_file(source_ / file);
  if (!token_places_.empty()) text = with_moved_tokens(file, std::move(text), token_places_);
  const Index before = source_vocab_size_;
  if (file != "tokenizer.json" || config_.vocab_size <= before) return text;
  auto json = nlohmann::json::parse(text);
  if (!json.contains("added_tokens") || !json["added_tokens"].is_array()) return text;
  for (Index id = before; id < config_.vocab_size; ++id)
    json["added_tokens"].push_back({{"id", id},
                                    {"content", "<added_" + std::to_string(id) + ">"},
                                    {"single_word", false},
                                    {"lstrip", false},
                                    {"rstrip", false},
                                    {"normalized", false},
                                    {"special", false}});
  return json.dump();
}

void EditableModel::choose_layers(const std::vector<Index>& layers) {
  std::map<std::string, Matrix> chosen;
  std::map<std::string, Index> ranks;
  const auto copy = [&](const std::string& from, const std::string& to) {
    const auto found = tensors_.find(from);
    if (found == tensors_.end()) return;
    chosen.emplace(to, found->second);
    ranks[to] = ranks_.at(from);
  };
  std::vector<std::string> of_layers;
  for (const std::string_view pattern : layer_patterns(architecture().names)) {
    for (Index i = 0; i < config_.layers; ++i) {
      of_layers.push_back(tensor_name(prefix_, pattern, i));
      of_layers.push_back(bias_name(of_layers.back()));
    }
    for (std::size_t i = 0; i < layers.size(); ++i) {
      const std::string from = tensor_name(prefix_, pattern, layers[i]);
      const std::string to = tensor_name(prefix_, pattern, static_cast<Index>(i));
      copy(from, to);
      copy(bias_name(from), bias_name(to));
    }
  }
  std::ranges::sort(of_layers);
  for (const auto& [name, values] : tensors_)
    if (!std::ranges::binary_search(of_layers, name)) copy(name, name);
  tensors_ = std::move(chosen);
  ranks_ = std::move(ranks);
  config_.layers = std::ssize(layers);
  for (const std::string_view key : architecture().keys.layers)
    if (const std::string name(key); json_.contains(name)) json_[name] = config_.layers;
  if (json_.contains("layer_types") && json_["layer_types"].is_array()) {
    const nlohmann::ordered_json types = json_["layer_types"];
    json_["layer_types"] = nlohmann::ordered_json::array();
    for (const Index i : layers) json_["layer_types"].push_back(types[static_cast<std::size_t>(i)]);
  }
}

void EditableModel::write(const fs::path& folder) const {
  require_empty(folder);
  std::vector<SafetensorsWriter::Entry> entries;
  const auto turned = [&](const std::string& name) {
    return is_turned(architecture(), prefix_, name, config_.layers);
  };
  for (const auto& [name, values] : tensors_) {
    std::vector<Index> shape{values.rows(), values.cols()};
    if (turned(name)) std::swap(shape[0], shape[1]);
    if (ranks_.at(name) == 1) shape = {values.cols()};
    entries.push_back({name, DType::kF32, shape});
  }
  SafetensorsWriter writer(folder / "model.safetensors", entries, {{"format", "pt"}});
  for (const auto& [name, values] : tensors_) {
    const Matrix stored = turned(name) ? transposed(values) : values;
    writer.append(
        std::as_bytes(std::span(stored.data(), static_cast<std::size_t>(stored.rows() * stored.cols()))));
  }
  writer.commit();
  for (const std::string& file : tokenizer_files_)
    if (token_places_.empty() || !is_left_behind(file)) write_file(folder / file, tokenizer_text(file));
  nlohmann::ordered_json json = json_;
  for (const char* key : {"torch_dtype", "dtype"})
    if (json.contains(key)) json[key] = "float32";
  write_file(folder / "config.json", json.dump(2) + "\n");
}

}  // namespace defectoscope
