#pragma once

#include <string>

namespace defectoscope {

/// An opcode that is known but not run, for messages: "NEWOBJ (0x81)"; one that is not known as "0xff".
std::string refused_opcode_name(char opcode);

}  // namespace defectoscope
