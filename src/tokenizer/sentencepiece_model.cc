#include "tokenizer/sentencepiece_model.h"

#include <cstdint>
#include <cstring>

namespace defectoscope {
namespace {

/// A protobuf message under construction.
class Message {
 public:
  void number(int field, std::int64_t value) {
    varint(static_cast<std::uint64_t>(field) << 3);
    varint(static_cast<std::uint64_t>(value));  // negative ones take ten bytes, as the format has it
  }
  void text(int field, std::string_view value) {
    varint((static_cast<std::uint64_t>(field) << 3) | 2);
    varint(value.size());
    bytes_ += value;
  }
  void real(int field, float value) {
    varint((static_cast<std::uint64_t>(field) << 3) | 5);
    char raw[sizeof value];
    std::memcpy(raw, &value, sizeof value);
    bytes_.append(raw, sizeof value);
  }
  const std::string& bytes() const { return bytes_; }

 private:
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_.push_back(static_cast<char>((value & 0x7F) | 0x80));
    bytes_.push_back(static_cast<char>(value));
  }
  std::string bytes_;
};

Message trainer_spec(const PieceModel& model) {
  const auto spelling = [&](int id) -> std::string_view {
    return id >= 0 && static_cast<std::size_t>(id) < model.pieces.size()
               ? model.pieces[static_cast<std::size_t>(id)].text
               : std::string_view();
  };
  bool bytes = false;
  for (const Piece& piece : model.pieces) bytes = bytes || piece.type == PieceType::kByte;
  Message spec;
  spec.number(3, model.unigram ? 1 : 2);  // model_type
  spec.number(4, static_cast<std::int64_t>(model.pieces.size()));
  spec.number(35, bytes ? 1 : 0);  // byte_fallback
  spec.number(40, model.unknown);
  spec.number(41, model.start);
  spec.number(42, model.end);
  spec.number(43, -1);  // no padding
  spec.text(45, spelling(model.unknown));
  if (model.start >= 0) spec.text(46, spelling(model.start));
  if (model.end >= 0) spec.text(47, spelling(model.end));
  return spec;
}

Message normalizer_spec(const PieceModel& model) {
  Message spec;
  spec.text(1, "identity");
  if (!model.character_map.empty()) spec.text(2, model.character_map);
  spec.number(3, model.add_prefix_space ? 1 : 0);
  spec.number(4, model.collapse_spaces ? 1 : 0);
  spec.number(5, 1);  // spaces are spelled "▁"
  return spec;
}

}  // namespace

std::string to_sentencepiece_model(const PieceModel& model) {
  Message proto;
  for (const Piece& piece : model.pieces) {
    Message entry;
    entry.text(1, piece.text);
    entry.real(2, piece.score);
    entry.number(3, static_cast<int>(piece.type));
    proto.text(1, entry.bytes());
  }
  proto.text(2, trainer_spec(model).bytes());
  proto.text(3, normalizer_spec(model).bytes());
  return proto.bytes();
}

}  // namespace defectoscope
