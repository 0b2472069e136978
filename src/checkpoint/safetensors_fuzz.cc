// Feeds bytes to the safetensors reader: what it accepts must lie inside the file, all else must be an Error.
#include <cstdint>
#include <cstring>
#include <string>

#include "base/test_fuzz.h"
#include "checkpoint/safetensors_header.h"
#include "tensor/tensor.h"

namespace {

using namespace defectoscope;

void read(std::span<const std::byte> file) {
  attempt([&] {
    const SafetensorsHeader header = parse_safetensors_header(file, "fuzz");
    const auto size = static_cast<Index>(file.size());
    Index previous_end = 0;
    for (const SafetensorsHeader::Entry& entry : header.tensors) {
      const Tensor tensor{entry.name, entry.dtype, entry.shape, nullptr, nullptr};
      require(entry.begin == previous_end && entry.end - entry.begin == tensor.bytes());
      require(header.data_begin >= 0 && header.data_begin + entry.end <= size);
      previous_end = entry.end;
    }
    require(header.data_begin + previous_end == size);
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span input(reinterpret_cast<const std::byte*>(data), size);
  read(input);
  // Again with a length that fits, which random bytes seldom have: the first byte says how much is data.
  if (size == 0) return 0;
  const std::size_t tail = std::min<std::size_t>(data[0], size - 1);
  const std::uint64_t length = size - 1 - tail;
  std::string file(sizeof length, '\0');
  std::memcpy(file.data(), &length, sizeof length);
  file.append(reinterpret_cast<const char*>(data) + 1, size - 1);
  read(std::as_bytes(std::span(file)));
  return 0;
}
