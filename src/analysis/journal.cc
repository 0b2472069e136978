#include "analysis/journal.h"

#include <cstring>
#include <stdexcept>

#include "base/error.h"
#include "base/files.h"
#include "base/sha256.h"

namespace defectoscope {
namespace {

constexpr std::string_view kMagic = "defectoscope.journal/1\n";

std::string digest(std::string_view text) {
  Sha256 hash;
  hash.update(text);
  return hash.hex_digest();
}

/// magic, key digest, record; checksum last, so that a file cut anywhere fails.
std::string sealed(const std::string& key, std::string_view record) {
  std::string text{kMagic};
  text += key;
  text += record;
  return text + digest(text);
}

}  // namespace

ScanJournal::ScanJournal(std::filesystem::path folder) : folder_(std::move(folder)) {}

void ScanJournal::set_key(std::string_view key) {
  const std::string digested = digest(key);
  if (digested != key_) memory_.clear();
  key_ = digested;
}

std::filesystem::path ScanJournal::file_of(const std::string& name) const {
  return folder_ / (name + ".record");
}

void ScanJournal::put(const std::string& name, std::string_view bytes) {
  if (folder_.empty()) {
    memory_[name] = std::string(bytes);
    return;
  }
  make_folder(folder_);
  write_file(file_of(name), sealed(key_, bytes));
}

std::optional<std::string> ScanJournal::get(const std::string& name) {
  if (folder_.empty()) {
    const auto found = memory_.find(name);
    if (found == memory_.end()) return std::nullopt;
    return found->second;
  }
  const auto path = file_of(name);
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return std::nullopt;
  std::string text;
  try {
    text = read_file(path);
  } catch (const Error&) {
    complaints_.push_back("The record " + path.string() + " cannot be read; its part was computed anew.");
    return std::nullopt;
  }
  const std::size_t header = kMagic.size() + key_.size();
  if (text.size() < header + key_.size() || !text.starts_with(kMagic) ||
      digest(std::string_view(text).substr(0, text.size() - key_.size())) !=
          std::string_view(text).substr(text.size() - key_.size())) {
    complaints_.push_back("The record " + path.string() + " is damaged; its part was computed anew.");
    return std::nullopt;
  }
  // Another model or other options: not a fault, simply not ours.
  if (std::string_view(text).substr(kMagic.size(), key_.size()) != key_) return std::nullopt;
  resumed_ = true;
  return text.substr(header, text.size() - header - key_.size());
}

void ScanJournal::clear() {
  memory_.clear();
  if (folder_.empty()) return;
  std::error_code error;
  std::filesystem::directory_iterator files(folder_, error);
  if (error) return;
  for (const auto& file : files)
    if (file.path().extension() == ".record") std::filesystem::remove(file.path(), error);
  std::filesystem::remove(folder_, error);  // stays where something else lies in it
}

void RecordReader::check(std::size_t count, std::size_t size) const {
  if (count > bytes_.size() / size) throw std::out_of_range("record too short");
}

void RecordReader::take(void* out, std::size_t size) {
  if (size > bytes_.size()) throw std::out_of_range("record too short");
  if (size > 0) std::memcpy(out, bytes_.data(), size);
  bytes_.remove_prefix(size);
}

}  // namespace defectoscope
