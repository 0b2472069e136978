#include "tokenizer/tokenizer_config.h"

#include <array>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"

namespace defectoscope {
namespace {

using Json = nlohmann::json;

constexpr std::array kSpecialNames = {"bos_token", "eos_token", "unk_token", "sep_token",
                                      "pad_token", "cls_token", "mask_token"};
constexpr std::array kSpecialLists = {"additional_special_tokens", "extra_special_tokens"};

Json read_object(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return Json::object();
  const std::string text = read_file(path);
  Json object;
  try {
    object = Json::parse(text);
  } catch (const Json::exception& problem) {
    throw_bad_input({.what = std::string("not valid JSON: ") + problem.what(), .file = path.string()});
  }
  if (!object.is_object())
    throw_bad_input({.what = "not a JSON object", .file = path.string(), .got = object.type_name()});
  return object;
}

[[noreturn]] void bad_key(const std::filesystem::path& path, const std::string& key, const char* expected,
                          const Json& got) {
  throw_bad_input({.what = "wrong value",
                   .file = path.string(),
                   .tensor = key,
                   .expected = expected,
                   .got = got.type_name()});
}

std::optional<bool> flag(const Json& object, const char* key, const std::filesystem::path& path) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return std::nullopt;
  if (!found->is_boolean()) bad_key(path, key, "true or false", *found);
  return found->get<bool>();
}

/// A token given as text or as an object with flags.
AddedToken parse_token(const Json& value, bool special, const std::string& key,
                       const std::filesystem::path& path) {
  AddedToken token;
  token.normalized = !special;
  token.special = special;
  if (value.is_string()) {
    token.content = value.get<std::string>();
    return token;
  }
  if (!value.is_object() || !value.contains("content") || !value["content"].is_string())
    bad_key(path, key, "a token: text, or an object with \"content\"", value);
  token.content = value["content"].get<std::string>();
  const auto read = [&](const char* name, bool& target) {
    if (const auto given = flag(value, name, path)) target = *given;
  };
  read("single_word", token.single_word);
  read("lstrip", token.lstrip);
  read("rstrip", token.rstrip);
  read("special", token.special);
  token.normalized = !token.special;
  read("normalized", token.normalized);
  return token;
}

TokenId parse_id(const std::string& text, const std::filesystem::path& path) {
  const bool digits = !text.empty() && text.size() < 10 && text.find_first_not_of("0123456789") == text.npos;
  if (!digits)
    throw_bad_input({.what = "not a token id",
                     .file = path.string(),
                     .tensor = "added_tokens_decoder",
                     .expected = "a number",
                     .got = '"' + text + '"'});
  return std::stoi(text);
}

class Reader {
 public:
  explicit Reader(const std::filesystem::path& folder) : folder_(folder) {}

  TokenizerConfig read() {
    const auto path = folder_ / "tokenizer_config.json";
    const Json config = read_object(path);
    if (config.contains("tokenizer_class") && config["tokenizer_class"].is_string())
      config_.tokenizer_class = config["tokenizer_class"].get<std::string>();
    config_.add_bos_token = flag(config, "add_bos_token", path);
    config_.add_eos_token = flag(config, "add_eos_token", path);
    config_.add_prefix_space = flag(config, "add_prefix_space", path);
    config_.legacy = flag(config, "legacy", path);
    config_.do_lower_case = flag(config, "do_lower_case", path);
    config_.tokenize_chinese_chars = flag(config, "tokenize_chinese_chars", path);
    config_.strip_accents = flag(config, "strip_accents", path);
    if (!read_decoder(config, path)) {
      read_added_file();
      const auto map_path = folder_ / "special_tokens_map.json";
      read_special(read_object(map_path), map_path);
    }
    read_special(config, path);
    return config_;
  }

 private:
  bool read_decoder(const Json& config, const std::filesystem::path& path) {
    const auto found = config.find("added_tokens_decoder");
    if (found == config.end() || found->is_null()) return false;
    if (!found->is_object()) bad_key(path, "added_tokens_decoder", "an object", *found);
    std::map<TokenId, AddedToken> by_id;
    for (const auto& [id, value] : found->items())
      by_id[parse_id(id, path)] = parse_token(value, false, "added_tokens_decoder." + id, path);
    for (auto& [id, token] : by_id) {
      token.id = id;
      push(token);
    }
    return true;
  }

  void read_added_file() {
    const auto path = folder_ / "added_tokens.json";
    std::map<TokenId, std::string> by_id;
    const Json object = read_object(path);
    for (const auto& [content, id] : object.items()) {
      if (!id.is_number_unsigned()) bad_key(path, content, "a token id", id);
      by_id[id.get<TokenId>()] = content;
    }
    for (const auto& [id, content] : by_id)
      if (!known(content)) {
        AddedToken token;
        token.content = content;
        token.id = id;
        token.yields = true;
        push(token);
      }
  }

  void read_special(const Json& object, const std::filesystem::path& path) {
    for (const char* name : kSpecialNames) {
      const auto found = object.find(name);
      // false is how some configurations say "none".
      if (found == object.end() || found->is_null() || found->is_boolean()) continue;
      const AddedToken token = parse_token(*found, true, name, path);
      if (token.content.empty()) continue;
      std::string* named = named_token(name);
      if (named != nullptr && named->empty()) *named = token.content;
      make_special(token);
    }
    for (const char* name : kSpecialLists) {
      const auto found = object.find(name);
      if (found == object.end() || !found->is_array()) continue;
      for (const Json& value : *found) make_special(parse_token(value, true, name, path));
    }
  }

  std::string* named_token(std::string_view name) {
    if (name == "bos_token") return &config_.bos_token;
    if (name == "eos_token") return &config_.eos_token;
    if (name == "unk_token") return &config_.unk_token;
    if (name == "cls_token") return &config_.cls_token;
    if (name == "sep_token") return &config_.sep_token;
    return nullptr;
  }

  /// A named special token is special whatever the flags said before.
  void make_special(AddedToken token) {
    token.special = true;
    token.yields = true;
    for (AddedToken& earlier : config_.added_tokens)
      if (earlier.content == token.content) {
        earlier.special = true;
        return;
      }
    push(token);
  }

  bool known(const std::string& content) const {
    for (const AddedToken& token : config_.added_tokens)
      if (token.content == content) return true;
    return false;
  }

  void push(const AddedToken& token) {
    if (!token.content.empty()) config_.added_tokens.push_back(token);
  }

  const std::filesystem::path& folder_;
  TokenizerConfig config_;
};

}  // namespace

TokenizerConfig read_tokenizer_config(const std::filesystem::path& folder) { return Reader(folder).read(); }

}  // namespace defectoscope
