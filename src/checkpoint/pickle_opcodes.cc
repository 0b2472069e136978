#include "checkpoint/pickle_opcodes.h"

namespace defectoscope {
namespace {

struct NamedOpcode {
  char code;
  const char* name;
};
constexpr NamedOpcode kRefused[] = {{'i', "INST"},
                                    {'o', "OBJ"},
                                    {'\x81', "NEWOBJ"},
                                    {'\x92', "NEWOBJ_EX"},
                                    {'\x82', "EXT1"},
                                    {'\x83', "EXT2"},
                                    {'\x84', "EXT4"},
                                    {'P', "PERSID"},
                                    {'F', "FLOAT"},
                                    {'I', "INT"},
                                    {'L', "LONG"},
                                    {'\x8b', "LONG4"},
                                    {'S', "STRING"},
                                    {'V', "UNICODE"},
                                    {'B', "BINBYTES"},
                                    {'C', "SHORT_BINBYTES"},
                                    {'\x8e', "BINBYTES8"},
                                    {'\x8d', "BINUNICODE8"},
                                    {'\x96', "BYTEARRAY8"},
                                    {'\x97', "NEXT_BUFFER"},
                                    {'d', "DICT"},
                                    {'l', "LIST"},
                                    {'0', "POP"},
                                    {'1', "POP_MARK"},
                                    {'2', "DUP"},
                                    {'p', "PUT"},
                                    {'g', "GET"},
                                    {'\x8f', "EMPTY_SET"},
                                    {'\x90', "ADDITEMS"},
                                    {'\x91', "FROZENSET"},
                                    {'\x98', "READONLY_BUFFER"}};

}  // namespace

std::string refused_opcode_name(char opcode) {
  static constexpr char kDigits[] = "0123456789abcdef";
  const auto code = static_cast<unsigned char>(opcode);
  std::string name = std::string("0x") + kDigits[code >> 4] + kDigits[code & 15];
  for (const NamedOpcode& known : kRefused)
    if (known.code == opcode) name = std::string(known.name).append(" (").append(name).append(")");
  return name;
}

}  // namespace defectoscope
