#pragma once

#include <cstdint>
#include <vector>

#include "analysis/scan_result.h"
#include "synthesis/phantom.h"
#include "synthesis/random_model.h"

namespace defectoscope {

/// Rows of random ordinary tokens in which the planted ones are strewn: `rows` rows of `length` tokens.
std::vector<std::vector<std::int32_t>> planted_text(const PhantomShape& shape,
                                                    const std::vector<PlantedToken>& planted, Index rows,
                                                    Index length, std::uint64_t seed);

/// What the states of a model in `folder` show on such a text.
ScanResult scan_states(const std::filesystem::path& folder, const PhantomShape& shape,
                       const std::vector<PlantedToken>& planted, std::uint64_t seed);

/// Writes a phantom to a scratch folder, looks at its states, removes it.
struct PlantedScan {
  PhantomTruth truth;
  ScanResult result;
};
PlantedScan scan_phantom(const PhantomOptions& options);
ScanResult scan_random_model(const RandomModelOptions& options);

/// 1-based numbers of the layers found.
std::vector<Index> numbers(const std::vector<FoundLayer>& layers);
/// Vocabulary entries found to have high norm at later positions, ascending; and those planted.
std::vector<std::int32_t> found_triggers(const ScanResult& result);
std::vector<std::int32_t> planted_triggers(const PhantomTruth& truth);
/// Acute angle of the empirical direction to the planted one, degrees; 90 where there is none.
double direction_error(const PlantedScan& scan);

}  // namespace defectoscope
