#include "analysis/kept_perplexity.h"

#include <fmt/format.h>

#include "analysis/journal.h"

namespace defectoscope {

Perplexity kept_perplexity(const Transformer& transformer, std::span<const std::int32_t> tokens,
                           const WindowOptions& options, ScanJournal& journal, const std::string& name) {
  const auto record_name = [&](std::size_t first) { return fmt::format("{}-{:08}", name, first); };
  std::vector<WindowLoss> done;
  while (const auto record = journal.get(record_name(done.size()))) {
    const auto part = RecordReader(*record).list<WindowLoss>();
    if (part.empty()) break;
    done.insert(done.end(), part.begin(), part.end());
  }
  std::size_t kept = done.size();
  return perplexity(transformer, tokens, options, done, [&](std::span<const WindowLoss> fresh) {
    if (fresh.empty()) return;
    RecordWriter record;
    record.list(std::vector<WindowLoss>(fresh.begin(), fresh.end()));
    journal.put(record_name(kept), record.bytes());
    kept += fresh.size();
  });
}

}  // namespace defectoscope
