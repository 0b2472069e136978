#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/llama2c.h"

/// Writes llama2.c files for tests.
namespace defectoscope::testing_llama2c {

inline void put_bytes(std::string& out, const void* data, std::size_t size) {
  out.append(static_cast<const char*>(data), size);
}
template <typename T>
void put(std::string& out, T value) {
  put_bytes(out, &value, sizeof value);
}

/// The header of a version; 0 has no magic and says by the vocabulary's sign whether the head is tied.
inline std::string header(std::int32_t version, const Llama2cFile::Sizes& s, std::int32_t group = 0) {
  std::string out;
  if (version > 0) {
    put(out, std::uint32_t{0x616b3432});
    put(out, version);
  }
  const Index vocabulary = version == 0 && !s.tied ? -s.vocabulary : s.vocabulary;
  for (const Index size : {s.hidden, s.ffn, s.layers, s.heads, s.kv_heads, vocabulary, s.positions})
    put(out, static_cast<std::int32_t>(size));
  if (version == 0) return out;
  put(out, static_cast<std::uint8_t>(s.tied));
  if (version == 2) put(out, group);
  out.resize(256, '\0');
  return out;
}

inline Index elements_of(const Llama2cFile::Sizes& s) {
  const Index kv = s.hidden / s.heads * s.kv_heads;
  return s.vocabulary * s.hidden * (s.tied ? 1 : 2) + s.hidden +
         s.layers * (2 * s.hidden + 2 * s.hidden * s.hidden + 2 * kv * s.hidden + 3 * s.ffn * s.hidden);
}

/// Values 0, 1, 2, ... in the file's order; version 0 ends with the tables of angles.
inline std::string counting_file(std::int32_t version, const Llama2cFile::Sizes& s) {
  std::string out = header(version, s);
  const Index angles = version == 0 ? s.positions * (s.hidden / s.heads) : 0;
  for (Index i = 0; i < elements_of(s) + angles; ++i) put(out, static_cast<float>(i));
  return out;
}

}  // namespace defectoscope::testing_llama2c
