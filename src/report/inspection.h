#pragma once

#include <string>

#include "model/inspect.h"

namespace defectoscope {

/// What `inspect` prints; with `tensors`, every tensor's name, dtype and shape too.
std::string inspection_text(const Inspection& inspection, bool tensors);
/// The same as JSON, schema "defectoscope.inspect/1", tensors included.
std::string inspection_json(const Inspection& inspection);

}  // namespace defectoscope
