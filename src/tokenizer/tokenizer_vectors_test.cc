// Published vectors: texts and the ids every container of the same vocabulary must give.
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/files.h"
#include "tokenizer/gguf_tokenizer.h"
#include "tokenizer/slow_files.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_test_data.h"

namespace defectoscope {
namespace {

struct Vector {
  std::string text;
  std::vector<TokenId> ids;
};

std::vector<Vector> read_vectors(const std::filesystem::path& folder, const std::string& name) {
  constexpr std::string_view kMark = "\n__ggml_vocab_test__\n";
  const std::string texts = read_file(folder / ("ggml-vocab-" + name + ".gguf.inp"));
  std::istringstream lines(read_file(folder / ("ggml-vocab-" + name + ".gguf.out")));
  std::vector<Vector> vectors;
  std::string_view rest = texts;
  for (std::string line; std::getline(lines, line);) {
    const auto end = rest.find(kMark);
    Vector vector{.text = std::string(rest.substr(0, end)), .ids = {}};
    std::istringstream numbers(line);
    for (TokenId id = 0; numbers >> id;) vector.ids.push_back(id);
    vectors.push_back(vector);
    rest = end == rest.npos ? std::string_view() : rest.substr(end + kMark.size());
  }
  return vectors;
}

void expect_vectors(const Tokenizer& tokenizer, const std::string& name) {
  const auto vectors = read_vectors(shared_data() / "tokenizer-vectors", name);
  ASSERT_GT(vectors.size(), 30u);
  for (const Vector& vector : vectors)
    EXPECT_EQ(tokenizer.encode(vector.text, false), vector.ids) << name << ": \"" << vector.text << '"';
}

struct Case {
  const char* folder;
  const char* vectors;
};

std::string name_of(const testing::TestParamInfo<Case>& info) {
  std::string name = info.param.folder;
  for (char& c : name)
    if (c == '-') c = '_';
  return name;
}

class PublishedVectors : public testing::TestWithParam<Case> {};

TEST_P(PublishedVectors, TokenizerJsonGivesPublishedIds) {
  SKIP_WITHOUT_SHARED_DATA();
  const auto tokenizer = open_tokenizer(shared_data() / "tokenizers/hf" / GetParam().folder);
  expect_vectors(*tokenizer, GetParam().vectors);
}

class GgufVectors : public testing::TestWithParam<Case> {};

TEST_P(GgufVectors, VocabularyGivesPublishedIds) {
  SKIP_WITHOUT_SHARED_DATA();
  const auto file = std::string("ggml-vocab-") + GetParam().folder + ".gguf";
  expect_vectors(*open_gguf_tokenizer(shared_data() / "tokenizers" / file), GetParam().vectors);
}

INSTANTIATE_TEST_SUITE_P(Gguf, GgufVectors,
                         testing::Values(Case{"llama-spm", "llama-spm"}, Case{"phi-3", "phi-3"},
                                         Case{"gpt-2", "gpt-2"}, Case{"falcon", "falcon"}, Case{"mpt", "mpt"},
                                         Case{"gpt-neox", "mpt"}, Case{"bert-bge", "bert-bge"}),
                         name_of);

TEST(Vectors, QwenRanksGivePublishedIds) {
  SKIP_WITHOUT_SHARED_DATA();
  const auto tokenizer = open_tiktoken(shared_data() / "tokenizers/qwen.lf.tiktoken", TokenizerConfig());
  expect_vectors(*tokenizer, "qwen2");
  EXPECT_EQ(tokenizer->find("<|im_end|>"), 151645);
  EXPECT_EQ(tokenizer->size(), 151851);
}

TEST(Vectors, Qwen25ConfigurationAddsItsTokensToTheRanks) {
  SKIP_WITHOUT_SHARED_DATA();
  const auto config = read_tokenizer_config(shared_data() / "tokenizers/hf/qwen2.5");
  const auto tokenizer = open_tiktoken(shared_data() / "tokenizers/qwen.lf.tiktoken", config);
  EXPECT_EQ(tokenizer->size(), 151665);
  EXPECT_EQ(tokenizer->encode("<|im_start|>", false), std::vector<TokenId>{151644});
  EXPECT_EQ(tokenizer->start_token(), -1);
}

TEST(Vectors, Gpt2VocabAndMergesGivePublishedIds) {
  SKIP_WITHOUT_SHARED_DATA();
  const auto folder = shared_data() / "tokenizers/hf";
  expect_vectors(*open_vocab_merges(folder / "gpt2.vocab", folder / "gpt2.merges.txt", TokenizerConfig()),
                 "gpt-2");
}

TEST(Vectors, RobertaVocabAndMergesGivePublishedIds) {
  SKIP_WITHOUT_SHARED_DATA();
  const auto folder = shared_data() / "tokenizers/hf/tokenizer_roberta-base";
  TokenizerConfig config;
  config.tokenizer_class = "RobertaTokenizer";
  const auto tokenizer = open_vocab_merges(folder / "vocab.json", folder / "merges.txt", config);
  expect_vectors(*tokenizer, "roberta-bpe");
  EXPECT_EQ(tokenizer->encode("", true), (std::vector<TokenId>{0, 2}));
}

nlohmann::json published(const char* name) {
  return nlohmann::json::parse(read_file(shared_data() / "tokenizers/hf" / name / "tokenizer.json"));
}

std::unique_ptr<Tokenizer> opened(const nlohmann::json& tokenizer) {
  const ScratchFolder folder;
  write_file(folder.path() / "tokenizer.json", tokenizer.dump());
  return open_tokenizer(folder.path());
}

TEST(Vectors, Llama2GivesPublishedIds) {
  SKIP_WITHOUT_SHARED_DATA();
  // The published copy has lost its no-break spaces (U+00A0 became U+0020), which no reader accepts.
  auto tokenizer = published("llama2");
  auto& vocab = tokenizer["model"]["vocab"];
  for (const char* entry : {" ", "  ", "    ", "▁ "}) {
    std::string restored;
    for (const char c : std::string(entry)) restored += c == ' ' ? std::string("\u00A0") : std::string(1, c);
    vocab[restored] = vocab[entry];
    vocab.erase(entry);
  }
  for (auto& merge : tokenizer["model"]["merges"]) {
    if (merge == "   ") merge = "\u00A0 \u00A0";
    if (merge == "     ") merge = "\u00A0\u00A0 \u00A0\u00A0";
    if (merge == "▁  ") merge = "▁ \u00A0";
  }
  expect_vectors(*opened(tokenizer), "llama-spm");
}

TEST(Vectors, Gpt2GivesPublishedIds) {
  SKIP_WITHOUT_SHARED_DATA();
  // Phi-2's tokenizer is GPT-2's with tokens added for runs of spaces.
  auto tokenizer = published("phi-2");
  tokenizer["added_tokens"].erase(tokenizer["added_tokens"].begin() + 1, tokenizer["added_tokens"].end());
  expect_vectors(*opened(tokenizer), "gpt-2");
}

INSTANTIATE_TEST_SUITE_P(HuggingFace, PublishedVectors,
                         testing::Values(Case{"phi-3-mini", "phi-3"}, Case{"phi-3-medium", "phi-3"},
                                         Case{"falcon-tokenizer", "falcon"},
                                         Case{"tokenizer_roberta-base", "roberta-bpe"}),
                         name_of);

}  // namespace
}  // namespace defectoscope
