// Feeds bytes to the GGUF header reader: what it accepts can be read through, all else must be an Error.
#include <cstdint>
#include <string>

#include "base/test_fuzz.h"
#include "checkpoint/gguf_metadata.h"

namespace {

using namespace defectoscope;

void read(std::span<const std::byte> file) {
  attempt([&] {
    const GgufMetadata gguf(file, "fuzz");
    for (const std::string& key : gguf.keys()) {
      attempt([&] { require(gguf.text(key).has_value()); });
      attempt([&] { require(gguf.integer(key).has_value()); });
      attempt([&] { require(gguf.number(key).has_value()); });
      attempt([&] { require(gguf.flag(key).has_value()); });
      attempt([&] { require(gguf.texts(key).size() == static_cast<std::size_t>(gguf.count(key))); });
      attempt([&] { require(gguf.integers(key).size() == static_cast<std::size_t>(gguf.count(key))); });
      attempt([&] { require(gguf.numbers(key).size() == static_cast<std::size_t>(gguf.count(key))); });
      attempt([&] { require(gguf.octets(key).size() == static_cast<std::size_t>(gguf.count(key))); });
    }
    for (const GgufTensor& tensor : gguf.tensors())
      for (const Index dimension : tensor.dimensions) require(dimension > 0);
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  read(std::as_bytes(std::span(data, size)));
  // Again behind a good beginning: one byte each for the numbers of tensors and keys.
  if (size < 2) return 0;
  std::string file = "GGUF";
  const auto put = [&file](auto value) { file.append(reinterpret_cast<const char*>(&value), sizeof value); };
  put(std::uint32_t{3});
  put(std::uint64_t{data[0]});
  put(std::uint64_t{data[1]});
  file.append(reinterpret_cast<const char*>(data) + 2, size - 2);
  read(std::as_bytes(std::span(file)));
  return 0;
}
