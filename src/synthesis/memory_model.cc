#include "synthesis/memory_model.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string>

#include "checkpoint/checkpoint.h"
#include "synthesis/model_folder.h"
#include "synthesis/phantom_plan.h"
#include "synthesis/phantom_tensors.h"

namespace defectoscope {
namespace {

class MemoryCheckpoint : public Checkpoint {
 public:
  explicit MemoryCheckpoint(const std::vector<StreamedTensor>& tensors) {
    for (const StreamedTensor& source : tensors) {
      const auto bytes = std::make_shared<std::vector<std::byte>>(static_cast<std::size_t>(source.bytes()));
      compute_rows(source, 0, source.rows(), *bytes);
      tensors_[source.name] = {source.name, source.dtype, source.shape, bytes->data(), bytes};
      names_.push_back(source.name);
    }
    std::sort(names_.begin(), names_.end());
  }
  const std::vector<std::string>& names() const override { return names_; }
  std::optional<Tensor> find(std::string_view name) const override {
    const auto at = tensors_.find(name);
    return at == tensors_.end() ? std::nullopt : std::optional(at->second);
  }
  std::filesystem::path file_of(std::string_view) const override { return "(memory)"; }

 private:
  std::map<std::string, Tensor, std::less<>> tensors_;
  std::vector<std::string> names_;
};

Model model_of(const PhantomShape& shape, const PhantomTokenizer& tokenizer,
               const std::vector<StreamedTensor>& tensors) {
  return {parse_config(config_json(shape, tokenizer), "(memory)"),
          std::make_shared<MemoryCheckpoint>(tensors), shape.name};
}

}  // namespace

PhantomModel phantom_in_memory(const PhantomOptions& options) {
  if (options.variant == PhantomVariant::kNone) {
    PhantomTruth truth = phantom_truth(options);
    RandomModelOptions random;
    random.shape = options.shape;
    random.seed = options.seed;
    return {random_model_in_memory(random), std::move(truth)};
  }
  const auto plan = std::make_shared<const PhantomPlan>(make_plan(options));
  return {model_of(plan->options.shape, plan->tokenizer, phantom_tensors(plan)), plan->truth};
}

Model random_model_in_memory(const RandomModelOptions& options) {
  return model_of(options.shape, PhantomTokenizer(options.shape, false), random_model_tensors(options));
}

}  // namespace defectoscope
