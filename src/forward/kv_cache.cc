#include "forward/kv_cache.h"

#include "model/config.h"

namespace defectoscope {

KvCache::KvCache(const ModelConfig& config, Index capacity) : KvCache(config, capacity, config.layers) {}

KvCache::KvCache(const ModelConfig& config, Index capacity, Index layers) : capacity_(capacity) {
  for (Index layer = 0; layer < layers; ++layer) {
    keys_.emplace_back(capacity, config.kv_size());
    values_.emplace_back(capacity, config.value_size());
  }
}

Index KvCache::bytes(const ModelConfig& config, Index capacity) {
  return bytes(config, capacity, config.layers);
}

Index KvCache::bytes(const ModelConfig& config, Index capacity, Index layers) {
  return layers * capacity * (config.kv_size() + config.value_size()) * static_cast<Index>(sizeof(float));
}

}  // namespace defectoscope
