#include "tokenizer/pipeline.h"

#include <map>
#include <nlohmann/json.hpp>
#include <unordered_set>

namespace defectoscope {
namespace {

using Json = nlohmann::json;

// Expressions as the models' own tokenizer.json files give them.
constexpr const char* kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kGpt4o =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kTekken =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|)"
    R"(\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kBloom = R"( ?[^(\s|[.,!?…。，、।۔،])]+)";
constexpr const char* kDeepSeekNumbers = R"(\p{N}{1,3})";
constexpr const char* kDeepSeekCjk = "[一-龥぀-ゟ゠-ヿ]+";
constexpr const char* kDeepSeekWords =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";

/// The kinds behind the names.
enum class Splitting { kGpt2, kLlama3, kQwen2, kGpt4o, kTekken, kDigits, kFalcon, kBloom, kDeepSeek3 };

struct Named {
  Splitting splitting;
  bool compose = false;  ///< NFC first
};

const std::map<std::string, Named>& names() {
  static const std::map<std::string, Named> table = {
      {"gpt-2", {Splitting::kGpt2}},
      {"phi-2", {Splitting::kGpt2}},
      {"roberta-bpe", {Splitting::kGpt2}},
      {"jais", {Splitting::kGpt2}},
      {"exaone4", {Splitting::kGpt2}},
      {"mpt", {Splitting::kGpt2, true}},
      {"gpt-neox", {Splitting::kGpt2, true}},
      {"olmo", {Splitting::kGpt2, true}},
      {"llama-bpe", {Splitting::kLlama3}},
      {"llama3", {Splitting::kLlama3}},
      {"llama-v3", {Splitting::kLlama3}},
      {"falcon3", {Splitting::kLlama3}},
      {"dbrx", {Splitting::kLlama3}},
      {"smaug-bpe", {Splitting::kLlama3}},
      {"glm4", {Splitting::kLlama3}},
      {"chatglm-bpe", {Splitting::kLlama3}},
      {"qwen2", {Splitting::kQwen2, true}},
      {"deepseek-r1-qwen", {Splitting::kQwen2, true}},
      {"stablelm2", {Splitting::kQwen2}},
      {"gpt-4o", {Splitting::kGpt4o}},
      {"llama4", {Splitting::kGpt4o}},
      {"tekken", {Splitting::kTekken}},
      {"starcoder", {Splitting::kDigits}},
      {"refact", {Splitting::kDigits}},
      {"smollm", {Splitting::kDigits}},
      {"codeshell", {Splitting::kDigits}},
      {"command-r", {Splitting::kDigits, true}},
      {"falcon", {Splitting::kFalcon}},
      {"bloom", {Splitting::kBloom}},
      {"deepseek-v3", {Splitting::kDeepSeek3}},
      {"deepseek-r1", {Splitting::kDeepSeek3}},
  };
  return table;
}

Json byte_level(bool use_regex, bool add_prefix_space) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", add_prefix_space},
          {"trim_offsets", true},
          {"use_regex", use_regex}};
}

Json split(const char* expression) {
  return {
      {"type", "Split"}, {"pattern", {{"Regex", expression}}}, {"behavior", "Isolated"}, {"invert", false}};
}

Json digits(bool individual) { return {{"type", "Digits"}, {"individual_digits", individual}}; }

Json sequence(Json steps) { return {{"type", "Sequence"}, {"pretokenizers", std::move(steps)}}; }

Json pre_tokenizer(Splitting splitting, bool prefix) {
  switch (splitting) {
    case Splitting::kGpt2:
      return byte_level(true, prefix);
    case Splitting::kLlama3:
      return sequence({split(kLlama3), byte_level(false, prefix)});
    case Splitting::kQwen2:
      return sequence({split(kQwen2), byte_level(false, prefix)});
    case Splitting::kGpt4o:
      return sequence({split(kGpt4o), byte_level(false, prefix)});
    case Splitting::kTekken:
      return sequence({split(kTekken), byte_level(false, prefix)});
    case Splitting::kDigits:
      return sequence({digits(true), byte_level(true, prefix)});
    case Splitting::kFalcon:
      return sequence({{{"type", "Punctuation"}, {"behavior", "Contiguous"}},
                       byte_level(true, prefix),
                       digits(false),
                       split("[0-9][0-9][0-9]")});
    case Splitting::kBloom:
      return sequence({split(kBloom), byte_level(false, prefix)});
    case Splitting::kDeepSeek3:
      return sequence(
          {split(kDeepSeekNumbers), split(kDeepSeekCjk), split(kDeepSeekWords), byte_level(false, prefix)});
  }
  return nullptr;
}

Json added_tokens(const std::vector<AddedToken>& tokens) {
  Json list = Json::array();
  for (const AddedToken& token : tokens)
    list.push_back({{"id", token.id},
                    {"content", token.content},
                    {"single_word", token.single_word},
                    {"lstrip", token.lstrip},
                    {"rstrip", token.rstrip},
                    {"normalized", token.normalized},
                    {"special", token.special}});
  return list;
}

Json vocabulary_map(const std::vector<std::string>& tokens) {
  Json map = Json::object();
  for (std::size_t id = 0; id < tokens.size(); ++id)
    if (!tokens[id].empty()) map.emplace(tokens[id], id);
  return map;
}

/// A post-processor that puts `start` and `end` around the text; null where both are empty.
Json around(const std::string& start, const std::string& end, const Json& vocabulary) {
  if (start.empty() && end.empty()) return nullptr;
  Json single = Json::array();
  Json pair = Json::array();
  Json specials = Json::object();
  const auto special = [&](const std::string& token, Json& list, int type) {
    if (token.empty()) return;
    list.push_back({{"SpecialToken", {{"id", token}, {"type_id", type}}}});
    specials[token] = {{"id", token}, {"ids", {vocabulary.at(token)}}, {"tokens", {token}}};
  };
  const auto text = [](const char* which, Json& list, int type) {
    list.push_back({{"Sequence", {{"id", which}, {"type_id", type}}}});
  };
  special(start, single, 0);
  text("A", single, 0);
  special(end, single, 0);
  pair = single;
  text("B", pair, 1);
  special(end, pair, 1);
  return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", specials}};
}

}  // namespace

bool is_known_splitting(const std::string& name) { return names().contains(name); }

std::optional<std::size_t> find_impossible_merge(const BpeVocabulary& vocabulary) {
  const std::unordered_set<std::string_view> entries(vocabulary.tokens.begin(), vocabulary.tokens.end());
  for (std::size_t i = 0; i < vocabulary.merges.size(); ++i) {
    const auto& [left, right] = vocabulary.merges[i];
    if (!entries.contains(left) || !entries.contains(right) || !entries.contains(left + right)) return i;
  }
  return std::nullopt;
}

std::string to_tokenizer_json(const BpeVocabulary& vocabulary) {
  const Named& named = names().at(vocabulary.splitting);
  Json vocab = vocabulary_map(vocabulary.tokens);
  Json merges = Json::array();
  for (const auto& [left, right] : vocabulary.merges) merges.push_back({left, right});
  Json json;
  json["version"] = "1.0";
  json["added_tokens"] = added_tokens(vocabulary.added);
  json["normalizer"] = named.compose ? Json{{"type", "NFC"}} : Json();
  json["pre_tokenizer"] = pre_tokenizer(named.splitting, vocabulary.add_prefix_space);
  json["post_processor"] = around(vocabulary.start, vocabulary.end, vocab);
  json["decoder"] = byte_level(true, true);
  json["model"] = {{"type", "BPE"},
                   {"dropout", nullptr},
                   {"unk_token", nullptr},
                   {"fuse_unk", false},
                   {"byte_fallback", false},
                   {"ignore_merges", vocabulary.ignore_merges},
                   {"vocab", std::move(vocab)},
                   {"merges", std::move(merges)}};
  return json.dump();
}

std::string to_tokenizer_json(const WordPieceVocabulary& vocabulary) {
  Json vocab = vocabulary_map(vocabulary.tokens);
  Json json;
  json["version"] = "1.0";
  json["added_tokens"] = added_tokens(vocabulary.added);
  json["normalizer"] = {{"type", "BertNormalizer"},
                        {"clean_text", true},
                        {"handle_chinese_chars", vocabulary.split_chinese},
                        {"strip_accents", nullptr},
                        {"lowercase", vocabulary.lower_case}};
  if (vocabulary.strip_accents) json["normalizer"]["strip_accents"] = *vocabulary.strip_accents;
  json["pre_tokenizer"] = {{"type", "BertPreTokenizer"}};
  json["post_processor"] = around(vocabulary.start, vocabulary.end, vocab);
  json["decoder"] = {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}};
  json["model"] = {{"type", "WordPiece"},
                   {"unk_token", vocabulary.unknown},
                   {"continuing_subword_prefix", "##"},
                   {"max_input_chars_per_word", 100},
                   {"vocab", std::move(vocab)}};
  return json.dump();
}

}  // namespace defectoscope
