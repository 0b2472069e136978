#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace defectoscope {

/// What SentencePiece calls the types of pieces, numbered as in its model files (and in GGUF).
enum class PieceType : int {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6
};

struct Piece {
  std::string text;
  float score = 0;
  PieceType type = PieceType::kNormal;
};

/// What goes into a SentencePiece model file.
struct PieceModel {
  std::vector<Piece> pieces;  ///< by id
  bool unigram = false;       ///< else BPE by score
  int unknown = 0;            ///< id of the piece for what cannot be spelled
  int start = -1;             ///< -1: none
  int end = -1;
  bool add_prefix_space = true;
  bool collapse_spaces = false;
  std::string character_map;  ///< precompiled normalization; empty: none
};

/// The bytes of the model file that says so (protobuf wire format of SentencePiece's ModelProto).
std::string to_sentencepiece_model(const PieceModel& model);

}  // namespace defectoscope
