#pragma once

#include <string_view>

#include "model/architecture.h"

namespace defectoscope {

/// Rows of families that the architecture table does not list (yet): they put the block's switches to the
/// test.
const ArchitectureSpec& find_test_architecture(std::string_view model_type);
/// The activation its golden was made with.
Activation test_activation(const ArchitectureSpec& row);

}  // namespace defectoscope
