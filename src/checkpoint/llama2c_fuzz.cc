// Feeds bytes to the llama2.c reader: the tensors it accepts must lie inside the file, all else must be an
// Error.
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/files.h"
#include "base/test_fuzz.h"
#include "checkpoint/llama2c.h"

namespace {

using namespace defectoscope;

void read(std::string_view bytes) {
  static const std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("fuzz-llama2c-" + std::to_string(::getpid()));
  write_file(path, bytes);
  attempt([&] {
    const Llama2cFile file = Llama2cFile::open(path);
    const auto tensors =
        file.tensors([](std::string_view name) { return TensorPlace{std::string(name), RowChange::kNone}; });
    Index stored = 0;
    for (const std::string& name : tensors->names()) {
      stored += static_cast<Index>(tensors->stored(name)->bytes.size());
      require(tensors->find(name)->elements() > 0 && to_f32(*tensors->find(name)).size() > 0);
    }
    require(stored <= static_cast<Index>(bytes.size()));
  });
  std::filesystem::remove(path);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  read(bytes);
  // Again with small sizes behind the magic, which random bytes seldom have, and a body to hold them.
  if (size < 16) return 0;
  std::string file("24ka", 4);
  const auto put = [&](std::int32_t value) { file.append(reinterpret_cast<const char*>(&value), 4); };
  put(1 + data[0] % 3);
  for (int i = 1; i <= 7; ++i) put(data[i] % 16 - data[i] / 250);
  file += static_cast<char>(data[8] % 2);
  put(data[9] % 16);
  file.resize(256);
  file += bytes + std::string(data[10] * std::size_t{64}, 'x');
  read(file);
  return 0;
}
