#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <unordered_map>

#include "base/error.h"
#include "base/files.h"
#include "tokenizer/byte_letters.h"
#include "tokenizer/pipeline.h"
#include "tokenizer/slow_files.h"

namespace defectoscope {
namespace {

constexpr std::size_t kLargestRank = 1 << 24;

using Ranks = std::unordered_map<std::string, std::size_t>;

std::optional<std::string> decode_base64(std::string_view text) {
  static constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  while (text.ends_with('=')) text.remove_suffix(1);
  if (text.empty() || text.size() % 4 == 1) return std::nullopt;
  std::string bytes;
  unsigned bits = 0;
  int held = 0;
  for (const char c : text) {
    const auto digit = kAlphabet.find(c);
    if (digit == kAlphabet.npos) return std::nullopt;
    bits = (bits << 6) | static_cast<unsigned>(digit);
    held += 6;
    if (held < 8) continue;
    held -= 8;
    bytes.push_back(static_cast<char>((bits >> held) & 0xFF));
    bits &= (1u << held) - 1;
  }
  return bytes;
}

struct Entry {
  std::string bytes;
  std::size_t rank = 0;
};

std::optional<Entry> parse_line(std::string_view line) {
  const auto gap = line.find(' ');
  if (gap == line.npos) return std::nullopt;
  auto bytes = decode_base64(line.substr(0, gap));
  const auto number = line.substr(gap + 1);
  Entry entry;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), entry.rank);
  if (!bytes || error != std::errc() || end != number.data() + number.size()) return std::nullopt;
  entry.bytes = std::move(*bytes);
  return entry;
}

std::string_view next_line(std::string_view& text) {
  const auto end = std::min(text.find('\n'), text.size());
  auto line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

std::vector<std::string> read_ranks(const std::filesystem::path& path, Ranks& ranks) {
  const std::string content = read_file(path);
  std::string_view rest = content;
  std::vector<std::string> tokens;
  for (std::size_t line = 1; !rest.empty(); ++line) {
    const auto text = next_line(rest);
    if (text.empty()) continue;
    const auto entry = parse_line(text);
    const std::string where = "line " + std::to_string(line);
    if (!entry || entry->rank > kLargestRank)
      throw_bad_input({.what = "malformed line",
                       .file = path.string(),
                       .tensor = where,
                       .expected = "base64, space, rank"});
    if (entry->rank >= tokens.size()) tokens.resize(entry->rank + 1);
    if (!tokens[entry->rank].empty() || !ranks.emplace(entry->bytes, entry->rank).second)
      throw_bad_input({.what = "entry or rank comes twice", .file = path.string(), .tensor = where});
    tokens[entry->rank] = entry->bytes;
  }
  if (tokens.empty()) throw_bad_input({.what = "the vocabulary is empty", .file = path.string()});
  return tokens;
}

/// Ranks say which entries exist, not which pairs made them: every pair that gives an entry is a merge, those
/// of the same entry in the order of their parts' ranks.
std::vector<std::pair<std::string, std::string>> merges_of(const std::vector<std::string>& tokens,
                                                           const Ranks& ranks) {
  struct Pair {
    std::size_t left, right, cut;
  };
  std::vector<std::pair<std::string, std::string>> merges;
  for (const std::string& token : tokens) {
    std::vector<Pair> pairs;
    for (std::size_t cut = 1; cut < token.size(); ++cut) {
      const auto left = ranks.find(token.substr(0, cut));
      if (left == ranks.end()) continue;
      const auto right = ranks.find(token.substr(cut));
      if (right != ranks.end()) pairs.push_back({left->second, right->second, cut});
    }
    std::sort(pairs.begin(), pairs.end(), [](const Pair& a, const Pair& b) {
      return std::pair(a.left, a.right) < std::pair(b.left, b.right);
    });
    for (const Pair& pair : pairs)
      merges.emplace_back(to_byte_letters(std::string_view(token).substr(0, pair.cut)),
                          to_byte_letters(std::string_view(token).substr(pair.cut)));
  }
  return merges;
}

/// What a file of ranks does not say; it goes by their number.
struct Kind {
  const char* splitting;
  std::vector<std::string> special;  ///< ids follow the ranks
  const char* start = "";
};

Kind kind_of(std::size_t ranks, const std::filesystem::path& path) {
  const auto numbered = [](std::vector<std::string>& list, const char* stem, int first, int last) {
    for (int i = first; i <= last; ++i) list.push_back(stem + std::to_string(i) + "|>");
  };
  if (ranks == 151643) {
    Kind qwen{"qwen2", {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}};
    numbered(qwen.special, "<|extra_", 0, 204);
    return qwen;
  }
  if (ranks == 128000) {
    constexpr const char* kReserved = "<|reserved_special_token_";
    Kind llama{"llama-bpe", {"<|begin_of_text|>", "<|end_of_text|>"}, "<|begin_of_text|>"};
    numbered(llama.special, kReserved, 0, 3);
    llama.special.insert(llama.special.end(), {"<|start_header_id|>", "<|end_header_id|>"});
    numbered(llama.special, kReserved, 4, 4);
    llama.special.push_back("<|eot_id|>");
    numbered(llama.special, kReserved, 5, 250);
    return llama;
  }
  if (ranks == 50256) return {"gpt-2", {"<|endoftext|>"}};
  if (ranks == 100256) return {"llama-bpe", {}};  // cl100k_base cuts as LLaMA 3 does
  if (ranks >= 199998 && ranks <= 200100) return {"gpt-4o", {}};
  throw_bad_input({.what = "it is not known how this vocabulary cuts text into words",
                   .file = path.string(),
                   .expected =
                       "the number of ranks of Qwen (151643), LLaMA 3 (128000), GPT-2 (50256), cl100k_base "
                       "(100256) or o200k_base (199998)",
                   .got = std::to_string(ranks),
                   .hint = "put the model's tokenizer.json beside the file"});
}

}  // namespace

bool is_tiktoken(std::string_view content) {
  return !content.empty() && parse_line(next_line(content)).has_value();
}

std::unique_ptr<Tokenizer> open_tiktoken(const std::filesystem::path& path, const TokenizerConfig& config) {
  Ranks ranks;
  std::vector<std::string> tokens = read_ranks(path, ranks);
  const Kind kind = kind_of(tokens.size(), path);
  BpeVocabulary bpe;
  bpe.splitting = kind.splitting;
  bpe.ignore_merges = true;  // every entry can be reached, so a word that is one need not be built
  bpe.merges = merges_of(tokens, ranks);
  for (const std::string& token : tokens) bpe.tokens.push_back(to_byte_letters(token));
  const auto add = [&](AddedToken token) {
    const auto id = static_cast<std::size_t>(token.id);
    if (id >= bpe.tokens.size()) bpe.tokens.resize(id + 1);
    if (!bpe.tokens[id].empty()) return;
    bpe.tokens[id] = token.content;
    bpe.added.push_back(std::move(token));
  };
  for (const AddedToken& token : config.added_tokens)
    if (token.id >= 0 && static_cast<std::size_t>(token.id) <= kLargestRank) add(token);
  if (bpe.added.empty())
    for (const std::string& name : kind.special) {
      AddedToken token;
      token.content = name;
      token.normalized = false;
      token.special = true;
      token.id = static_cast<TokenId>(bpe.tokens.size());
      add(token);
    }
  const auto known = [&](const std::string& token) {
    return std::any_of(bpe.added.begin(), bpe.added.end(), [&](const auto& a) { return a.content == token; });
  };
  const std::string start = config.bos_token.empty() ? kind.start : config.bos_token;
  if (config.add_bos_token.value_or(*kind.start != '\0') && known(start)) bpe.start = start;
  if (config.add_eos_token.value_or(false) && known(config.eos_token)) bpe.end = config.eos_token;
  return make_rust_tokenizer(to_tokenizer_json(bpe), path.string());
}

}  // namespace defectoscope
