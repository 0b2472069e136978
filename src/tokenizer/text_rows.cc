#include "tokenizer/text_rows.h"

#include <algorithm>

#include "base/error.h"
#include "base/files.h"
#include "base/random.h"
#include "tokenizer/utf8.h"

namespace defectoscope {
namespace {

constexpr std::string_view kSpace = " \t\r\n\f\v";
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

std::string_view trim(std::string_view text) {
  const auto begin = text.find_first_not_of(kSpace);
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

[[noreturn]] void not_utf8(std::string_view text, std::size_t byte, const std::string& file) {
  const auto before = text.substr(0, byte);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const auto start = before.rfind('\n');  // npos + 1 is 0
  throw_bad_input({.what = "text is not UTF-8",
                   .file = file,
                   .tensor = "line " + std::to_string(line) + ", byte " +
                             std::to_string(byte - (start + 1) + 1) + " (byte " + std::to_string(byte) +
                             " of the file)",
                   .expected = "UTF-8",
                   .hint = "convert it, for example with iconv -t UTF-8"});
}

}  // namespace

std::vector<TextRow> parse_rows(std::string_view text, const std::string& file) {
  if (const auto byte = find_invalid_utf8(text)) not_utf8(text, *byte, file);
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  std::vector<TextRow> rows;
  for (Index line = 1; !text.empty(); ++line) {
    const auto end = std::min(text.find('\n'), text.size());
    if (const auto row = trim(text.substr(0, end)); !row.empty()) rows.push_back({line, std::string(row)});
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  if (rows.empty())
    throw_bad_input({.what = "the text is empty",
                     .file = file,
                     .expected = "at least one line with something on it",
                     .hint = "give another text, or none to use sequences sampled from the model"});
  return rows;
}

std::vector<TextRow> read_rows(const std::filesystem::path& path) {
  const MappedFile file(path);
  const auto bytes = file.bytes();
  return parse_rows({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path.string());
}

std::vector<TextRow> choose_rows(const std::vector<TextRow>& rows, Index count, std::uint64_t seed) {
  const auto total = rows.size();
  const auto wanted = static_cast<std::size_t>(std::max<Index>(count, 0));
  if (wanted >= total) return rows;
  // The first `wanted` steps of a Fisher-Yates shuffle.
  std::vector<std::size_t> order(total);
  for (std::size_t i = 0; i < total; ++i) order[i] = i;
  Random random(seed, stream_of("choose_rows"));
  for (std::size_t i = 0; i < wanted; ++i) std::swap(order[i], order[i + random.below(total - i)]);
  order.resize(wanted);
  std::sort(order.begin(), order.end());
  std::vector<TextRow> chosen;
  chosen.reserve(wanted);
  for (const std::size_t i : order) chosen.push_back(rows[i]);
  return chosen;
}

std::string join_rows(const std::vector<TextRow>& rows) {
  std::string text;
  for (const TextRow& row : rows) {
    if (!text.empty()) text += '\n';
    text += row.text;
  }
  return text;
}

std::string join_lines_as_dataset(std::string_view text) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf", kBlank = " \t\r\n\v\f";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  std::string joined;
  bool first = true;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end == text.npos ? text.npos : end + 1);
    text.remove_prefix(line.size());
    if (!first) joined += "\n\n";
    first = false;
    if (line.find_first_not_of(kBlank) != line.npos) joined += line;
  }
  return joined;
}

}  // namespace defectoscope
