#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace defectoscope {

/// GPT-2's spelling of bytes as visible letters: printable Latin-1 bytes stand for themselves, the others for
/// U+0100 onwards in the order of the bytes ("Ġ" is a space, "Ċ" a line feed).
std::string to_byte_letters(std::string_view bytes);

/// The bytes that well-formed UTF-8 in byte letters stands for; none where a letter is not one of them.
std::optional<std::string> from_byte_letters(std::string_view letters);

}  // namespace defectoscope
