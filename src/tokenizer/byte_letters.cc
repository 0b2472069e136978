#include "tokenizer/byte_letters.h"

#include <array>

#include "tokenizer/utf8.h"

namespace defectoscope {
namespace {

constexpr std::size_t kLetters = 0x144;  // the largest letter and one

struct Tables {
  std::array<char32_t, 256> letter_of{};
  std::array<int, kLetters> byte_of{};
};

constexpr bool stands_for_itself(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr Tables make_tables() {
  Tables tables;
  for (int& byte : tables.byte_of) byte = -1;
  char32_t next = 0x100;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const char32_t letter = stands_for_itself(byte) ? byte : next++;
    tables.letter_of[byte] = letter;
    tables.byte_of[letter] = static_cast<int>(byte);
  }
  return tables;
}

constexpr Tables kTables = make_tables();

}  // namespace

std::string to_byte_letters(std::string_view bytes) {
  std::string letters;
  for (const char c : bytes) append_utf8(letters, kTables.letter_of[static_cast<unsigned char>(c)]);
  return letters;
}

std::optional<std::string> from_byte_letters(std::string_view letters) {
  std::string bytes;
  for (std::size_t i = 0; i < letters.size();) {
    const char32_t code = next_code_point(letters, i);
    if (code >= kLetters || kTables.byte_of[code] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(kTables.byte_of[code]));
  }
  return bytes;
}

}  // namespace defectoscope
