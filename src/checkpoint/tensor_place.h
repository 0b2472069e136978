#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "checkpoint/row_order.h"

namespace defectoscope {

/// What a tensor is called in its family's own files. An empty name leaves it out.
struct TensorPlace {
  std::string name;
  RowChange change = RowChange::kNone;
  bool split = false;  ///< each place of the first axis a tensor of its own, its number for {} in the name
};
/// From llama.cpp's name of a tensor ("blk.3.attn_q.weight") to its place.
using TensorNaming = std::function<TensorPlace(std::string_view gguf_name)>;

}  // namespace defectoscope
