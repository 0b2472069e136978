#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace defectoscope {

/// Which characters some font has, as ranges of code points.
using FontCoverage = std::vector<std::pair<std::uint32_t, std::uint32_t>>;

/// Of fontconfig's lists "20-7e a0 4e00-9fff", one font a line; what is no number is skipped.
FontCoverage parse_font_coverage(std::string_view lists);

/// Of this machine's fonts, asked of fontconfig's `fc-list` once; where it is missing, of the scripts that
/// every usual font has (Latin, Greek, Cyrillic, punctuation, arrows, mathematics, blocks).
const FontCoverage& system_font_coverage();

/// UTF-8 text with each character that has no font written as \u{4e2d}: gnuplot's PDF and PNG would otherwise
/// show it as a box as large as the figure.
std::string drawable(std::string_view text, const FontCoverage& coverage);

}  // namespace defectoscope
