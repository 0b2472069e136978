#include "tokenizer/slow_files.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "tokenizer/pipeline.h"
#include "tokenizer/utf8.h"

namespace defectoscope {
namespace {

using Json = nlohmann::json;

constexpr TokenId kLargestId = 1 << 24;  // far beyond any vocabulary; a wrong number must not reserve memory

/// Lines without their ends (LF or CRLF); no line for what follows the last end.
std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    auto line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines.push_back(line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

[[noreturn]] void bad_line(const std::filesystem::path& path, std::size_t line, const char* expected) {
  throw_bad_input({.what = "malformed line",
                   .file = path.string(),
                   .tensor = "line " + std::to_string(line + 1),
                   .expected = expected});
}

void require_utf8(std::string_view text, const std::filesystem::path& path) {
  if (const auto byte = find_invalid_utf8(text))
    throw_bad_input({.what = "not UTF-8 at byte " + std::to_string(*byte), .file = path.string()});
}

TokenId position_of(const std::vector<std::string>& tokens, const std::string& token) {
  const auto found = std::find(tokens.begin(), tokens.end(), token);
  return found == tokens.end() || token.empty() ? -1 : static_cast<TokenId>(found - tokens.begin());
}

/// Special tokens of the vocabulary itself; the configuration's come on top when the tokenizer is made.
std::vector<AddedToken> special_tokens(const std::vector<std::string>& tokens,
                                       const std::vector<std::string>& names) {
  std::vector<AddedToken> result;
  for (const std::string& name : names) {
    AddedToken token;
    token.content = name;
    token.normalized = false;
    token.special = true;
    token.id = position_of(tokens, name);
    const bool known =
        std::any_of(result.begin(), result.end(), [&](const auto& t) { return t.content == name; });
    if (token.id >= 0 && !known) result.push_back(token);
  }
  return result;
}

std::string either(const std::string& given, const char* otherwise) {
  return given.empty() ? otherwise : given;
}

/// The token if the vocabulary has it.
std::string if_known(const std::vector<std::string>& tokens, const std::string& token) {
  return position_of(tokens, token) >= 0 ? token : std::string();
}

std::vector<std::string> read_vocab_json(const std::filesystem::path& path) {
  const std::string text = read_file(path);
  std::vector<std::string> tokens;
  Json vocab;
  try {
    vocab = Json::parse(text);
  } catch (const Json::exception& problem) {
    throw_bad_input({.what = std::string("not valid JSON: ") + problem.what(), .file = path.string()});
  }
  if (!vocab.is_object() || vocab.empty())
    throw_bad_input(
        {.what = "not a vocabulary", .file = path.string(), .expected = "an object of entries and ids"});
  for (const auto& [token, id] : vocab.items()) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() > kLargestId)
      throw_bad_input({.what = "not a token id", .file = path.string(), .tensor = token, .got = id.dump()});
    const auto position = id.get<std::size_t>();
    if (position >= tokens.size()) tokens.resize(position + 1);
    if (!tokens[position].empty())
      throw_bad_input({.what = "two entries have the same id",
                       .file = path.string(),
                       .tensor = token,
                       .got = std::to_string(position) + ", which \"" + tokens[position] + "\" has"});
    tokens[position] = token;
  }
  return tokens;
}

}  // namespace

std::unique_ptr<Tokenizer> open_wordpiece(const std::filesystem::path& path, const TokenizerConfig& config) {
  const std::string text = read_file(path);
  require_utf8(text, path);
  WordPieceVocabulary pieces;
  for (const auto line : split_lines(text)) pieces.tokens.emplace_back(line);
  pieces.unknown = either(config.unk_token, "[UNK]");
  pieces.start = either(config.cls_token, "[CLS]");
  pieces.end = either(config.sep_token, "[SEP]");
  for (const std::string& token : {pieces.unknown, pieces.start, pieces.end})
    if (position_of(pieces.tokens, token) < 0)
      throw_bad_input(
          {.what = "the vocabulary lacks a token it needs", .file = path.string(), .tensor = token});
  pieces.lower_case = config.do_lower_case.value_or(true);
  pieces.split_chinese = config.tokenize_chinese_chars.value_or(true);
  pieces.strip_accents = config.strip_accents;
  pieces.added = special_tokens(pieces.tokens, {pieces.unknown, pieces.end, "[PAD]", pieces.start, "[MASK]"});
  return make_rust_tokenizer(to_tokenizer_json(pieces), path.string(), config.added_tokens);
}

std::unique_ptr<Tokenizer> open_vocab_merges(const std::filesystem::path& vocab,
                                             const std::filesystem::path& merges,
                                             const TokenizerConfig& config) {
  BpeVocabulary bpe;
  bpe.tokens = read_vocab_json(vocab);
  const std::string text = read_file(merges);
  require_utf8(text, merges);
  const auto lines = split_lines(text);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].empty() || (i == 0 && lines[i].starts_with("#version"))) continue;
    const auto gap = lines[i].find(' ');
    if (gap == 0 || gap == lines[i].npos || gap + 1 == lines[i].size() ||
        lines[i].find(' ', gap + 1) != lines[i].npos)
      bad_line(merges, i, "two entries with a space between");
    bpe.merges.emplace_back(lines[i].substr(0, gap), lines[i].substr(gap + 1));
  }
  if (const auto wrong = find_impossible_merge(bpe))
    throw_bad_input({.what = "merge of entries that the vocabulary does not have",
                     .file = merges.string(),
                     .tensor = "merge " + std::to_string(*wrong + 1),
                     .expected = "its parts and its result in " + vocab.string(),
                     .got = bpe.merges[*wrong].first + ' ' + bpe.merges[*wrong].second});
  const std::string& kind = config.tokenizer_class;
  const auto is = [&](const char* name) { return kind.starts_with(name); };
  const bool roberta = is("Roberta") || is("Bart") || is("Longformer") || is("LED") || is("XLMRobertaXL");
  bpe.add_prefix_space = config.add_prefix_space.value_or(false);
  if (is("Qwen")) bpe.splitting = "qwen2";
  if (is("GPTNeoX")) bpe.splitting = "gpt-neox";
  if (roberta) {
    bpe.start = either(config.cls_token, "<s>");
    bpe.end = either(config.sep_token, "</s>");
    bpe.added = special_tokens(bpe.tokens, {bpe.start, "<pad>", bpe.end, "<unk>", "<mask>"});
  } else {
    if (config.add_bos_token.value_or(false)) bpe.start = either(config.bos_token, "<|endoftext|>");
    if (config.add_eos_token.value_or(false)) bpe.end = either(config.eos_token, "<|endoftext|>");
    bpe.added =
        special_tokens(bpe.tokens, {"<|endoftext|>", config.bos_token, config.eos_token, config.unk_token});
  }
  bpe.start = if_known(bpe.tokens, bpe.start);
  bpe.end = if_known(bpe.tokens, bpe.end);
  return make_rust_tokenizer(to_tokenizer_json(bpe), vocab.string(), config.added_tokens);
}

}  // namespace defectoscope
