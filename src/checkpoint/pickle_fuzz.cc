// Feeds bytes to the zip and pickle readers: the tensors they accept must lie inside, all else must be an
// Error.
#include <cstdint>

#include "base/test_fuzz.h"
#include "checkpoint/pickle.h"
#include "checkpoint/zip_archive.h"

using namespace defectoscope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  attempt([&] {
    for (const PickledTensor& tensor : read_state_dict(bytes, "fuzz")) {
      Index elements = 1, last = tensor.offset;
      for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
        elements *= tensor.shape[i];
        last += tensor.shape[i] > 0 ? (tensor.shape[i] - 1) * tensor.strides[i] : 0;
      }
      require(elements >= 0 && elements <= tensor.storage_elements);
      require(elements == 0 || (last >= 0 && last < tensor.storage_elements));
    }
  });
  attempt([&] {
    const ZipArchive archive(bytes, "fuzz");
    for (const auto& [name, member] : archive.members())
      attempt([&] {
        const auto inside = archive.data(name);
        require(inside.data() >= bytes.data() && inside.size() <= size &&
                inside.data() + inside.size() <= bytes.data() + size);
      });
  });
  return 0;
}
