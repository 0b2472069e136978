#include "lineage/signature.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "analysis/angle.h"
#include "base/parallel.h"
#include "base/random.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/test_files.h"
#include "lineage/canonical_layer.h"
#include "lineage/packed_rows.h"
#include "lineage/signature_file.h"
#include "lineage/synthetic_signatures.h"
#include "model/model.h"
#include "spectral/singular.h"

namespace defectoscope {
namespace {

using testing::HasSubstr;
using testing_files::bad_input_message;
using testing_files::TemporaryFolder;

const std::string kZoo = DEFECTOSCOPE_SOURCE_DIR "/zoo/";

Signature signature_of(const std::string& name, const SignatureOptions& options = {}) {
  return compute_signature(Model::open(kZoo + name), open_tokenizer(kZoo + name).get(), options);
}

Matrix random_rows(Index rows, Index cols, std::uint64_t seed) {
  Random random(seed);
  return synthetic::random_directions(rows, cols, random);
}

/// Of the shape of a large model; values random.
Signature large_signature(Index layers, Index width, Index tokens) {
  Signature s;
  s.model = "large";
  s.model_type = s.family = "llama";
  s.fingerprint = std::string(64, 'a');
  s.hidden_size = width;
  s.layers = layers;
  s.vocab_size = 32000;
  s.embedding_rms = 0.0123456789;
  s.left = random_rows(layers, width, 1);
  s.ffn_left = random_rows(layers, width, 2);
  s.singular_values = random_rows(layers, 2, 3);
  s.ffn_singular_values = random_rows(layers, 2, 4);
  Random random(5);
  std::set<std::uint64_t> hashes;
  while (std::ssize(hashes) < tokens) hashes.insert(random.next_u64());
  s.token_hashes.assign(hashes.begin(), hashes.end());
  s.token_left = random_rows(layers, tokens, 6);
  s.token_ffn_left = random_rows(layers, tokens, 7);
  s.token_dimension = 123.456;
  round_to_stored(s);
  return s;
}

void expect_same(const Matrix& a, const Matrix& b) {
  ASSERT_EQ(a.rows(), b.rows());
  ASSERT_EQ(a.cols(), b.cols());
  for (Index i = 0; i < a.rows() * a.cols(); ++i) ASSERT_EQ(a.data()[i], b.data()[i]) << i;
}

TEST(Signature, DirectionsAreThoseOfLapackOnTheExplicitCanonicalLayer) {
  for (const std::string name : {"llama-base", "gpt2-mini", "neox-mini"}) {
    const Model model = Model::open(kZoo + name);
    const Signature signature = signature_of(name);
    const Canonical canonical = canonical_of(model);
    EXPECT_EQ(canonical.centred, name != "llama-base");
    for (Index i = 0; i < model.config().layers; ++i) {
      const LinearizedLayer layer(model.layer(i), model.config(), {});
      const CanonicalFfn ffn(layer, canonical);
      const DenseSvd exact = dense_svd(form(CanonicalLayer(layer, canonical)));
      const DenseSvd exact_ffn = dense_svd(form(ffn));
      EXPECT_LT(acute_angle_degrees(signature.left.row(i), unit_direction(exact.left.row(0))), 0.1);
      EXPECT_LT(acute_angle_degrees(signature.ffn_left.row(i), unit_direction(exact_ffn.left.row(0))), 1);
      EXPECT_NEAR(signature.singular_values(i, 0), exact.values[0], 1e-4 * exact.values[0]);
      EXPECT_NEAR(signature.ffn_singular_values(i, 0), exact_ffn.values[0], 1e-4 * exact_ffn.values[0]);
    }
  }
}

TEST(Signature, InThePapersFormIsTheLayerAsTheAuthorsWriteIt) {
  const Model model = Model::open(kZoo + "llama-base");
  const Signature signature = signature_of("llama-base", {.form = SignatureForm::kPaper});
  const LinearizedLayer layer(model.layer(1), model.config(), {.paper_parity = true});
  const DenseSvd exact = dense_svd(form(layer.form(LinearForm::kLayer)));
  EXPECT_LT(acute_angle_degrees(signature.left.row(1), unit_direction(exact.left.row(0))), 0.1);
}

TEST(Signature, IsTheSameAtAnyNumberOfThreads) {
  const Signature one = signature_of("llama-base");
  const int before = thread_count();
  set_thread_count(3);
  const Signature three = signature_of("llama-base");
  set_thread_count(before);
  expect_same(one.left, three.left);
  expect_same(one.token_left, three.token_left);
}

TEST(Signature, WithoutATokenizerHasNoTokens) {
  const Signature signature = compute_signature(Model::open(kZoo + "llama-base"), nullptr, {});
  EXPECT_EQ(signature.tokens(), 0);
  EXPECT_EQ(signature.left.rows(), 6);
}

TEST(TokenSample, TwoVocabulariesShareWhatIsSampledOfBoth) {
  const auto tokenizer = open_tokenizer(kZoo + "llama-base");
  const TokenSample few = sample_tokens(*tokenizer, 1024, 100), more = sample_tokens(*tokenizer, 1024, 400);
  ASSERT_EQ(few.hashes.size(), 100u);
  EXPECT_TRUE(std::ranges::equal(few.hashes, std::span(more.hashes).first(100)));
  EXPECT_TRUE(std::ranges::is_sorted(few.hashes));
  // An embedding of fewer rows than the vocabulary has entries limits it.
  for (const TokenId id : sample_tokens(*tokenizer, 50, 400).ids) EXPECT_LT(id, 50);
}

/// q [d, d] orthogonal.
DoubleMatrix random_rotation(Index d) {
  const Matrix noise = random_rows(d, d, 9);
  DoubleMatrix square(d, d);
  std::copy_n(noise.data(), d * d, square.data());
  return dense_svd(square).left;
}

Matrix rotated(const Matrix& x, const DoubleMatrix& q) {
  Matrix out(x.rows(), x.cols());
  for (Index r = 0; r < x.rows(); ++r)
    for (Index c = 0; c < x.cols(); ++c) {
      double total = 0;
      for (Index k = 0; k < x.cols(); ++k) total += x(r, k) * q(k, c);
      out(r, c) = static_cast<float>(total);
    }
  return out;
}

TEST(TokenProjector, RotatingTheHiddenSpaceChangesNothing) {
  const Index d = 32;
  for (const Index n : {20, 60})  // fewer tokens than dimensions, and more
    for (const std::optional<double> ridge : {std::optional<double>(), {0.0}, {0.5}}) {
      const Matrix embedding = random_rows(n, d, 1), u = random_rows(2, d, 2);
      const DoubleMatrix q = random_rotation(d);
      const TokenProjector here(embedding, 3, ridge);
      const TokenProjector there(rotated(embedding, q), 3, ridge);
      const Matrix s = here.signatures(u), t = there.signatures(rotated(u, q));
      for (Index r = 0; r < 2; ++r) EXPECT_LT(acute_angle_degrees(s.row(r), t.row(r)), 0.01);
      EXPECT_NEAR(here.effective_dimension(), there.effective_dimension(), 1e-3);
      EXPECT_LE(here.effective_dimension(), static_cast<double>(std::min(n - 1, d) - 3) + 1e-9);
    }
}

TEST(TokenProjector, WhitenedItKeepsTheAnglesBetweenDirectionsAndCountsAllDimensions) {
  const Index d = 24, n = 80;
  Matrix embedding = random_rows(n, d, 1);
  for (Index token = 0; token < n; ++token)
    embedding(token, 3) *= 20;  // a dimension that outweighs the others
  const Matrix u = random_rows(2, d, 2);
  const double angle = acute_angle_degrees(u.row(0), u.row(1));
  const auto angle_under = [&](std::optional<double> ridge) {
    const Matrix s = TokenProjector(embedding, 0, ridge).signatures(u);
    return acute_angle_degrees(s.row(0), s.row(1));
  };
  EXPECT_NEAR(angle_under(0.0), angle, 1e-3);
  EXPECT_NEAR(TokenProjector(embedding, 0, 0.0).effective_dimension(), d, 1e-6);
  EXPECT_GT(std::abs(angle_under({}) - angle), 5);
  EXPECT_LT(TokenProjector(embedding, 0).effective_dimension(), 2);
  EXPECT_NEAR(angle_under(1e9), angle_under({}), 1e-3) << "a ridge above all eigenvalues whitens nothing";
}

TEST(PackedRows, TurnADirectionByLessThanOneAndAHalfDegrees) {
  Matrix rows = random_rows(3, 4096, 1);
  rows(1, 17) = 3;  // one massive dimension
  rows(2, 5) = 1, rows(2, 900) = -0.8f;
  make_rows_unit(rows);
  const Matrix back = unpack_rows(pack_rows(rows), 3, 4096);
  for (Index r = 0; r < 3; ++r) EXPECT_LT(acute_angle_degrees(rows.row(r), back.row(r)), 1.5);
}

TEST(SignatureFile, IsReadBackAsItWas) {
  const TemporaryFolder folder;
  const Signature s = signature_of("gpt2-mini");
  write_signature(s, folder / "a.sig.safetensors");
  EXPECT_TRUE(is_signature_file(folder / "a.sig.safetensors"));
  const Signature t = read_signature(folder / "a.sig.safetensors");
  EXPECT_EQ(t.model, "gpt2-mini");
  EXPECT_EQ(t.family, "gpt2");
  EXPECT_EQ(t.fingerprint, s.fingerprint);
  EXPECT_EQ(t.embedding_rms, s.embedding_rms);
  EXPECT_EQ(t.token_dimension, s.token_dimension);
  EXPECT_EQ(t.token_hashes, s.token_hashes);
  expect_same(t.left, s.left);
  expect_same(t.ffn_left, s.ffn_left);
  expect_same(t.singular_values, s.singular_values);
  expect_same(t.token_left, s.token_left);
  expect_same(t.token_ffn_left, s.token_ffn_left);
}

TEST(SignatureFile, OfAModelOf32LayersAndWidth4096IsUnder512Kilobytes) {
  const TemporaryFolder folder;
  write_signature(large_signature(32, 4096, 1024), folder / "a.sig.safetensors");
  EXPECT_LT(std::filesystem::file_size(folder / "a.sig.safetensors"), 512'000u);
}

class DamagedSignature : public testing::Test {
 protected:
  DamagedSignature() {
    write_signature(large_signature(3, 16, 40), path_);
    bytes_ = read_file(path_);
  }
  std::string message_after(const std::string& bytes) {
    write_file(path_, bytes);
    return bad_input_message([&] { read_signature(path_); });
  }
  /// Written by the ordinary writer from what was changed, so that the checksum fits.
  template <typename Change>
  std::string message_of(Change change) {
    Signature s = large_signature(3, 16, 40);
    change(s);
    write_signature(s, path_);
    return bad_input_message([&] { read_signature(path_); });
  }
  /// One piece of the header's text by another of the same length.
  std::string replaced(const std::string& from, const std::string& to) const {
    std::string changed = bytes_;
    EXPECT_EQ(from.size(), to.size());
    EXPECT_NE(changed.find(from), changed.npos);
    return changed.replace(changed.find(from), from.size(), to);
  }
  TemporaryFolder folder_;
  std::filesystem::path path_ = folder_ / "x.sig.safetensors";
  std::string bytes_;
};

TEST_F(DamagedSignature, TruncatedIsRefusedWhereverItIsCut) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{5}, std::size_t{200}, bytes_.size() - 1})
    EXPECT_THAT(message_after(bytes_.substr(0, size)), HasSubstr("x.sig.safetensors")) << size;
}

TEST_F(DamagedSignature, InMemoryTheSameBytesAreReadAndRefusedAlike) {
  EXPECT_EQ(signature_bytes(large_signature(3, 16, 40)), bytes_);
  expect_same(signature_of_bytes(bytes_, "stored").left, read_signature(path_).left);
  EXPECT_THAT(bad_input_message([&] { signature_of_bytes(bytes_.substr(0, bytes_.size() - 1), "stored"); }),
              HasSubstr("stored"));
}

TEST_F(DamagedSignature, ANewerSchemaIsNamed) {
  EXPECT_THAT(message_after(replaced("\"version\":\"2\"", "\"version\":\"7\"")),
              testing::AllOf(HasSubstr("newer schema"), HasSubstr("7"), HasSubstr("update defectoscope")));
}

TEST_F(DamagedSignature, AnyEditIsFoundByTheChecksum) {
  EXPECT_THAT(message_after(replaced("\"model\":\"large\"", "\"model\":\"other\"")), HasSubstr("sha256"));
  std::string changed = bytes_;
  changed.back() = static_cast<char>(changed.back() ^ 1);
  EXPECT_THAT(message_after(changed), HasSubstr("changed after it was written"));
}

TEST_F(DamagedSignature, DirectionsThatAreNotFiniteOrNotUnitAreRefusedEvenWithAFittingChecksum) {
  EXPECT_THAT(message_of([](Signature& s) { s.left(1, 3) = std::numeric_limits<float>::quiet_NaN(); }),
              testing::AllOf(HasSubstr("left, layer 2"), HasSubstr("nan")));
  EXPECT_THAT(message_of([](Signature& s) { s.left(2, 3) = 7; }), HasSubstr("left, layer 3"));
  EXPECT_THAT(
      message_of([](Signature& s) { s.singular_values(0, 0) = std::numeric_limits<float>::infinity(); }),
      HasSubstr("singular_values"));
  EXPECT_THAT(message_of([](Signature& s) { s.token_hashes[0] = s.token_hashes[1]; }),
              HasSubstr("ascending"));
  EXPECT_THAT(message_of([](Signature& s) { s.layers = 4; }), HasSubstr("left"));
}

TEST_F(DamagedSignature, AnotherSafetensorsFileIsNoSignature) {
  write_safetensors(path_, {testing_files::counting_tensor("w", {2, 2})});
  EXPECT_FALSE(is_signature_file(path_));
  EXPECT_THAT(bad_input_message([&] { read_signature(path_); }), HasSubstr("no signature"));
}

}  // namespace
}  // namespace defectoscope
