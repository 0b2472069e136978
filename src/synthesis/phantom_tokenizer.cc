#include "synthesis/phantom_tokenizer.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <nlohmann/json.hpp>
#include <string_view>
#include <unordered_set>

namespace defectoscope {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<std::string_view, 3> kSpecial = {"<unk>", "<s>", "</s>"};
constexpr std::string_view kSpace = "\u0120";  // how byte-level BPE writes a leading space

/// The test sentence first; they get entries whatever the size.
constexpr std::array<std::string_view, 9> kSentence = {"The",   " quick", " brown", " fox", " jumps",
                                                       " over", " the",   " lazy",  " dog"};
constexpr std::string_view kCommonWords =
    "of and to in a is that it was for on are as with his they at be this from have or by one had not but "
    "what "
    "all were when we there can an your which their said if do will each about how up out them then she many "
    "some "
    "so these would other into has more her two like him see time could no make than first been its who now "
    "people "
    "my made over did down only way find use may water long little very after words called just where most "
    "know";

std::string utf8(unsigned code) {
  if (code < 0x80) return {static_cast<char>(code)};
  return {static_cast<char>(0xc0u | (code >> 6)), static_cast<char>(0x80u | (code & 0x3fu))};
}

/// How byte-level BPE spells a byte: printable ones as themselves, the others from U+0100 on.
std::array<std::string, 256> byte_spellings() {
  std::array<std::string, 256> spelling;
  unsigned next = 256;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const bool itself = (byte > 32 && byte < 127) || (byte > 160 && byte != 173);
    spelling[byte] = utf8(itself ? byte : next++);
  }
  return spelling;
}

}  // namespace

PhantomTokenizer::PhantomTokenizer(const PhantomShape& shape, bool add_start_token)
    : limit_(shape.vocab_size), max_positions_(shape.max_positions), add_start_token_(add_start_token) {
  assert(limit_ >= kSmallestVocabulary);
  for (const std::string_view special : kSpecial) {
    tokens_.emplace_back(special);
    unusual_.push_back(true);
  }
  add_byte_tokens();
  for (const std::string_view word : kSentence) add_word(std::string(word));
  for (std::size_t at = 0; at < kCommonWords.size();) {
    const std::size_t end = std::min(kCommonWords.find(' ', at), kCommonWords.size());
    add_word(" " + std::string(kCommonWords.substr(at, end - at)));
    at = end + 1;
  }
  add_syllables();
  for (Index i = 0; i < size(); ++i) sorted_.emplace_back(token(i), i);
  std::sort(sorted_.begin(), sorted_.end());
}

void PhantomTokenizer::add_byte_tokens() {
  const std::array<std::string, 256> spelling = byte_spellings();
  for (std::size_t byte = 0; byte < 256; ++byte) {
    tokens_.push_back(spelling[byte]);
    unusual_.push_back((byte < 32 && byte != '\n') || byte > 126);
  }
}

void PhantomTokenizer::add_merge(const std::string& left, const std::string& right) {
  std::string joined = left + right;
  if (full() || std::find(tokens_.begin(), tokens_.end(), joined) != tokens_.end()) return;
  merges_.emplace_back(left, right);
  tokens_.push_back(std::move(joined));
  unusual_.push_back(false);
}

/// A word and all its beginnings. Merges never start inside a word, so what BPE finds is the longest
/// beginning.
void PhantomTokenizer::add_word(const std::string& text) {
  std::string prefix = text[0] == ' ' ? std::string(kSpace) : text.substr(0, 1);
  for (std::size_t i = 1; i < text.size(); ++i) {
    add_merge(prefix, text.substr(i, 1));
    prefix += text[i];
  }
}

/// " ba", " bab", ...: consonants and vowels in turn, shortest first, until the vocabulary is full.
void PhantomTokenizer::add_syllables() {
  constexpr std::string_view kVowels = "aeiou";
  constexpr std::string_view kConsonants = "bcdfghjklmnpqrstvwxyz";
  std::unordered_set<std::string> known(tokens_.begin(), tokens_.end());
  std::vector<std::string> level = {std::string(kSpace)};
  while (!full()) {
    std::vector<std::string> next;
    for (const std::string& prefix : level) {
      const char last = prefix.back();
      const bool fresh = prefix == kSpace;
      for (const std::string_view letters : {kConsonants, kVowels}) {
        if (!fresh && (kVowels.find(last) != std::string_view::npos) == (letters == kVowels)) continue;
        for (const char letter : letters) {
          std::string joined = prefix + letter;
          if (!full() && known.insert(joined).second) {
            merges_.emplace_back(prefix, std::string(1, letter));
            tokens_.push_back(joined);
            unusual_.push_back(false);
          }
          next.push_back(std::move(joined));
        }
      }
    }
    level = std::move(next);
  }
}

Index PhantomTokenizer::find(const std::string& token) const {
  const auto at = std::lower_bound(sorted_.begin(), sorted_.end(), std::pair<std::string, Index>(token, 0));
  assert(at != sorted_.end() && at->first == token);
  return at->second;
}

std::string PhantomTokenizer::tokenizer_json() const {
  Json vocabulary = Json::object();
  for (Index i = 0; i < size(); ++i) vocabulary[token(i)] = i;
  Json merges = Json::array();
  for (const auto& [left, right] : merges_) merges.push_back(left + " " + right);
  Json added = Json::array();
  for (std::size_t i = 0; i < kSpecial.size(); ++i)
    added.push_back({{"id", i},
                     {"content", kSpecial[i]},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  const Json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  Json post = byte_level;
  if (add_start_token_) {
    const auto sequence = [](const char* name, int type) {
      return Json{{"Sequence", {{"id", name}, {"type_id", type}}}};
    };
    const auto start = [](int type) {
      return Json{{"SpecialToken", {{"id", kSpecial[1]}, {"type_id", type}}}};
    };
    post = {{"type", "TemplateProcessing"},
            {"single", Json::array({start(0), sequence("A", 0)})},
            {"pair", Json::array({start(0), sequence("A", 0), start(1), sequence("B", 1)})},
            {"special_tokens",
             {{kSpecial[1], {{"id", kSpecial[1]}, {"ids", {start_token()}}, {"tokens", {kSpecial[1]}}}}}}};
  }
  const Json model = {{"type", "BPE"},
                      {"dropout", nullptr},
                      {"unk_token", nullptr},
                      {"continuing_subword_prefix", nullptr},
                      {"end_of_word_suffix", nullptr},
                      {"fuse_unk", false},
                      {"byte_fallback", false},
                      {"ignore_merges", false},
                      {"vocab", std::move(vocabulary)},
                      {"merges", std::move(merges)}};
  const Json json = {{"version", "1.0"},       {"truncation", nullptr}, {"padding", nullptr},
                     {"added_tokens", added},  {"normalizer", nullptr}, {"pre_tokenizer", byte_level},
                     {"post_processor", post}, {"decoder", byte_level}, {"model", model}};
  return json.dump(1) + "\n";
}

std::string PhantomTokenizer::tokenizer_config_json() const {
  const Json json = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                     {"unk_token", kSpecial[0]},
                     {"bos_token", kSpecial[1]},
                     {"eos_token", kSpecial[2]},
                     {"add_bos_token", add_start_token_},
                     {"add_eos_token", false},
                     {"clean_up_tokenization_spaces", false},
                     {"model_max_length", max_positions_}};
  return json.dump(2) + "\n";
}

}  // namespace defectoscope
