#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <set>
#include <span>

#include "base/error.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "lineage/signature_file.h"
#include "registry/registry.h"
#include "registry/sketch.h"

namespace defectoscope {
namespace {

/// Lines of sketches asked for at once: some megabytes.
constexpr Index kPiece = 4096;
constexpr Index kLeastCandidates = 24;
constexpr std::size_t kSignaturesAtOnce = 32;  // a dozen megabytes of large ones

/// The ids of largest surprise seen.
class Most {
 public:
  explicit Most(Index count) : count_(static_cast<std::size_t>(count)) {}

  void see(double surprise, Index id) {
    if (surprise <= 0) return;
    const Entry entry{surprise, id};
    if (entries_.size() == count_ && !before(entry, entries_.front())) return;
    entries_.push_back(entry);
    std::ranges::push_heap(entries_, before);
    if (entries_.size() <= count_) return;
    std::ranges::pop_heap(entries_, before);
    entries_.pop_back();
  }
  /// The most surprising first.
  std::vector<Index> ids() {
    std::ranges::sort(entries_, before);
    std::vector<Index> ids;
    for (const Entry& entry : entries_) ids.push_back(entry.id);
    return ids;
  }

 private:
  struct Entry {
    double surprise;
    Index id;
  };
  static bool before(const Entry& a, const Entry& b) {
    return a.surprise != b.surprise ? a.surprise > b.surprise : a.id < b.id;
  }
  std::size_t count_;
  std::vector<Entry> entries_;  ///< a heap, the least surprising in front
};

/// Sketches of some models: ids, and their words one after the other.
struct Piece {
  std::vector<Index> ids;
  std::vector<std::size_t> begins;
  std::vector<std::uint64_t> words;

  std::span<const std::uint64_t> sketch(std::size_t i) const {
    const std::size_t end = i + 1 < begins.size() ? begins[i + 1] : words.size();
    return std::span(words).subspan(begins[i], end - begins[i]);
  }
};

/// Surprises of every model's sketch, by kind; `surprise(words)` gives an array of them. Read a piece at a
/// time. `sql` selects model and bits of models above the last parameter in order of models, at most kPiece.
template <std::size_t kKinds, typename Surprise>
void see_all(Database& database, const std::string& sql, std::vector<Value> values, std::size_t words_a_layer,
             Surprise surprise, std::span<Most, kKinds> most) {
  Index last = 0;
  Piece piece;
  values.emplace_back(last);
  do {
    check_interrupt();
    piece.ids.clear();
    piece.begins.clear();
    piece.words.clear();
    values.back() = last;
    database.query(sql, values, [&](const Row& row) {
      last = row.integer(0);
      piece.ids.push_back(last);
      piece.begins.push_back(piece.words.size());
      append_sketch(row.bytes(1), words_a_layer, database.name(), last, piece.words);
    });
    std::vector<std::array<double, kKinds>> seen(piece.ids.size());
    parallel_ranges(std::ssize(seen), 256, [&](Index begin, Index end) {
      for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i)
        seen[i] = surprise(piece.sketch(i));
    });
    for (std::size_t i = 0; i < seen.size(); ++i)
      for (std::size_t kind = 0; kind < kKinds; ++kind) most[kind].see(seen[i][kind], piece.ids[i]);
  } while (std::ssize(piece.ids) == kPiece);
}

/// One list for each kind of evidence, that none can crowd out another.
std::vector<std::vector<Index>> most_surprising(Database& database, const Signature& query, Index count) {
  std::array<Most, 3> by_directions{Most(count), Most(count), Most(count)};
  std::array<Most, 2> by_tokens{Most(count), Most(count)};
  const Sketch sketch = sketch_of(query);
  const std::string form = signature_form_name(query.form);
  see_all(
      database,
      fmt::format("SELECT model, bits FROM defectoscope_direction_sketches WHERE form = $1 AND "
                  "hidden_size = $2 AND model > $3 ORDER BY model LIMIT {}",
                  kPiece),
      {form, query.hidden_size}, kDirectionWords,
      [&](std::span<const std::uint64_t> words) {
        const DirectionSurprise s = direction_surprise(sketch.directions, words);
        return std::array{s.layers, s.ffns, s.any_layers};
      },
      std::span(by_directions));
  if (!sketch.tokens.empty())
    see_all(
        database,
        fmt::format("SELECT model, bits FROM defectoscope_token_sketches WHERE form = $1 AND "
                    "model > $2 ORDER BY model LIMIT {}",
                    kPiece),
        {form}, kTokenWords,
        [&](std::span<const std::uint64_t> words) {
          const TokenSurprise s = token_surprise(sketch.tokens, words);
          return std::array{s.layers, s.ffns};
        },
        std::span(by_tokens));
  std::vector<std::vector<Index>> lists;
  for (Most& most : by_directions) lists.push_back(most.ids());
  for (Most& most : by_tokens) lists.push_back(most.ids());
  return lists;
}

/// All models where there are no more than `count`, else the same weights, then the lists' first ones, second
/// ones, ... until `count` are chosen. Ascending.
std::vector<Index> candidates(Database& database, const Signature& query, Index searched, Index count) {
  const std::string form = signature_form_name(query.form);
  std::set<Index> chosen;
  const auto choose = [&](const Row& row) { chosen.insert(row.integer(0)); };
  if (searched <= count) {
    database.query("SELECT id FROM defectoscope_models WHERE form = $1", {form}, choose);
    return {chosen.begin(), chosen.end()};
  }
  if (!query.fingerprint.empty())
    database.query(
        "SELECT id FROM defectoscope_models WHERE fingerprint = $1 AND form = $2 ORDER BY id LIMIT 8",
        {query.fingerprint, form}, choose);
  const std::vector<std::vector<Index>> lists = most_surprising(database, query, count);
  for (std::size_t rank = 0; rank < static_cast<std::size_t>(count); ++rank)
    for (const std::vector<Index>& list : lists)
      if (rank < list.size() && std::ssize(chosen) < count) chosen.insert(list[rank]);
  return {chosen.begin(), chosen.end()};
}

struct Stored {
  std::string name, bytes;
};

/// Several by one question: a server may be far away.
std::vector<Stored> stored_signatures(Database& database, std::span<const Index> ids) {
  std::vector<Stored> stored;
  while (!ids.empty()) {
    const std::span<const Index> some = ids.first(std::min<std::size_t>(ids.size(), kSignaturesAtOnce));
    ids = ids.subspan(some.size());
    std::string places;
    for (std::size_t i = 1; i <= some.size(); ++i) places += fmt::format("{}${}", i == 1 ? "" : ", ", i);
    database.query(
        fmt::format("SELECT m.name, s.bytes FROM defectoscope_signatures s JOIN defectoscope_models m "
                    "ON m.id = s.model WHERE s.model IN ({})",
                    places),
        {some.begin(), some.end()},
        [&](const Row& row) { stored.push_back({row.text(0), std::string(row.bytes(1))}); });
  }
  return stored;
}

bool nearer(const Found& a, const Found& b) {
  const auto key = [](const Found& found) {
    constexpr double kNone = std::numeric_limits<double>::max();
    return std::tuple(found.comparison.verdict != Verdict::kSameWeights,
                      found.comparison.log_p.value_or(kNone), found.distance_degrees.value_or(kNone),
                      found.name);
  };
  return key(a) < key(b);
}

}  // namespace

SearchResult Registry::search(const Signature& query, const SearchOptions& options) {
  SearchResult result;
  result.form = query.form;
  const Index count =
      options.candidates > 0 ? options.candidates : std::max(kLeastCandidates, 3 * options.top);
  std::vector<Stored> stored;
  {
    Transaction transaction(*database_, Access::kRead);
    database_->query("SELECT form, COUNT(*) FROM defectoscope_models GROUP BY form", {}, [&](const Row& row) {
      (row.text(0) == signature_form_name(query.form) ? result.searched : result.of_other_form) +=
          row.integer(1);
    });
    stored = stored_signatures(*database_, candidates(*database_, query, result.searched, count));
  }
  result.compared = std::ssize(stored);
  result.query = compared_model(query);
  result.found.resize(stored.size());
  const PreparedSignature prepared(query);
  parallel_for(result.compared, [&](Index i) {
    Stored& one = stored[static_cast<std::size_t>(i)];
    const Signature signature =
        signature_of_bytes(std::move(one.bytes), fmt::format("{}, {}", database_->name(), one.name));
    Found& found = result.found[static_cast<std::size_t>(i)];
    found.comparison = among(compare(prepared, signature), result.searched);
    found.distance_degrees = smallest_distance(found.comparison);
    found.name = std::move(one.name);
  });
  std::ranges::sort(result.found, nearer);
  if (std::ssize(result.found) > options.top) result.found.resize(static_cast<std::size_t>(options.top));
  return result;
}

}  // namespace defectoscope
