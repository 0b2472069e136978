#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace defectoscope {

/// The first byte that is not part of well-formed UTF-8 (Unicode 15, table 3-7), if any.
std::optional<std::size_t> find_invalid_utf8(std::string_view text);

/// The code point at `position` of well-formed UTF-8; moves `position` behind it.
char32_t next_code_point(std::string_view text, std::size_t& position);

/// The number of code points in well-formed UTF-8.
std::size_t count_code_points(std::string_view text);

void append_utf8(std::string& text, char32_t code_point);

}  // namespace defectoscope
