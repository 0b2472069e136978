#include "tokenizer/gguf_tokenizer.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "checkpoint/gguf_metadata.h"
#include "tokenizer/pipeline.h"
#include "tokenizer/sentencepiece_model.h"
#include "tokenizer/sentencepiece_tokenizer.h"
#include "tokenizer/utf8.h"

namespace defectoscope {
namespace {

constexpr std::string_view kWordStart = "▁";

/// The vocabulary's common keys, checked.
class Vocabulary {
 public:
  explicit Vocabulary(const GgufMetadata& gguf) : gguf_(gguf) {
    const auto tokens = gguf.texts(kTokens);
    if (tokens.empty())
      throw_bad_input({.what = "the GGUF file has no vocabulary", .file = gguf.file(), .tensor = kTokens});
    for (std::size_t id = 0; id < tokens.size(); ++id) {
      if (find_invalid_utf8(tokens[id]))
        throw_bad_input({.what = "entry is not UTF-8",
                         .file = gguf.file(),
                         .tensor = std::string(kTokens) + '[' + std::to_string(id) + ']'});
      tokens_.emplace_back(tokens[id]);
    }
    types_ = gguf.integers("tokenizer.ggml.token_type");
    if (types_.empty()) types_.assign(tokens_.size(), static_cast<int>(PieceType::kNormal));
    same_length("tokenizer.ggml.token_type", types_.size());
    make_unique();
  }

  const std::vector<std::string>& tokens() const { return tokens_; }
  std::size_t size() const { return tokens_.size(); }

  PieceType type(std::size_t id) const {
    const auto number = types_[id];
    return number >= 1 && number <= 6 ? static_cast<PieceType>(number) : PieceType::kNormal;
  }

  void same_length(const char* key, std::size_t got) const {
    if (got == tokens_.size()) return;
    throw_bad_input({.what = "vocabulary and its properties differ in length",
                     .file = gguf_.file(),
                     .tensor = key,
                     .expected = std::to_string(tokens_.size()),
                     .got = std::to_string(got)});
  }

  /// The id a key names, or `otherwise` where the vocabulary has that; -1 stands for none.
  int id(const char* name, int otherwise) const {
    const std::string key = "tokenizer.ggml." + std::string(name) + "_token_id";
    const auto given = gguf_.integer(key);
    if (!given || *given == 0xFFFFFFFF || *given == -1)
      return otherwise < static_cast<int>(tokens_.size()) ? otherwise : -1;
    if (*given < 0 || static_cast<std::uint64_t>(*given) >= tokens_.size())
      throw_bad_input({.what = "token id is not in the vocabulary",
                       .file = gguf_.file(),
                       .tensor = key,
                       .expected = "0 to " + std::to_string(tokens_.size() - 1),
                       .got = std::to_string(*given)});
    return static_cast<int>(*given);
  }

  std::string spelling(int id) const {
    return id < 0 ? std::string() : tokens_[static_cast<std::size_t>(id)];
  }

  bool adds(const char* which, bool otherwise) const {
    return gguf_.flag("tokenizer.ggml.add_" + std::string(which)).value_or(otherwise);
  }

  /// Control and user-defined entries, found in text as they are.
  std::vector<AddedToken> added() const {
    std::vector<AddedToken> result;
    for (std::size_t id = 0; id < tokens_.size(); ++id) {
      const PieceType kind = type(id);
      if ((kind != PieceType::kControl && kind != PieceType::kUserDefined) || tokens_[id].empty()) continue;
      AddedToken token;
      token.content = tokens_[id];
      token.normalized = false;
      token.special = kind == PieceType::kControl;
      token.id = static_cast<TokenId>(id);
      result.push_back(token);
    }
    return result;
  }

 private:
  static constexpr const char* kTokens = "tokenizer.ggml.tokens";

  /// Padding entries of some files share a spelling or have none; each gets one of its own and is never used.
  void make_unique() {
    std::set<std::string> seen;
    for (std::size_t id = 0; id < tokens_.size(); ++id) {
      if (!tokens_[id].empty() && seen.insert(tokens_[id]).second) continue;
      tokens_[id] = "<unused entry " + std::to_string(id) + ">";
      types_[id] = static_cast<int>(PieceType::kUnused);
      seen.insert(tokens_[id]);
    }
  }

  const GgufMetadata& gguf_;
  std::vector<std::string> tokens_;
  std::vector<std::int64_t> types_;
};

std::unique_ptr<Tokenizer> sentencepiece(const GgufMetadata& gguf, const Vocabulary& vocabulary,
                                         bool unigram) {
  const auto scores = gguf.numbers("tokenizer.ggml.scores");
  vocabulary.same_length("tokenizer.ggml.scores", scores.size());
  PieceModel model;
  model.unigram = unigram;
  model.unknown = vocabulary.id("unknown", unigram ? 2 : 0);
  model.start = vocabulary.id("bos", unigram ? -1 : 1);
  model.end = vocabulary.id("eos", unigram ? 1 : 2);
  model.add_prefix_space = gguf.flag("tokenizer.ggml.add_space_prefix").value_or(true);
  model.collapse_spaces = gguf.flag("tokenizer.ggml.remove_extra_whitespaces").value_or(unigram);
  const auto map = gguf.octets("tokenizer.ggml.precompiled_charsmap");
  model.character_map.assign(map.begin(), map.end());
  for (std::size_t id = 0; id < vocabulary.size(); ++id) {
    PieceType type = vocabulary.type(id);
    // SentencePiece knows exactly one unknown piece; some files mark it otherwise, or others as well.
    if (static_cast<int>(id) == model.unknown) {
      type = PieceType::kUnknown;
    } else if (type == PieceType::kUnknown) {
      type = PieceType::kControl;
    }
    model.pieces.push_back({vocabulary.tokens()[id], static_cast<float>(scores[id]), type});
  }
  TokenizerConfig config;
  config.add_bos_token = vocabulary.adds("bos_token", !unigram);
  config.add_eos_token = vocabulary.adds("eos_token", unigram);
  config.bos_token = vocabulary.spelling(model.start);
  config.eos_token = vocabulary.spelling(model.end);
  return make_sentencepiece(to_sentencepiece_model(model), gguf.file(), config);
}

/// Files from before tokenizer.ggml.pre was written say it by their architecture.
std::string splitting_of(const GgufMetadata& gguf, std::size_t size) {
  constexpr std::size_t kLlama3Size = 128256;
  constexpr const char* kKey = "tokenizer.ggml.pre";
  const std::string architecture(gguf.text("general.architecture").value_or(""));
  std::string name(gguf.text(kKey).value_or("default"));
  if (name == "default") {
    if (architecture == "gptneox")
      name = "gpt-neox";
    else if (architecture == "starcoder2")
      name = "starcoder";
    else if (architecture.starts_with("qwen"))
      name = "qwen2";
    else if (architecture == "llama" && size == kLlama3Size)
      name = "llama-bpe";
    else
      name = is_known_splitting(architecture) ? architecture : "gpt-2";
  }
  if (!is_known_splitting(name))
    throw_bad_input({.what = "the way this vocabulary cuts text into words is not known",
                     .file = gguf.file(),
                     .tensor = kKey,
                     .got = name,
                     .hint = "put the model's tokenizer.json beside the file"});
  return name;
}

std::unique_ptr<Tokenizer> byte_bpe(const GgufMetadata& gguf, const Vocabulary& vocabulary) {
  constexpr const char* kMerges = "tokenizer.ggml.merges";
  BpeVocabulary bpe;
  bpe.tokens = vocabulary.tokens();
  const auto merges = gguf.texts(kMerges);
  for (std::size_t i = 0; i < merges.size(); ++i) {
    // The first letter of an entry may itself be a space.
    const auto gap = merges[i].find(' ', 1);
    if (gap == merges[i].npos || gap + 1 == merges[i].size() || find_invalid_utf8(merges[i]))
      throw_bad_input({.what = "not a merge",
                       .file = gguf.file(),
                       .tensor = std::string(kMerges) + '[' + std::to_string(i) + ']',
                       .expected = "two entries with a space between"});
    bpe.merges.emplace_back(merges[i].substr(0, gap), merges[i].substr(gap + 1));
  }
  if (const auto wrong = find_impossible_merge(bpe))
    throw_bad_input({.what = "merge of entries that the vocabulary does not have",
                     .file = gguf.file(),
                     .tensor = std::string(kMerges) + '[' + std::to_string(*wrong) + ']',
                     .got = std::string(merges[*wrong])});
  bpe.added = vocabulary.added();
  bpe.splitting = splitting_of(gguf, vocabulary.size());
  const bool like_llama3 = bpe.splitting == "llama-bpe" || bpe.splitting == "llama3" ||
                           bpe.splitting == "llama-v3" || bpe.splitting == "falcon3" ||
                           bpe.splitting == "tekken";
  bpe.ignore_merges = like_llama3 || bpe.splitting == "gpt-4o" || bpe.splitting == "llama4";
  bpe.add_prefix_space = gguf.flag("tokenizer.ggml.add_space_prefix").value_or(false);
  if (vocabulary.adds("bos_token", like_llama3)) bpe.start = vocabulary.spelling(vocabulary.id("bos", -1));
  if (vocabulary.adds("eos_token", false)) bpe.end = vocabulary.spelling(vocabulary.id("eos", -1));
  return make_rust_tokenizer(to_tokenizer_json(bpe), gguf.file());
}

std::unique_ptr<Tokenizer> word_piece(const GgufMetadata& gguf, const Vocabulary& vocabulary) {
  WordPieceVocabulary pieces;
  // The file marks the beginning of a word, BERT its continuations.
  for (std::size_t id = 0; id < vocabulary.size(); ++id) {
    std::string_view token = vocabulary.tokens()[id];
    const bool whole =
        vocabulary.type(id) != PieceType::kNormal || (token.starts_with('[') && token.ends_with(']'));
    if (token.starts_with(kWordStart))
      pieces.tokens.emplace_back(token.substr(kWordStart.size()));
    else
      pieces.tokens.push_back(whole ? std::string(token) : "##" + std::string(token));
  }
  pieces.added = vocabulary.added();
  const auto spelling = [&](const char* name, int otherwise) {
    const int id = vocabulary.id(name, otherwise);
    return id < 0 ? std::string() : pieces.tokens[static_cast<std::size_t>(id)];
  };
  pieces.unknown = spelling("unknown", 100);
  pieces.start = spelling("cls", vocabulary.id("bos", 101));
  // The key has been written with a spelling mistake, and without.
  pieces.end = spelling("separator", vocabulary.id("seperator", 102));
  if (!vocabulary.adds("bos_token", true)) pieces.start.clear();
  if (!vocabulary.adds("sep_token", vocabulary.adds("eos_token", true))) pieces.end.clear();
  return make_rust_tokenizer(to_tokenizer_json(pieces), gguf.file());
}

}  // namespace

std::unique_ptr<Tokenizer> make_gguf_tokenizer(const GgufMetadata& gguf) {
  constexpr const char* kKey = "tokenizer.ggml.model";
  const auto model = gguf.text(kKey);
  if (!model)
    throw_bad_input({.what = "the GGUF file has no tokenizer",
                     .file = gguf.file(),
                     .tensor = kKey,
                     .hint = "put the model's tokenizer.json beside the file"});
  if (*model != "llama" && *model != "t5" && *model != "gpt2" && *model != "bert")
    throw_bad_input({.what = "this kind of GGUF vocabulary is not supported",
                     .file = gguf.file(),
                     .tensor = kKey,
                     .expected = "llama, t5, gpt2 or bert",
                     .got = std::string(*model),
                     .hint = "put the model's tokenizer.json beside the file"});
  const Vocabulary vocabulary(gguf);
  if (*model == "gpt2") return byte_bpe(gguf, vocabulary);
  if (*model == "bert") return word_piece(gguf, vocabulary);
  return sentencepiece(gguf, vocabulary, *model == "t5");
}

std::unique_ptr<Tokenizer> open_gguf_tokenizer(const std::filesystem::path& path) {
  const MappedFile file(path);
  return make_gguf_tokenizer(GgufMetadata(file.bytes(), path.string()));
}

}  // namespace defectoscope
