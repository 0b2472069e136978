#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <set>

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

/// Every line of an answer that is ordered by its first column, `model`, in pieces. `sql` selects what is
/// above the last parameter, at most kPiece lines.
void in_pieces(Database& database, const std::string& sql, std::vector<Value> values,
               const std::function<void(Index, std::string_view)>& each) {
  Index last = 0, lines = kPiece;
  values.emplace_back(last);
  while (lines == kPiece) {
    check_interrupt();
    lines = 0;
    values.back() = last;
    database.query(sql, values, [&](const Row& row) {
      last = row.integer(0);
      each(last, row.bytes(1));
      ++lines;
    });
  }
}

/// One list for each kind of evidence, that none can crowd out another.
using Lists = std::array<std::vector<Index>, 5>;

Lists most_surprising(Database& database, const Signature& query, Index count) {
  std::array<Most, 5> most{Most(count), Most(count), Most(count), Most(count), Most(count)};
  const Sketch sketch = sketch_of(query);
  const std::string form = signature_form_name(query.form);
  in_pieces(database,
            fmt::format("SELECT model, bits FROM defectoscope_direction_sketches WHERE form = $1 AND "
                        "hidden_size = $2 AND model > $3 ORDER BY model LIMIT {}",
                        kPiece),
            {form, query.hidden_size}, [&](Index id, std::string_view bits) {
              const DirectionSurprise s = direction_surprise(
                  sketch.directions, sketch_words(bits, kDirectionWords, database.name(), id));
              most[0].see(s.layers, id);
              most[1].see(s.ffns, id);
              most[2].see(s.any_layers, id);
            });
  if (!sketch.tokens.empty())
    in_pieces(database,
              fmt::format("SELECT model, bits FROM defectoscope_token_sketches WHERE form = $1 AND "
                          "model > $2 ORDER BY model LIMIT {}",
                          kPiece),
              {form}, [&](Index id, std::string_view bits) {
                const TokenSurprise s =
                    token_surprise(sketch.tokens, sketch_words(bits, kTokenWords, database.name(), id));
                most[3].see(s.layers, id);
                most[4].see(s.ffns, id);
              });
  Lists lists;
  for (std::size_t i = 0; i < lists.size(); ++i) lists[i] = most[i].ids();
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
  const Lists lists = most_surprising(database, query, count);
  for (std::size_t rank = 0; rank < static_cast<std::size_t>(count); ++rank)
    for (const std::vector<Index>& list : lists)
      if (rank < list.size() && std::ssize(chosen) < count) chosen.insert(list[rank]);
  return {chosen.begin(), chosen.end()};
}

struct Stored {
  std::string name, bytes;
};

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
    for (const Index id : candidates(*database_, query, result.searched, count))
      database_->query(
          "SELECT m.name, s.bytes FROM defectoscope_signatures s JOIN defectoscope_models m ON m.id = "
          "s.model "
          "WHERE s.model = $1",
          {id}, [&](const Row& row) { stored.push_back({row.text(0), std::string(row.bytes(1))}); });
  }
  result.compared = std::ssize(stored);
  result.query = compared_model(query);
  result.found.resize(stored.size());
  parallel_for(result.compared, [&](Index i) {
    Stored& one = stored[static_cast<std::size_t>(i)];
    const Signature signature =
        signature_of_bytes(std::move(one.bytes), fmt::format("{}, {}", database_->name(), one.name));
    Found& found = result.found[static_cast<std::size_t>(i)];
    found.comparison = among(compare(query, signature), result.searched);
    found.distance_degrees = smallest_distance(found.comparison);
    found.name = std::move(one.name);
  });
  std::ranges::sort(result.found, nearer);
  if (std::ssize(result.found) > options.top) result.found.resize(static_cast<std::size_t>(options.top));
  return result;
}

}  // namespace defectoscope
