#pragma once

#include <filesystem>
#include <string>

#include "lineage/signature.h"

namespace defectoscope {

/// Version of the file's schema (docs/lineage.md): a reader takes its own and older ones.
inline constexpr int kSignatureVersion = 2;

/// A safetensors file: L's directions in f16, the others in one byte a value (pack_rows), what they are of in
/// its metadata, with a SHA-256 over everything. 470 KB for 32 layers of width 4096 and 1024 tokens. Throws
/// Error(kResources) where it cannot be written.
void write_signature(const Signature& signature, const std::filesystem::path& path);

/// Throws Error(kBadInput), naming file and tensor: truncated or otherwise no safetensors file, no signature,
/// of a newer schema, changed since it was written (checksum), tensors missing or of another shape than the
/// metadata says, directions that are not finite or not of unit length.
Signature read_signature(const std::filesystem::path& path);

/// What write_signature writes, and read_signature of it; `name` is what messages call it.
std::string signature_bytes(const Signature& signature);
Signature signature_of_bytes(std::string bytes, const std::string& name);

/// Whether a file says that it is a signature; reads its header only. False for folders and other formats.
bool is_signature_file(const std::filesystem::path& path);

/// Rounds to the precision of the file, so that a signature compares alike before and after writing.
void round_to_stored(Signature& signature);

}  // namespace defectoscope
