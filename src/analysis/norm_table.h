#pragma once

#include <cstdint>
#include <vector>

#include "base/index.h"

namespace defectoscope {

/// The calibration text as the model saw it: one entry a token, rows end to end.
struct TokenTable {
  std::vector<std::int32_t> id;
  std::vector<std::int32_t> position;  ///< 0: first of its row
  std::vector<std::int32_t> row;
  /// 1: initial, that is the first of its row or of a run of equal tokens that opens it (attention over
  /// copies gives what a lone token gets, so repeats behave like the first).
  std::vector<std::uint8_t> initial;
  Index size() const { return static_cast<Index>(id.size()); }
  void append_row(const std::vector<std::int32_t>& tokens) {
    const std::int32_t next = row.empty() ? 0 : row.back() + 1;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      id.push_back(tokens[i]);
      position.push_back(static_cast<std::int32_t>(i));
      initial.push_back(i == 0 || (initial.back() != 0 && tokens[i] == tokens[0]));
      row.push_back(next);
    }
  }
};

/// Norms of every hidden state, and the attention every token draws.
struct NormTable {
  TokenTable tokens;
  std::vector<std::vector<float>> norms;      ///< [layers + 1][tokens]; 0: the embedding
  std::vector<std::vector<float>> attention;  ///< [layers][tokens]; may be empty
  Index layers() const { return static_cast<Index>(norms.size()) - 1; }
};

}  // namespace defectoscope
