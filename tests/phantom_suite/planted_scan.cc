#include "planted_scan.h"

#include <algorithm>
#include <atomic>
#include <string>

#include "analysis/angle.h"
#include "analysis/journal.h"
#include "analysis/states.h"
#include "base/random.h"
#include "model/model.h"
#include "tokenizer/tokenizer.h"

namespace defectoscope {
namespace {

constexpr Index kRows = 40;
constexpr Index kLength = 24;
constexpr Index kSpecialEntries = 3;  // at the head of a phantom's vocabulary

/// A folder that goes when this goes.
class Scratch {
 public:
  Scratch() {
    static std::atomic<int> serial{0};
    path_ = std::filesystem::temp_directory_path() /
            ("phantom-suite-" + std::to_string(::getpid()) + "-" + std::to_string(serial++));
    std::filesystem::remove_all(path_);
  }
  ~Scratch() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace

std::vector<std::vector<std::int32_t>> planted_text(const PhantomShape& shape,
                                                    const std::vector<PlantedToken>& planted, Index rows,
                                                    Index length, std::uint64_t seed) {
  Random random(seed, stream_of("planted text"));
  std::vector<std::vector<std::int32_t>> text;
  for (Index row = 0; row < rows; ++row) {
    std::vector<std::int32_t> tokens;
    for (Index i = 0; i < length; ++i) {
      const auto ordinary = static_cast<std::uint64_t>(shape.vocab_size - kSpecialEntries);
      auto token = static_cast<std::int32_t>(kSpecialEntries + static_cast<Index>(random.below(ordinary)));
      // Each planted token appears in turn, one in twelve places.
      if (!planted.empty() && i > 0 && (row * length + i) % 12 == 5)
        token = planted[static_cast<std::size_t>((row * length + i) / 12) % planted.size()].id;
      tokens.push_back(token);
    }
    text.push_back(std::move(tokens));
  }
  return text;
}

ScanResult scan_states(const std::filesystem::path& folder, const PhantomShape& shape,
                       const std::vector<PlantedToken>& planted, std::uint64_t seed) {
  const Model model = Model::open(folder);
  const auto tokenizer = open_tokenizer(folder);
  ScanOptions options;
  options.seed = seed;
  options.fingerprint = "none";
  options.token_rows = planted_text(shape, planted, kRows, kLength, seed);
  ScanJournal journal;
  ScanResult result = describe(model, options);
  analyse_states(model, *tokenizer, options, journal, result);
  return result;
}

PlantedScan scan_phantom(const PhantomOptions& options) {
  const Scratch scratch;
  PlantedScan scan;
  scan.truth = write_phantom(options, scratch.path());
  scan.result = scan_states(scratch.path(), options.shape, scan.truth.spike_tokens, options.seed);
  return scan;
}

ScanResult scan_random_model(const RandomModelOptions& options) {
  const Scratch scratch;
  write_random_model(options, scratch.path());
  return scan_states(scratch.path(), options.shape, {}, options.seed);
}

std::vector<Index> numbers(const std::vector<FoundLayer>& layers) {
  std::vector<Index> result;
  for (const FoundLayer& layer : layers) result.push_back(layer.layer);
  return result;
}

std::vector<std::int32_t> found_triggers(const ScanResult& result) {
  std::vector<std::int32_t> ids;
  for (const SpikeToken& token : result.high_norm.tokens)
    if (token.non_initial) ids.push_back(token.id);
  std::sort(ids.begin(), ids.end());
  return ids;
}

std::vector<std::int32_t> planted_triggers(const PhantomTruth& truth) {
  std::vector<std::int32_t> ids;
  for (const PlantedToken& token : truth.spike_tokens) ids.push_back(token.id);
  std::sort(ids.begin(), ids.end());
  return ids;
}

double direction_error(const PlantedScan& scan) {
  const auto& found = scan.result.high_norm.direction;
  return found.empty() || scan.truth.u.empty() ? 90 : acute_angle_degrees(found, scan.truth.u);
}

}  // namespace defectoscope
