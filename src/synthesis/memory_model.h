#pragma once

#include "model/model.h"
#include "synthesis/phantom.h"
#include "synthesis/random_model.h"

namespace defectoscope {

/// A phantom that was never written: the model write_phantom would write, weights in memory (those of shapes
/// up to a few hundred million parameters).
struct PhantomModel {
  Model model;
  PhantomTruth truth;
};

/// Throws Error(kUsage) as write_phantom does. A variant kNone gives a random model.
PhantomModel phantom_in_memory(const PhantomOptions& options);
Model random_model_in_memory(const RandomModelOptions& options);

}  // namespace defectoscope
