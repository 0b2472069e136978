#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace defectoscope {

/// Ids that entries of a model folder's tokenizer can exchange, ascending, all below `rows`. Not among them:
/// special and added tokens, ids that config.json (`…_token_id`) or the tokenizer's post-processor names,
/// rows without an entry. Throws Error(kUsage) with the reason where the tokenizer's files could not follow:
/// what is followed is tokenizer.json (BPE, WordPiece, WordLevel, Unigram) and vocab.json.
std::vector<Index> movable_tokens(const std::filesystem::path& folder, Index rows);

/// Whether a tokenizer's file would contradict those that with_moved_tokens() changes: lists of entries in
/// the order of their ids, which a folder with tokenizer.json can do without.
bool is_left_behind(const std::string& file);

/// The text of a tokenizer's file with every entry under places[its id]; files that hold no ids of entries
/// come back as they are.
std::string with_moved_tokens(const std::string& file, std::string text, const std::vector<Index>& places);

/// The id in `b` of each of a's first `entries` entries, by its spelling; the same id where b has no such
/// entry.
std::vector<TokenId> ids_by_spelling(const Tokenizer& a, const Tokenizer& b, Index entries);

}  // namespace defectoscope
