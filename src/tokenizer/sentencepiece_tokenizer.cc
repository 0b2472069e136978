#include "tokenizer/sentencepiece_tokenizer.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <map>
#include <unordered_map>

#include "base/error.h"
#include "base/files.h"
#include "tokenizer/utf8.h"

namespace defectoscope {
namespace {

using sentencepiece::SentencePieceProcessor;

std::unique_ptr<SentencePieceProcessor> load(const std::string& model, const std::string& file) {
  auto processor = std::make_unique<SentencePieceProcessor>();
  const auto status = processor->LoadFromSerializedProto(model);
  if (!status.ok())
    throw_bad_input(
        {.what = "not a usable SentencePiece model: " + std::string(status.message()), .file = file});
  return processor;
}

/// The model without the space it puts before a text. Fields of a message that comes twice are merged, the
/// later one wins (protobuf encoding, "last one wins"): normalizer_spec (3) { add_dummy_prefix (3): false }.
std::string without_prefix(std::string_view model) { return std::string(model) + "\x1a\x02\x18" + '\0'; }

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f' || c == '\v'; }

class SentencePieceTokenizer : public Tokenizer {
 public:
  SentencePieceTokenizer(std::string_view model, const std::string& file, const TokenizerConfig& config)
      : file_(file), first_(load(std::string(model), file)), later_(load(without_prefix(model), file)) {
    // Older Transformers, and configurations that do not say otherwise, put a space before every segment.
    if (config.legacy.value_or(false)) later_ = load(std::string(model), file);
    if (config.add_prefix_space.has_value() && !*config.add_prefix_space)
      first_ = load(without_prefix(model), file);
    if (first_->GetPieceSize() == 0) throw_bad_input({.what = "the vocabulary is empty", .file = file});
    for (int id = 0; id < first_->GetPieceSize(); ++id)
      if (first_->IsControl(id) || first_->IsUnknown(id)) add_control(id);
    for (const AddedToken& token : config.added_tokens) add_configured(token);
    order_added();
    start_ = named(config.bos_token, first_->bos_id());
    end_ = named(config.eos_token, first_->eos_id());
    if (!config.add_bos_token.value_or(true)) start_ = -1;
    if (!config.add_eos_token.value_or(false)) end_ = -1;
  }

  Index size() const override { return size_; }

  std::vector<TokenId> encode(std::string_view text, bool special) const override {
    if (const auto byte = find_invalid_utf8(text))
      throw_bad_input({.what = "text is not UTF-8 at byte " + std::to_string(*byte)});
    std::vector<TokenId> ids;
    if (special && start_ >= 0) ids.push_back(start_);
    std::size_t done = 0;
    for (std::size_t at = 0; at < text.size();) {
      const AddedToken* token = match(text, at);
      if (token == nullptr) {
        ++at;
        continue;
      }
      std::size_t end = at + token->content.size();
      std::size_t begin = at;
      while (token->lstrip && begin > done && is_space(text[begin - 1])) --begin;
      while (token->rstrip && end < text.size() && is_space(text[end])) ++end;
      encode_segment(text.substr(done, begin - done), done == 0, ids);
      ids.push_back(token->id);
      at = done = end;
    }
    encode_segment(text.substr(done), done == 0, ids);
    if (special && end_ >= 0) ids.push_back(end_);
    return ids;
  }

  std::string decode(const std::vector<TokenId>& ids) const override {
    std::string text;
    std::vector<int> run;
    const SentencePieceProcessor* processor = first_.get();
    const auto flush = [&] {
      std::string part;
      if (!run.empty() && processor->Decode(run, &part).ok()) text += part;
      if (!run.empty()) processor = later_.get();
      run.clear();
    };
    for (const TokenId id : ids) {
      const auto added = added_.find(id);
      const bool piece = id >= 0 && id < first_->GetPieceSize();
      if (added != added_.end() && added->second.special) continue;
      if (added != added_.end()) {
        flush();
        text += added->second.content;
        processor = later_.get();
      } else if (piece) {
        run.push_back(id);
      }
    }
    flush();
    return text;
  }

  std::string token(TokenId id) const override {
    if (const auto added = added_.find(id); added != added_.end()) return added->second.content;
    return id >= 0 && id < first_->GetPieceSize() ? first_->IdToPiece(id) : std::string();
  }

  TokenId find(std::string_view token) const override {
    const auto added = ids_.find(std::string(token));
    if (added != ids_.end()) return added->second;
    const int id = first_->PieceToId(token);
    return first_->IdToPiece(id) == token ? id : -1;  // PieceToId answers <unk> for what it does not know
  }

  bool is_special(TokenId id) const override {
    const auto added = added_.find(id);
    return added != added_.end() && added->second.special;
  }

  TokenId start_token() const override { return start_; }

 private:
  void add(const AddedToken& token) {
    added_[token.id] = token;
    ids_[token.content] = token.id;
    size_ = std::max<Index>({size_, token.id + 1, first_->GetPieceSize()});
  }

  void add_control(TokenId id) {
    AddedToken token;
    token.content = first_->IdToPiece(id);
    token.special = true;
    token.id = id;
    add(token);
  }

  void add_configured(AddedToken token) {
    const TokenId known = find(token.content);
    if (known >= 0) {
      token.id = known;
    } else if (token.id < 0) {
      return;
    }
    const auto taken = added_.find(token.id);
    // A configuration may give a placeholder of the model another name; two names for one id stay two.
    if (taken != added_.end()) ids_.erase(taken->second.content);
    add(token);
  }

  /// Longest first for each first byte, so that match() takes the longest token.
  void order_added() {
    size_ = std::max<Index>(size_, first_->GetPieceSize());
    for (const auto& [id, token] : added_)
      by_first_byte_[static_cast<unsigned char>(token.content.front())].push_back(&token);
    for (auto& tokens : by_first_byte_)
      std::sort(tokens.begin(), tokens.end(), [](const AddedToken* a, const AddedToken* b) {
        return a->content.size() > b->content.size();
      });
  }

  const AddedToken* match(std::string_view text, std::size_t at) const {
    for (const AddedToken* token : by_first_byte_[static_cast<unsigned char>(text[at])])
      if (text.substr(at).starts_with(token->content)) return token;
    return nullptr;
  }

  TokenId named(const std::string& name, int otherwise) const {
    const TokenId id = name.empty() ? -1 : find(name);
    return id >= 0 ? id : otherwise;
  }

  void encode_segment(std::string_view text, bool first, std::vector<TokenId>& ids) const {
    if (text.empty()) return;
    std::vector<int> part;
    const auto status = (first ? first_ : later_)->Encode(text, &part);
    if (!status.ok())
      throw_bad_input({.what = "cannot tokenize the text: " + std::string(status.message()), .file = file_});
    ids.insert(ids.end(), part.begin(), part.end());
  }

  std::string file_;
  std::unique_ptr<SentencePieceProcessor> first_;  ///< for the first segment of a text
  std::unique_ptr<SentencePieceProcessor> later_;  ///< for those behind an added token
  std::map<TokenId, AddedToken> added_;            ///< id: token
  std::unordered_map<std::string, TokenId> ids_;   ///< content: id
  std::array<std::vector<const AddedToken*>, 256> by_first_byte_;
  Index size_ = 0;
  TokenId start_ = -1;
  TokenId end_ = -1;
};

}  // namespace

std::unique_ptr<Tokenizer> make_sentencepiece(std::string_view model, const std::string& file,
                                              const TokenizerConfig& config) {
  return std::make_unique<SentencePieceTokenizer>(model, file, config);
}

std::unique_ptr<Tokenizer> open_sentencepiece(const std::filesystem::path& path,
                                              const TokenizerConfig& config) {
  return make_sentencepiece(read_file(path), path.string(), config);
}

}  // namespace defectoscope
