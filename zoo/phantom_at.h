#pragma once

#include <fmt/format.h>

#include <filesystem>

#include "synthesis/phantom.h"

namespace defectoscope {

/// Phantoms whose seeds are 1 to this many are the null's (shipped_null).
inline constexpr Index kPhantomsOfTheNull = 64;

/// The phantom of the shape "tiny" with that seed, written into `folder` where it is not there yet.
inline std::filesystem::path phantom_at(const std::filesystem::path& folder, std::uint64_t seed) {
  PhantomOptions options;
  options.shape = phantom_shape_named("tiny");
  options.seed = seed;
  const std::filesystem::path path = folder / fmt::format("phantom-{}", seed);
  if (!std::filesystem::exists(path / "config.json")) write_phantom(options, path);
  return path;
}

}  // namespace defectoscope
