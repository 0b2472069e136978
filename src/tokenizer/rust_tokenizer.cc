#include "tokenizer/rust_tokenizer.h"

#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "tokenizer/utf8.h"

// The C side of rust/src/lib.rs.
extern "C" {
struct defectoscope_tokenizer;
struct defectoscope_out {
  void (*sink)(void* context, const void* data, std::size_t size);
  void* context;
};
defectoscope_tokenizer* defectoscope_tokenizer_load(const char* json, std::size_t size,
                                                    defectoscope_out error);
void defectoscope_tokenizer_free(defectoscope_tokenizer* handle);
bool defectoscope_tokenizer_add_tokens(defectoscope_tokenizer* handle, const char* json, std::size_t size,
                                       defectoscope_out error);
bool defectoscope_tokenizer_encode(const defectoscope_tokenizer* handle, const char* text, std::size_t size,
                                   bool special, defectoscope_out ids, defectoscope_out error);
bool defectoscope_tokenizer_decode(const defectoscope_tokenizer* handle, const std::uint32_t* ids,
                                   std::size_t count, defectoscope_out text, defectoscope_out error);
bool defectoscope_tokenizer_token(const defectoscope_tokenizer* handle, std::uint32_t id,
                                  defectoscope_out text);
std::int64_t defectoscope_tokenizer_find(const defectoscope_tokenizer* handle, const char* token,
                                         std::size_t size);
std::uint32_t defectoscope_tokenizer_size(const defectoscope_tokenizer* handle);
bool defectoscope_tokenizer_is_special(const defectoscope_tokenizer* handle, std::uint32_t id);
std::int64_t defectoscope_tokenizer_start(const defectoscope_tokenizer* handle);
bool defectoscope_tokenizer_is_byte_level(const defectoscope_tokenizer* handle);
std::uint8_t defectoscope_character_kind(std::uint32_t code);
}

namespace defectoscope {
namespace {

defectoscope_out into(std::string& text) {
  const auto sink = [](void* context, const void* data, std::size_t size) noexcept {
    static_cast<std::string*>(context)->assign(static_cast<const char*>(data), size);
  };
  return {sink, &text};
}

defectoscope_out into(std::vector<TokenId>& ids) {
  const auto sink = [](void* context, const void* data, std::size_t size) noexcept {
    auto& target = *static_cast<std::vector<TokenId>*>(context);
    target.resize(size / sizeof(TokenId));
    if (size > 0) std::memcpy(target.data(), data, size);
  };
  return {sink, &ids};
}

class RustTokenizer : public Tokenizer {
 public:
  RustTokenizer(std::string_view json, const std::string& file) : file_(file) {
    std::string problem;
    handle_.reset(defectoscope_tokenizer_load(json.data(), json.size(), into(problem)));
    if (!handle_) throw_bad_input({.what = "not a usable tokenizer: " + problem, .file = file});
  }

  void add(const std::vector<AddedToken>& tokens) {
    nlohmann::json list = nlohmann::json::array();
    for (const AddedToken& token : tokens) {
      if (token.id < 0 && find(token.content) < 0) continue;
      list.push_back({{"content", token.content},
                      {"single_word", token.single_word},
                      {"lstrip", token.lstrip},
                      {"rstrip", token.rstrip},
                      {"normalized", token.normalized},
                      {"special", token.special},
                      {"yields", token.yields}});
    }
    const std::string text = list.dump();
    std::string problem;
    if (!defectoscope_tokenizer_add_tokens(handle_.get(), text.data(), text.size(), into(problem)))
      throw_bad_input({.what = "cannot add tokens: " + problem, .file = file_});
  }

  Index size() const override { return defectoscope_tokenizer_size(handle_.get()); }

  std::vector<TokenId> encode(std::string_view text, bool special) const override {
    if (const auto byte = find_invalid_utf8(text))
      throw_bad_input({.what = "text is not UTF-8 at byte " + std::to_string(*byte)});
    std::vector<TokenId> ids;
    std::string problem;
    if (!defectoscope_tokenizer_encode(handle_.get(), text.data(), text.size(), special, into(ids),
                                       into(problem)))
      throw_bad_input({.what = "cannot tokenize the text: " + problem, .file = file_});
    return ids;
  }

  std::string decode(const std::vector<TokenId>& ids) const override {
    // A negative id becomes a large one, which has no entry either.
    const std::vector<std::uint32_t> unsigned_ids(ids.begin(), ids.end());
    std::string text;
    std::string problem;
    if (!defectoscope_tokenizer_decode(handle_.get(), unsigned_ids.data(), unsigned_ids.size(), into(text),
                                       into(problem)))
      throw_bad_input({.what = "cannot turn tokens into text: " + problem, .file = file_});
    return text;
  }

  std::string token(TokenId id) const override {
    std::string text;
    defectoscope_tokenizer_token(handle_.get(), static_cast<std::uint32_t>(id), into(text));
    return text;
  }

  TokenId find(std::string_view token) const override {
    return static_cast<TokenId>(defectoscope_tokenizer_find(handle_.get(), token.data(), token.size()));
  }

  bool is_special(TokenId id) const override {
    return defectoscope_tokenizer_is_special(handle_.get(), static_cast<std::uint32_t>(id));
  }

  TokenId start_token() const override {
    return static_cast<TokenId>(defectoscope_tokenizer_start(handle_.get()));
  }

  bool byte_level() const override { return defectoscope_tokenizer_is_byte_level(handle_.get()); }

 private:
  struct Free {
    void operator()(defectoscope_tokenizer* handle) const { defectoscope_tokenizer_free(handle); }
  };
  std::string file_;
  std::unique_ptr<defectoscope_tokenizer, Free> handle_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_rust_tokenizer(std::string_view json, const std::string& file,
                                               const std::vector<AddedToken>& added) {
  auto tokenizer = std::make_unique<RustTokenizer>(json, file);
  if (!added.empty()) tokenizer->add(added);
  return tokenizer;
}

CharacterKind character_kind(char32_t code_point) {
  switch (defectoscope_character_kind(code_point)) {
    case 0:
      return CharacterKind::kVisible;
    case 1:
      return CharacterKind::kCombining;
    default:
      return CharacterKind::kInvisible;
  }
}

}  // namespace defectoscope
