#include "kernels/matmul.h"

#include <array>
#include <list>
#include <map>
#include <mutex>
#include <oneapi/dnnl/dnnl.hpp>
#include <vector>

#include "base/single_thread.h"

namespace defectoscope {
namespace {

const dnnl::engine& engine() {
  static const dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

/// Everything a primitive depends on: m, n, k, the three strides, dtype, bias.
using Key = std::array<Index, 8>;

/// The primitives used lately, for all threads. Creating one takes from tens of microseconds to milliseconds.
class MatmulCache {
 public:
  dnnl::matmul find(const Key& key) {
    const std::lock_guard lock(guard_);
    if (const auto found = places_.find(key); found != places_.end()) {
      entries_.splice(entries_.begin(), entries_, found->second);
      return entries_.front().second;
    }
    entries_.emplace_front(key, create(key));
    places_[key] = entries_.begin();
    if (entries_.size() > kCapacity) {
      places_.erase(entries_.back().first);
      entries_.pop_back();
    }
    return entries_.front().second;
  }

 private:
  static constexpr std::size_t kCapacity = 256;

  static dnnl::matmul create(const Key& key) {
    using dnnl::memory;
    const auto [m, n, k, a_stride, b_stride, c_stride, is_bf16, has_bias] = key;
    const auto input = is_bf16 ? memory::data_type::bf16 : memory::data_type::f32;
    const memory::desc a({m, k}, input, memory::dims{a_stride, 1});
    const memory::desc b({k, n}, input, memory::dims{1, b_stride});
    const memory::desc c({m, n}, memory::data_type::f32, memory::dims{c_stride, 1});
    const memory::desc bias({1, n}, memory::data_type::f32, memory::dims{n, 1});
    dnnl::primitive_attr attributes;
    // The library's own scratchpad belongs to the thread that creates the primitive; others may run it here.
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const auto description = has_bias ? dnnl::matmul::desc(a, b, bias, c) : dnnl::matmul::desc(a, b, c);
    return dnnl::matmul(dnnl::matmul::primitive_desc(description, attributes, engine()));
  }

  std::mutex guard_;
  std::list<std::pair<Key, dnnl::matmul>> entries_;
  std::map<Key, std::list<std::pair<Key, dnnl::matmul>>::iterator> places_;
};

void run(const Key& key, const void* a, const void* b, const float* bias, float* c) {
  static MatmulCache cache;
  thread_local dnnl::stream stream(engine());
  thread_local std::vector<std::byte> scratch;

  const SingleThreadScope single_thread;
  const dnnl::matmul product = cache.find(key);
  const auto query = [&](dnnl::query what) {
    return dnnl::memory::desc(
        *dnnl_primitive_desc_query_md(product.get_primitive_desc(), dnnl::convert_to_c(what), 0));
  };
  const auto wrap = [&](const dnnl::memory::desc& desc, const void* data) {
    return dnnl::memory(desc, engine(), const_cast<void*>(data));
  };
  const dnnl::memory::desc scratch_desc = query(dnnl::query::scratchpad_md);
  if (scratch.size() < scratch_desc.get_size()) scratch.resize(scratch_desc.get_size());
  std::unordered_map<int, dnnl::memory> arguments = {
      {DNNL_ARG_SRC, wrap(query(dnnl::query::src_md), a)},
      {DNNL_ARG_WEIGHTS, wrap(query(dnnl::query::weights_md), b)},
      {DNNL_ARG_DST, wrap(query(dnnl::query::dst_md), c)},
      {DNNL_ARG_SCRATCHPAD, wrap(scratch_desc, scratch.data())}};
  if (bias != nullptr) {
    const Index n = key[1];
    const dnnl::memory::desc desc({1, n}, dnnl::memory::data_type::f32, dnnl::memory::dims{n, 1});
    arguments.emplace(DNNL_ARG_BIAS, wrap(desc, bias));
  }
  product.execute(stream, arguments);
  stream.wait();
}

}  // namespace

void matmul_f32(Index m, Index n, Index k, const float* a, Index a_stride, const float* b, Index b_stride,
                const float* bias, float* c, Index c_stride) {
  run({m, n, k, a_stride, b_stride, c_stride, 0, bias != nullptr}, a, b, bias, c);
}

void matmul_bf16(Index m, Index n, Index k, const std::uint16_t* a, Index a_stride, const std::uint16_t* b,
                 Index b_stride, const float* bias, float* c, Index c_stride) {
  run({m, n, k, a_stride, b_stride, c_stride, 1, bias != nullptr}, a, b, bias, c);
}

}  // namespace defectoscope
