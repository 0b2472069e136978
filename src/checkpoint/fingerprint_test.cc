#include <gmock/gmock.h>

#include "base/files.h"
#include "base/parallel.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/test_files.h"

namespace defectoscope {
namespace {

using testing_files::counting_tensor;
using testing_files::TemporaryFolder;

/// The fingerprint of a model of these tensors in one file.
std::string of(const std::vector<Tensor>& tensors, bool full = false) {
  const TemporaryFolder folder;
  write_safetensors(folder / "model.safetensors", tensors);
  return fingerprint(*open_checkpoint(folder.path()), full);
}

TEST(Fingerprint, DoesNotDependOnShardingOrOrder) {
  const Tensor a = counting_tensor("a", {300, 50});
  const Tensor b = counting_tensor("b", {7}, 3);
  const TemporaryFolder folder;
  write_safetensors(folder / "model-00001-of-00002.safetensors", {b});
  write_safetensors(folder / "model-00002-of-00002.safetensors", {a});
  for (const bool full : {false, true}) {
    EXPECT_EQ(of({a, b}, full), of({b, a}, full));
    EXPECT_EQ(of({a, b}, full), fingerprint(*open_checkpoint(folder.path()), full));
    EXPECT_EQ(of({a, b}, full).size(), 64u);
  }
  EXPECT_NE(of({a, b}, false), of({a, b}, true));
}

TEST(Fingerprint, TellsNamesShapesAndValuesApart) {
  const std::string base = of({counting_tensor("a", {2, 6})});
  EXPECT_NE(base, of({counting_tensor("b", {2, 6})}));
  EXPECT_NE(base, of({counting_tensor("a", {6, 2})}));
  EXPECT_NE(base, of({counting_tensor("a", {2, 6}, 1)}));
  Tensor integers = counting_tensor("a", {2, 6});
  integers.dtype = DType::kI32;
  EXPECT_NE(base, of({integers}));
}

TEST(Fingerprint, TheFullOneSeesASingleElementAnywhere) {
  Tensor tensor = counting_tensor("a", {100'000});
  const std::string before = of({tensor}, true);
  auto values = std::make_shared<std::vector<float>>(to_f32(tensor));
  values->at(77'777) += 1;
  tensor.data = reinterpret_cast<const std::byte*>(values->data());
  tensor.owner = values;
  EXPECT_NE(before, of({tensor}, true));
}

TEST(Fingerprint, IsTheSameAtAnyNumberOfThreads) {
  const Tensor tensor = counting_tensor("a", {3'000, 3'000});  // several tiles of the full hash
  const int threads = thread_count();
  set_thread_count(1);
  const std::string one = of({tensor}, true);
  set_thread_count(4);
  EXPECT_EQ(one, of({tensor}, true));
  set_thread_count(threads);
}

}  // namespace
}  // namespace defectoscope
