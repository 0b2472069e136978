#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/random.h"
#include "tensor/matrix.h"

namespace defectoscope {

// What several attacks need.

/// Error(kUsage) with the reason why an attack cannot leave this model's outputs as they are.
[[noreturn]] void refuse(const std::string& attack, const std::string& reason, const std::string& hint = "");
[[noreturn]] void strength_out_of_range(const char* attack, const std::string& expected, double got);
/// Error(kUsage) where a strength is no share from 0 to 1.
void require_share(const char* attack, double strength);

/// All numbers of a matrix, row by row.
std::span<float> values_of(Matrix& x);

/// Σ x², in f64.
double squares(std::span<const float> x);
/// Adds normal noise of `strength` times the rms of the values.
void add_noise_to(std::span<float> values, double strength, Random& random);

/// 0 to count − 1 in random order.
std::vector<Index> random_order(Index count, Random& random);

}  // namespace defectoscope
