#include "checkpoint/pytorch_bin.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/files.h"
#include "checkpoint/pickle.h"
#include "checkpoint/strict_json.h"
#include "checkpoint/tensor_set.h"
#include "checkpoint/zip_archive.h"

namespace defectoscope {
namespace {

constexpr std::string_view kPickleName = "/data.pkl";

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

[[noreturn]] void refuse_older(std::span<const std::byte> bytes, const std::string& file) {
  const std::string_view text = text_of(bytes);
  // Before 1.6 torch wrote several pickles in a row, the first a number; in its first days a tar archive.
  const bool old =
      text.starts_with(std::string_view("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20j\xa8P\x19", 14)) ||
      (text.size() > 262 && text.substr(257, 5) == "ustar");
  throw_bad_input(
      {.what = old ? "PyTorch file of the format before 1.6" : "not a PyTorch file",
       .file = file,
       .expected = "a zip file, as torch.save writes it since 1.6",
       .got = old ? "a file without parts that could be read in place" : "other bytes at its beginning",
       .hint = old ? "load it with torch and save it again: torch.save(torch.load(file, "
                     "weights_only=True), file)"
                   : "the file is damaged, not fully downloaded, or a pointer left by git-lfs"});
}

/// Copies the elements of a strided window in row-major order.
void copy_strided(const PickledTensor& tensor, const std::byte* storage, std::byte* out) {
  const auto size = static_cast<std::size_t>(dtype_size(tensor.dtype));
  std::vector<Index> position(tensor.shape.size(), 0);
  Index at = tensor.offset;
  while (true) {
    std::memcpy(out, storage + static_cast<std::size_t>(at) * size, size);
    out += size;
    std::size_t axis = tensor.shape.size();
    while (axis > 0) {
      --axis;
      at += tensor.strides[axis];
      if (++position[axis] < tensor.shape[axis]) break;
      at -= position[axis] * tensor.strides[axis];
      position[axis] = 0;
      if (axis == 0) return;
    }
    if (tensor.shape.empty()) return;
  }
}

}  // namespace

void add_pytorch_bin(const std::filesystem::path& path, TensorSet& set) {
  const std::string file = path.string();
  const auto mapped = std::make_shared<const MappedFile>(path);
  if (!ZipArchive::recognises(mapped->bytes())) refuse_older(mapped->bytes(), file);
  const ZipArchive archive(mapped->bytes(), file);

  std::string folder;  // all members lie in one, named after the file as it was saved
  for (const auto& [name, member] : archive.members())
    if (name.ends_with(kPickleName) && std::ranges::count(name, '/') == 1)
      folder = name.substr(0, name.size() - kPickleName.size());
  if (folder.empty())
    throw_bad_input({.what = "zip file without a state dict",
                     .file = file,
                     .expected = "a member data.pkl, as torch.save writes it",
                     .got = std::to_string(archive.members().size()) + " members, none of that name"});
  if (archive.has(folder + "/byteorder") && text_of(archive.data(folder + "/byteorder")) != "little")
    throw_bad_input({.what = "PyTorch file of a big-endian machine is not supported",
                     .file = file,
                     .expected = "little",
                     .got = shortened(text_of(archive.data(folder + "/byteorder")))});

  set.begin_file(path);
  for (PickledTensor& pickled : read_state_dict(archive.data(folder + std::string(kPickleName)), file)) {
    const std::span<const std::byte> storage = archive.data(folder + "/data/" + pickled.storage);
    const Index element = dtype_size(pickled.dtype);
    if (static_cast<Index>(storage.size()) / element < pickled.storage_elements)
      throw_bad_input({.what = "storage is shorter than the pickle says",
                       .file = file,
                       .tensor = shortened(pickled.name),
                       .expected = std::to_string(pickled.storage_elements) + " elements of " +
                                   std::string(dtype_name(pickled.dtype)),
                       .got = std::to_string(storage.size()) + " bytes",
                       .hint = "the file is damaged or not fully downloaded"});
    Tensor tensor{pickled.name, pickled.dtype, pickled.shape, nullptr, nullptr};
    if (pickled.contiguous()) {
      tensor.data = storage.data() + pickled.offset * element;
      tensor.owner = mapped;
      set.add(tensor);
      continue;
    }
    StoredTensor stored{"strided " + std::string(dtype_name(pickled.dtype)), pickled.shape, storage, mapped};
    set.add_made(tensor, std::move(stored), [pickled, data = storage.data(), mapped](std::byte* out) {
      copy_strided(pickled, data, out);
    });
  }
}

}  // namespace defectoscope
