#pragma once

#include <string>

#include "lineage/compare.h"
#include "lineage/signature.h"

namespace defectoscope {

/// What a signature holds, for a person: a few lines.
std::string signature_text(const Signature& signature);

/// The verdict in words, the evidence as a table, what was not compared and why, angles of every layer.
std::string comparison_text(const Comparison& comparison);

/// Schema "defectoscope.compare/1" (docs/schema/compare.schema.json). A p-value that underflows is 0 there;
/// its logarithm stands beside it.
std::string comparison_json(const Comparison& comparison);

/// The p that was tested or seen; what is smaller is extrapolated. Of a comparison: of the evidence that
/// carries it.
double extrapolated_below(const Evidence& evidence);
double extrapolated_below(const Comparison& comparison);
/// Whether its p is smaller than that.
bool is_extrapolated(const Comparison& comparison);
/// What the reader is told of such a p.
std::string extrapolation_note(double below);

/// A verdict in one sentence.
std::string verdict_sentence(const Comparison& comparison);

/// A probability from its natural logarithm, at any size: "0.31", "2.4e-17", "1e-1203".
std::string probability_text(double log_p);

}  // namespace defectoscope
