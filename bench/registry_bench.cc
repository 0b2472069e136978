// A registry of synthetic signatures of mixed widths with relatives hidden among them: which of those that an
// exact scan would call related a search finds, and in what time.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>

#include "base/parallel.h"
#include "base/progress.h"
#include "lineage/synthetic_signatures.h"
#include "registry/registry.h"
#include "registry/test_postgresql.h"

namespace defectoscope {
namespace {

using namespace synthetic;
using testing_registry::PostgresServer;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// What the models of one width look like, and their share of the registry.
struct Group {
  Shape shape;
  double share;
};
constexpr Group kMixed[] = {{{64, 12, 256}, 0.20},   {{128, 16, 256}, 0.20}, {{256, 24, 256}, 0.20},
                            {{512, 24, 256}, 0.15},  {{768, 32, 256}, 0.12}, {{1024, 32, 256}, 0.12},
                            {{4096, 32, 1024}, 0.01}};

struct Kind {
  Disguise disguise;
  const char* name;
};
constexpr Kind kKinds[] = {{Disguise::kNone, "tuned"},
                           {Disguise::kRotated, "rotated"},
                           {Disguise::kOtherWidth, "grown"},
                           {Disguise::kShifted, "shifted"},
                           {Disguise::kOneLayer, "one layer"}};
constexpr double kAngles[] = {30, 50, 60, 65, 70, 75};

/// A model that is not in the registry, and the one in it that was made from it.
struct Planted {
  Shape shape;
  std::uint64_t seed;
  Kind kind;
  double degrees;
  std::string name() const { return fmt::format("relative-{}", seed); }
  Signature query() const { return unrelated(shape, seed, kVocabulary); }
  Signature made() const { return relative(query(), degrees, kind.disguise, seed + 1); }
  static constexpr std::uint64_t kVocabulary = 1;
};

struct Options {
  Index models = 100'000, repeats = 2, width = 0;
  std::string database = "registry-bench.db";
  bool exact = true, reuse = false;
};

std::vector<Group> groups(const Options& options) {
  std::vector<Group> chosen;
  for (const Group& group : kMixed)
    if (options.width == 0 || group.shape.width == options.width) chosen.push_back(group);
  if (options.width != 0 && !chosen.empty()) chosen.front().share = 1;
  return chosen;
}

std::vector<Planted> plan(const Options& options) {
  std::vector<Planted> planted;
  std::uint64_t seed = 1'000'000'000;
  for (const Group& group : groups(options))
    for (const Kind& kind : kKinds)
      for (const double degrees : kAngles)
        for (Index i = 0; i < options.repeats; ++i, seed += 2)
          planted.push_back({group.shape, seed, kind, degrees});
  return planted;
}

void fill(Registry& registry, const Options& options, const std::vector<Planted>& planted) {
  constexpr Index kBatch = 256;
  const auto add = [&](Index count, const auto& make) {
    std::vector<NamedSignature> batch(static_cast<std::size_t>(count));
    parallel_for(count, [&](Index i) { batch[static_cast<std::size_t>(i)] = make(i); });
    registry.add(batch, false);
  };
  Progress progress("fill", options.models);
  // Unrelated models of all widths in turn, as they come in life.
  for (Index first = 0; first < options.models; first += kBatch) {
    const Index count = std::min(kBatch, options.models - first);
    add(count, [&](Index i) {
      const auto seed = static_cast<std::uint64_t>(first + i);
      double place = Random(seed, 9).uniform();
      const auto all = groups(options);
      std::size_t g = 0;
      while (g + 1 < all.size() && place >= all[g].share) place -= all[g++].share;
      return NamedSignature{fmt::format("model-{}", seed),
                            unrelated(all[g].shape, seed, Planted::kVocabulary)};
    });
    progress.advance(count);
  }
  for (const Planted& one : planted) registry.add({{one.name(), one.made()}}, false);
}

struct Count {
  int related = 0, found = 0;
};

void measure_recall(Registry& registry, const std::vector<Planted>& planted) {
  std::map<std::pair<std::string, double>, Count> counts;
  std::vector<double> times;
  Count all;
  for (const Planted& one : planted) {
    const Signature query = one.query();
    const auto begin = Clock::now();
    const SearchResult result = registry.search(query);
    times.push_back(seconds_since(begin));
    // What an exact scan would say of it: the same p, for the same number of models.
    if (among(compare(query, registry.signature(one.name())), result.searched).verdict != Verdict::kRelated)
      continue;
    const bool found =
        std::ranges::any_of(result.found, [&](const Found& f) { return f.name == one.name(); });
    Count& count = counts[{one.kind.name, one.degrees}];
    for (Count* c : {&count, &all}) {
      ++c->related;
      c->found += found ? 1 : 0;
    }
  }
  fmt::print(
      "\nrecall: found among the first 10, of those that are related at p < 1e-4 after correction\n{:<10}",
      "angle");
  for (const double degrees : kAngles) fmt::print("{:>9.0f}°", degrees);
  fmt::print("\n");
  for (const Kind& kind : kKinds) {
    fmt::print("{:<10}", kind.name);
    for (const double degrees : kAngles) {
      const Count& c = counts[{kind.name, degrees}];
      fmt::print("{:>10}", c.related == 0 ? "–" : fmt::format("{}/{}", c.found, c.related));
    }
    fmt::print("\n");
  }
  std::ranges::sort(times);
  fmt::print("all: {}/{} = {:.3f}\n", all.found, all.related,
             all.related == 0 ? 0.0 : static_cast<double>(all.found) / all.related);
  fmt::print(
      "time a search: median {:.3f} s, nine tenths under {:.3f} s, worst {:.3f} s ({} searches, {} "
      "threads)\n",
      times[times.size() / 2], times[times.size() * 9 / 10], times.back(), times.size(), thread_count());
}

/// Every signature read and compared, as one would without sketches.
void measure_exact_scan(Registry& registry, const Planted& one) {
  const Signature query = one.query();
  const auto search_begin = Clock::now();
  const SearchResult result = registry.search(query);
  const double search = seconds_since(search_begin);
  const auto begin = Clock::now();
  const std::vector<RegisteredModel> models = registry.list();
  std::vector<std::pair<double, std::string>> nearest(models.size());
  constexpr Index kBatch = 256;
  for (Index first = 0; first < std::ssize(models); first += kBatch) {
    const Index count = std::min(kBatch, std::ssize(models) - first);
    std::vector<Signature> batch;
    for (Index i = 0; i < count; ++i)
      batch.push_back(registry.signature(models[static_cast<std::size_t>(first + i)].name));
    parallel_for(count, [&](Index i) {
      const auto log_p = compare(query, batch[static_cast<std::size_t>(i)]).log_p;
      nearest[static_cast<std::size_t>(first + i)] = {log_p.value_or(0),
                                                      models[static_cast<std::size_t>(first + i)].name};
    });
  }
  std::ranges::sort(nearest);
  const double scan = seconds_since(begin);
  fmt::print(
      "\nexact scan of {} signatures: {:.1f} s; the same by search: {:.3f} s, {:.0f} times less; nearest by "
      "both: {} "
      "and {}\n",
      models.size(), scan, search, scan / search, nearest.front().second,
      result.found.empty() ? "none" : result.found.front().name);
}

/// A server of its own, which ends with this program; the package's settings but for a quicker filling.
std::unique_ptr<PostgresServer> start_server(Options& options) {
  if (options.database != "postgresql") return nullptr;
  auto server = PostgresServer::with_settings({"synchronous_commit=off", "max_wal_size=4GB"});
  if (!server) {
    fmt::print(stderr, "registry_bench: no server programs in /usr/lib/postgresql: install postgresql\n");
    std::exit(4);
  }
  options.database = server->new_place();
  return server;
}

void run(Options options) {
  const auto server = start_server(options);
  const bool there = options.reuse && !server;
  if (!options.reuse) {
    for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(options.database + suffix);
  }
  Registry registry = Registry::open(options.database, Access::kWrite);
  const std::vector<Planted> planted = plan(options);
  if (!there) {
    const auto begin = Clock::now();
    fill(registry, options, planted);
    fmt::print("filled in {:.0f} s\n", seconds_since(begin));
  }
  fmt::print("{}: {} models, {} of them relatives", registry.database().name(), registry.list().size(),
             planted.size());
  if (std::filesystem::exists(options.database))
    fmt::print(", {:.2f} GB", static_cast<double>(std::filesystem::file_size(options.database)) / 1e9);
  fmt::print("\n");
  measure_recall(registry, planted);
  if (options.exact) measure_exact_scan(registry, planted.front());
}

}  // namespace
}  // namespace defectoscope

int main(int argc, char** argv) {
  defectoscope::Options options;
  CLI::App app("Recall and time of registry search, against an exact scan");
  app.add_option("--models", options.models, "Unrelated models")->capture_default_str();
  app.add_option("--repeats", options.repeats, "Relatives for each width, angle and disguise")
      ->capture_default_str();
  app.add_option("--width", options.width, "All of one width (64, 128, ... 4096); 0: mixed")
      ->capture_default_str();
  app.add_option("--database", options.database,
                 "File, made anew; postgresql: a server of its own in the temporary folder, or "
                 "postgresql://…: an empty database")
      ->capture_default_str();
  app.add_flag("--reuse", options.reuse, "Search what an earlier run with the same options filled");
  app.add_flag("!--no-exact", options.exact, "Leave the exact scan out; it takes minutes");
  CLI11_PARSE(app, argc, argv);
  defectoscope::run(options);
  return 0;
}
