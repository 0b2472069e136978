#include "kernels/matmul.h"

#include <array>
#include <list>
#include <map>
#include <mutex>
#include <oneapi/dnnl/dnnl.hpp>
#include <string_view>
#include <utility>
#include <vector>

#include "base/single_thread.h"
#include "kernels/onednn_isa.h"

namespace defectoscope {
namespace {

const dnnl::engine& engine() {
  static const dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

using Type = dnnl::memory::data_type;

/// Everything a primitive depends on: m, n, k, the three strides, the inputs' Type, bias.
using Key = std::array<Index, 8>;

struct Product {
  dnnl::matmul primitive;
  bool on_amx = false;
};

/// The primitives used lately, for all threads. Creating one takes from tens of microseconds to milliseconds.
class MatmulCache {
 public:
  Product find(const Key& key) {
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

  static Product create(const Key& key) {
    using dnnl::memory;
    const auto [m, n, k, a_stride, b_stride, c_stride, type, has_bias] = key;
    const auto input = static_cast<Type>(type), output = input == Type::s8 ? Type::s32 : Type::f32;
    const memory::desc a({m, k}, input, memory::dims{a_stride, 1});
    const memory::desc b({k, n}, input, memory::dims{1, b_stride});
    const memory::desc c({m, n}, output, memory::dims{c_stride, 1});
    const memory::desc bias({1, n}, memory::data_type::f32, memory::dims{n, 1});
    dnnl::primitive_attr attributes;
    // The library's own scratchpad belongs to the thread that creates the primitive; others may run it here.
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const auto description = has_bias ? dnnl::matmul::desc(a, b, bias, c) : dnnl::matmul::desc(a, b, c);
    const dnnl::matmul::primitive_desc chosen(description, attributes, engine());
    return {dnnl::matmul(chosen),
            std::string_view(chosen.impl_info_str()).find("amx") != std::string_view::npos};
  }

  std::mutex guard_;
  std::list<std::pair<Key, Product>> entries_;
  std::map<Key, std::list<std::pair<Key, Product>>::iterator> places_;
};

Key key_of(Index m, Index n, Index k, Index a_stride, Index b_stride, Index c_stride, Type type,
           bool has_bias) {
  return {m, n, k, a_stride, b_stride, c_stride, static_cast<Index>(type), has_bias};
}

/// False, and nothing done, where `on_amx` is asked for and oneDNN takes another kernel for the shape.
bool run(const Key& key, const void* a, const void* b, const float* bias, void* c, bool on_amx = false) {
  static MatmulCache cache;
  thread_local dnnl::stream stream(engine());
  thread_local std::vector<std::byte> scratch;

  const SingleThreadScope single_thread;
  const auto [product, is_on_amx] = cache.find(key);
  if (on_amx && !is_on_amx) return false;
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
  return true;
}

}  // namespace

void matmul_f32(Index m, Index n, Index k, const float* a, Index a_stride, const float* b, Index b_stride,
                const float* bias, float* c, Index c_stride) {
  run(key_of(m, n, k, a_stride, b_stride, c_stride, Type::f32, bias != nullptr), a, b, bias, c);
}

void matmul_bf16(Index m, Index n, Index k, const std::uint16_t* a, Index a_stride, const std::uint16_t* b,
                 Index b_stride, const float* bias, float* c, Index c_stride) {
  run(key_of(m, n, k, a_stride, b_stride, c_stride, Type::bf16, bias != nullptr), a, b, bias, c);
}

bool matmul_int8_amx(Index m, Index n, Index k, const std::int8_t* a, Index a_stride, const std::int8_t* b,
                     Index b_stride, std::int32_t* c, Index c_stride) {
  static const bool amx = onednn_has(dnnl::cpu_isa::avx512_core_amx);
  return amx && run(key_of(m, n, k, a_stride, b_stride, c_stride, Type::s8, false), a, b, nullptr, c, true);
}

}  // namespace defectoscope
