#include "synthesis/phantom.h"

#include <memory>

#include "synthesis/model_folder.h"
#include "synthesis/phantom_plan.h"
#include "synthesis/phantom_tensors.h"
#include "synthesis/random_model.h"

namespace defectoscope {

PhantomTruth phantom_truth(const PhantomOptions& options) {
  validate(options);
  if (options.variant == PhantomVariant::kNone) {
    PhantomTruth truth;
    truth.variant = options.variant;
    truth.seed = options.seed;
    return truth;
  }
  return make_plan(options).truth;
}

PhantomTruth write_phantom(const PhantomOptions& options, const std::filesystem::path& folder) {
  validate(options);
  if (options.variant == PhantomVariant::kNone) {
    RandomModelOptions random;
    random.shape = options.shape;
    random.seed = options.seed;
    random.shard_bytes = options.shard_bytes;
    return write_random_model(random, folder);
  }
  require_space(options.shape, folder);
  const auto plan = std::make_shared<const PhantomPlan>(make_plan(options));
  write_model_folder({plan->options, plan->tokenizer, phantom_tensors(plan), plan->truth}, folder);
  return plan->truth;
}

}  // namespace defectoscope
