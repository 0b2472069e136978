#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/index.h"

namespace defectoscope {

/// One row of a text: a line with something on it.
struct TextRow {
  Index line = 0;    ///< 1-based line of the file
  std::string text;  ///< without white space at either end
};

/// The rows of a text: lines (ended by LF, CRLF or the file's end) that are not blank, trimmed of ASCII white
/// space; a byte-order mark is skipped. Throws Error(kBadInput) naming `file`, line and byte where the text
/// is not UTF-8, and where no row is left.
std::vector<TextRow> parse_rows(std::string_view text, const std::string& file);
/// parse_rows of a file's content.
std::vector<TextRow> read_rows(const std::filesystem::path& path);

/// `count` of the rows drawn without replacement, in file order; all of them where there are no more.
/// Determined by seed, count and the number of rows; O(rows).
std::vector<TextRow> choose_rows(const std::vector<TextRow>& rows, Index count, std::uint64_t seed);

/// The rows as one text again, a newline between them: for perplexity over a whole text.
std::string join_rows(const std::vector<TextRow>& rows);

/// A text as perplexity is published: lines with their end, blank ones empty, joined by two newlines. It is
/// what
/// `"\n\n".join(dataset["text"])` of the usual scripts makes of WikiText's rows. A byte-order mark is
/// skipped.
std::string join_lines_as_dataset(std::string_view text);

}  // namespace defectoscope
