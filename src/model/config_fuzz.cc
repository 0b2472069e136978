// Feeds bytes to the config.json reader: what it accepts must be a shape that nothing overflows on, all else
// must be an Error.
#include <cmath>
#include <cstdint>

#include "base/test_fuzz.h"
#include "model/config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace defectoscope;
  attempt([&] {
    const ModelConfig config = parse_config({reinterpret_cast<const char*>(data), size}, "fuzz");
    require(config.hidden_size > 0 && config.layers > 0 && config.ffn_size > 0 && config.vocab_size > 0);
    require(config.head_dim > 0 && config.kv_heads > 0 && config.heads % config.kv_heads == 0);
    require(config.rotary_dim >= 0 && config.rotary_dim <= config.head_dim && config.rotary_dim % 2 == 0);
    require(std::isfinite(config.norm_eps) && config.norm_eps > 0 && std::isfinite(config.rope_base));
    Index parameters = 0;
    require(!__builtin_mul_overflow(config.query_size() + 2 * config.kv_size() + 3 * config.ffn_size,
                                    config.hidden_size, &parameters));
    require(!__builtin_mul_overflow(parameters, config.layers, &parameters));
    for (Index i = 0; i < config.layers; ++i) require(config.window_of(i) >= 0);
  });
  return 0;
}
