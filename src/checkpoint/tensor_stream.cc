#include "checkpoint/tensor_stream.h"

#include <algorithm>
#include <functional>
#include <future>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

#include "base/files.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "checkpoint/safetensors.h"

namespace defectoscope {
namespace {

constexpr Index kTileElements = Index{1} << 18;
constexpr Index kTilesPerBatch = 16;

/// The tensors [first, last) go into one file.
struct Shard {
  std::size_t first = 0, last = 0;
  std::string file;
};

std::vector<Shard> cut_into_shards(const std::vector<StreamedTensor>& tensors, Index shard_bytes) {
  std::vector<Shard> shards;
  Index filled = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (shards.empty() || filled + tensors[i].bytes() > shard_bytes) {
      shards.push_back({i, i, ""});
      filled = 0;
    }
    shards.back().last = i + 1;
    filled += tensors[i].bytes();
  }
  const auto number = [](std::size_t n) {
    const std::string digits = std::to_string(n);
    return std::string(digits.size() < 5 ? 5 - digits.size() : 0, '0') + digits;
  };
  for (std::size_t i = 0; i < shards.size(); ++i)
    shards[i].file = shards.size() == 1
                         ? "model.safetensors"
                         : "model-" + number(i + 1) + "-of-" + number(shards.size()) + ".safetensors";
  return shards;
}

/// Appends on another thread, one piece at a time, so that the next piece is computed meanwhile.
class BackgroundAppender {
 public:
  explicit BackgroundAppender(SafetensorsWriter& writer) : writer_(writer) {}
  ~BackgroundAppender() {
    if (pending_.valid()) pending_.wait();
  }
  BackgroundAppender(const BackgroundAppender&) = delete;
  BackgroundAppender& operator=(const BackgroundAppender&) = delete;

  /// Takes `piece` and gives back the buffer written before it.
  void append(std::vector<std::byte>& piece) {
    wait();
    std::swap(piece, in_flight_);
    pending_ = std::async(std::launch::async, [this] { writer_.append(in_flight_); });
  }
  void wait() {
    if (pending_.valid()) pending_.get();
  }

 private:
  SafetensorsWriter& writer_;
  std::vector<std::byte> in_flight_;
  std::future<void> pending_;
};

void write_shard(const std::vector<StreamedTensor>& tensors, const Shard& shard,
                 const std::filesystem::path& folder, Progress& progress) {
  std::vector<SafetensorsWriter::Entry> entries;
  for (std::size_t i = shard.first; i < shard.last; ++i)
    entries.push_back({tensors[i].name, tensors[i].dtype, tensors[i].shape});
  SafetensorsWriter writer(folder / shard.file, entries, {{"format", "pt"}});
  BackgroundAppender appender(writer);
  std::vector<std::byte> piece;
  for (std::size_t i = shard.first; i < shard.last; ++i) {
    const StreamedTensor& tensor = tensors[i];
    const Index batch = std::max<Index>(1, kTileElements / tensor.cols()) * kTilesPerBatch;
    for (Index row = 0; row < tensor.rows(); row += batch) {
      compute_rows(tensor, row, std::min(tensor.rows(), row + batch), piece);
      const auto bytes = static_cast<Index>(piece.size());
      appender.append(piece);
      progress.advance(bytes);
    }
  }
  appender.wait();
  writer.commit();
}

}  // namespace

Index StreamedTensor::elements() const {
  return std::accumulate(shape.begin(), shape.end(), Index{1}, std::multiplies<>());
}

void compute_rows(const StreamedTensor& tensor, Index begin, Index end, std::vector<std::byte>& out) {
  const Index cols = tensor.cols();
  const Index rows_per_tile = std::max<Index>(1, kTileElements / cols);
  const Index row_bytes = cols * dtype_size(tensor.dtype);
  out.resize(static_cast<std::size_t>((end - begin) * row_bytes));
  parallel_ranges(end - begin, rows_per_tile, [&](Index first, Index last) {
    std::vector<float> values(static_cast<std::size_t>((last - first) * cols));
    tensor.fill(begin + first, begin + last, values.data());
    convert_from_f32(tensor.dtype, values.data(), (last - first) * cols, out.data() + first * row_bytes);
  });
}

std::vector<std::string> write_streamed(const std::vector<StreamedTensor>& tensors,
                                        const std::filesystem::path& folder, Index shard_bytes) {
  Index total = 0;
  for (const StreamedTensor& tensor : tensors) total += tensor.bytes();
  const std::vector<Shard> shards = cut_into_shards(tensors, shard_bytes);
  std::vector<std::string> written;
  try {
    Progress progress("Writing " + folder.filename().string(), total);
    nlohmann::ordered_json map = nlohmann::ordered_json::object();
    for (const Shard& shard : shards) {
      write_shard(tensors, shard, folder, progress);
      written.push_back(shard.file);
      for (std::size_t i = shard.first; i < shard.last; ++i) map[tensors[i].name] = shard.file;
    }
    if (shards.size() > 1) {
      const nlohmann::ordered_json index = {{"metadata", {{"total_size", total}}}, {"weight_map", map}};
      write_file(folder / "model.safetensors.index.json", index.dump(2) + "\n");
      written.push_back("model.safetensors.index.json");
    }
  } catch (...) {
    for (const std::string& file : written) {
      std::error_code ignored;
      std::filesystem::remove(folder / file, ignored);
    }
    throw;
  }
  return written;
}

}  // namespace defectoscope
