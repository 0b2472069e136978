#include <array>
#include <cstdio>
#include <optional>

#include "tokenizer/byte_letters.h"
#include "tokenizer/rust_tokenizer.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/utf8.h"

namespace defectoscope {
namespace {

bool is_ascii(std::string_view text) {
  for (const char c : text)
    if (static_cast<unsigned char>(c) >= 0x80) return false;
  return true;
}

/// Whether bytes read from letters look like text, so that the letters can hardly have been meant themselves.
bool is_plausible_text(std::string_view bytes) {
  if (find_invalid_utf8(bytes)) return false;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n' && c != '\t' && c != '\r') || byte == 0x7F) return false;
  }
  return true;
}

bool is_right_to_left(char32_t code) {
  return (code >= 0x590 && code <= 0x8FF) || (code >= 0xFB1D && code <= 0xFDFF) ||
         (code >= 0xFE70 && code <= 0xFEFC) || (code >= 0x10800 && code <= 0x10FFF) ||
         (code >= 0x1E800 && code <= 0x1EFFF);
}

std::string format(const char* pattern, unsigned value) {
  std::array<char, 24> buffer{};
  std::snprintf(buffer.data(), buffer.size(), pattern, value);
  return buffer.data();
}

/// "<0x0A>", as SentencePiece spells a byte: its value.
std::optional<unsigned> spelled_byte(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return std::nullopt;
  unsigned value = 0;
  for (const char c : token.substr(3, 2)) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit && !(c >= 'A' && c <= 'F')) return std::nullopt;
    value = value * 16 + static_cast<unsigned>(digit ? c - '0' : c - 'A' + 10);
  }
  return value;
}

void append_ascii(std::string& text, unsigned byte) {
  switch (byte) {
    case ' ':
      text += "▁";
      return;
    case '\n':
      text += "\\n";
      return;
    case '\t':
      text += "\\t";
      return;
    case '\r':
      text += "\\r";
      return;
    default:
      if (byte < 0x20 || byte >= 0x7F)
        text += format("<0x%02X>", byte);
      else
        text.push_back(static_cast<char>(byte));
  }
}

/// One line from bytes that may be part of a character.
std::string escape(std::string_view bytes) {
  std::string text;
  bool has_base = false;  // whether a combining mark here has a letter to sit on
  while (!bytes.empty()) {
    const std::size_t valid = find_invalid_utf8(bytes).value_or(bytes.size());
    for (std::size_t i = 0; i < valid;) {
      const bool ambiguous = bytes[i] == '\\' && i + 1 < valid &&
                             std::string_view("nrt").find(bytes[i + 1]) != std::string_view::npos;
      const char32_t code = next_code_point(bytes, i);
      const CharacterKind kind = code < 0x80 ? CharacterKind::kVisible : character_kind(code);
      const bool stray_mark = kind == CharacterKind::kCombining && !has_base;
      if (code < 0x80) {
        append_ascii(text, code);
        if (ambiguous) text.push_back('\\');
      } else if (kind == CharacterKind::kInvisible || stray_mark || is_right_to_left(code)) {
        text += format("<U+%04X>", code);
      } else {
        append_utf8(text, code);
        has_base = true;
        continue;
      }
      has_base = code > ' ' && code < 0x7F;
    }
    bytes.remove_prefix(valid);
    if (bytes.empty()) break;
    text += format("<0x%02X>", static_cast<unsigned char>(bytes.front()));
    bytes.remove_prefix(1);
    has_base = false;
  }
  return text;
}

}  // namespace

std::string readable_token(std::string_view token) {
  if (const auto byte = spelled_byte(token))
    return *byte == '\n' || *byte == '\t' || *byte == '\r' ? escape(std::string(1, static_cast<char>(*byte)))
                                                           : std::string(token);
  if (!is_ascii(token) && !find_invalid_utf8(token))
    if (const auto bytes = from_byte_letters(token); bytes && is_plausible_text(*bytes))
      return escape(*bytes);
  return escape(token);
}

std::string readable_token(const Tokenizer& tokenizer, TokenId id) {
  const std::string token = tokenizer.token(id);
  if (tokenizer.byte_level() && !tokenizer.is_special(id)) {
    const auto bytes = from_byte_letters(token);
    return escape(bytes ? *bytes : token);
  }
  return readable_token(token);
}

}  // namespace defectoscope
