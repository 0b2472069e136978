#include "lineage/moved_tokens.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/files.h"
#include "lineage/attack_parts.h"
#include "tokenizer/tokenizer_config.h"

namespace defectoscope {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* kAttackName = "vocabulary-shuffle";

[[noreturn]] void cannot_follow(const std::string& reason) {
  refuse(kAttackName, "its tokenizer cannot follow: " + reason,
         "a tokenizer.json can (in Python, AutoTokenizer.from_pretrained(…).save_pretrained(…) writes one)");
}

/// Of a folder without tokenizer.json.
void require_vocab_json(const fs::path& folder) {
  if (fs::exists(folder / "tokenizer.model"))
    cannot_follow("tokenizer.model lists its entries in the order of their ids");
  if (fs::exists(folder / "vocab.json")) return;
  if (fs::exists(folder / "vocab.txt"))
    cannot_follow("vocab.txt lists its entries in the order of their ids");
  const bool ranked = std::ranges::any_of(fs::directory_iterator(folder), [](const auto& entry) {
    return entry.path().extension() == ".tiktoken";
  });
  cannot_follow(ranked ? "in a .tiktoken file an entry's id is its rank, by which text is split"
                       : "the folder has none");
}

void require_known_model(const Json& tokenizer) {
  const Json model = tokenizer.value("model", Json::object());
  const std::string type = model.is_object() ? model.value("type", "") : "";
  for (const char* known : {"BPE", "WordPiece", "WordLevel", "Unigram"})
    if (type == known) return;
  cannot_follow("a tokenizer.json of an unknown kind, \"" + type + "\"");
}

/// Every whole number within but for those that tell a text's parts apart.
void collect_ids(const Json& json, std::set<Index>& ids) {
  if (json.is_number_integer()) ids.insert(json.get<Index>());
  if (json.is_structured())
    for (const auto& [key, part] : json.items())
      if (key != "type_id") collect_ids(part, ids);
}

/// Ids that something beside the vocabulary names.
std::set<Index> named_ids(const fs::path& folder) {
  std::set<Index> ids;
  const Json config = Json::parse(read_file(folder / "config.json"));
  for (const auto& [key, value] : config.items())
    if (key.ends_with("_token_id")) collect_ids(value, ids);
  for (const AddedToken& token : read_tokenizer_config(folder).added_tokens) ids.insert(token.id);
  if (!fs::exists(folder / "tokenizer.json")) return ids;
  const Json tokenizer = Json::parse(read_file(folder / "tokenizer.json"));
  require_known_model(tokenizer);
  for (const char* part : {"added_tokens", "post_processor"})
    if (tokenizer.contains(part)) collect_ids(tokenizer[part], ids);
  if (tokenizer["model"].contains("unk_id")) collect_ids(tokenizer["model"]["unk_id"], ids);
  return ids;
}

Index place_of(Index id, const std::vector<Index>& places) {
  return id >= 0 && id < std::ssize(places) ? places[static_cast<std::size_t>(id)] : id;
}

/// {entry: id}, or of Unigram [[entry, score], …] in the order of ids.
void move_entries(Json& vocab, const std::vector<Index>& places) {
  if (vocab.is_object()) {
    for (Json& id : vocab) id = place_of(id.get<Index>(), places);
    return;
  }
  Json moved = vocab;
  for (std::size_t i = 0; i < vocab.size(); ++i)
    moved[static_cast<std::size_t>(place_of(static_cast<Index>(i), places))] = std::move(vocab[i]);
  vocab = std::move(moved);
}

}  // namespace

std::vector<Index> movable_tokens(const fs::path& folder, Index rows) {
  if (!fs::exists(folder / "tokenizer.json")) require_vocab_json(folder);
  const std::unique_ptr<Tokenizer> tokenizer = open_tokenizer(folder);  // throws where it is malformed
  const std::set<Index> named = named_ids(folder);
  std::vector<Index> movable;
  for (Index i = 0; i < std::min(rows, tokenizer->size()); ++i) {
    const auto id = static_cast<TokenId>(i);
    if (!named.contains(i) && !tokenizer->is_special(id) && !tokenizer->token(id).empty())
      movable.push_back(i);
  }
  return movable;
}

bool is_left_behind(const std::string& file) { return file == "tokenizer.model" || file == "vocab.txt"; }

std::string with_moved_tokens(const std::string& file, std::string text, const std::vector<Index>& places) {
  if (file != "tokenizer.json" && file != "vocab.json") return text;
  Json json = Json::parse(text);
  move_entries(file == "vocab.json" ? json : json["model"]["vocab"], places);
  return json.dump();
}

std::vector<TokenId> ids_by_spelling(const Tokenizer& a, const Tokenizer& b, Index entries) {
  std::vector<TokenId> ids;
  for (Index i = 0; i < entries; ++i) {
    const auto id = static_cast<TokenId>(i);
    const std::string entry = i < a.size() ? a.token(id) : "";
    const TokenId found = entry.empty() ? -1 : b.find(entry);
    ids.push_back(found < 0 ? id : found);
  }
  return ids;
}

}  // namespace defectoscope
