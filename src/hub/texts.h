#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "hub/repo.h"
#include "hub/settings.h"

namespace defectoscope {

/// A published text: a member of a zip archive, both known by their SHA-256.
struct TextSource {
  std::string name = {};        ///< as a user writes it
  std::string repository = {};  ///< "datasets/org/name@commit" on the hub; empty: `url` says where
  std::string url = {};         ///< of the archive, where no repository of the hub holds it
  std::string archive = {};     ///< the archive's file name
  std::string archive_sha256;
  std::int64_t archive_size = 0;
  std::string member;
  std::string member_sha256;
};

/// The texts that can be had by name: "wikitext-2-raw" (also "wikitext-2") and "wikitext-2-v1", each its test
/// split, as it was published.
std::vector<TextSource> known_texts(const HubSettings& settings);

/// The source of that name, or null. `texts` outlives the answer.
const TextSource* find_text(const std::vector<TextSource>& texts, std::string_view name);

/// The text's file below settings.assets, fetched and unpacked where it is not there yet. Throws Error as
/// plan_snapshot, download_snapshot and fetch_file do; kBadInput where archive or text is not the one meant.
std::filesystem::path fetch_text(const TextSource& source, const HubSettings& settings);

}  // namespace defectoscope
