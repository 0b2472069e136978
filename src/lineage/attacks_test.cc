#include "lineage/attacks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "base/error.h"
#include "base/files.h"
#include "checkpoint/test_files.h"
#include "forward/transformer.h"
#include "lineage/compare.h"

namespace defectoscope {
namespace {

using testing::HasSubstr;
using testing_files::TemporaryFolder;

const std::string kZoo = DEFECTOSCOPE_SOURCE_DIR "/zoo/";

EditableModel editable(const std::string& name) { return EditableModel(Model::open(kZoo + name)); }

void attack(EditableModel& model, std::string_view text, EditableModel* other = nullptr) {
  const ChosenAttack chosen = parse_attack(text);
  Random random(7);
  chosen.attack->apply(model, {chosen.strength, random, other});
}

Matrix logits_of(const Model& model) {
  const Transformer transformer(model);
  const Batch batch(std::vector<TokenIds>{{3, 500, 17, 900, 256, 42, 7, 301}, {1000, 2, 77}});
  const Matrix states = transformer.final_states(batch);
  Matrix logits(states.rows(), model.config().vocab_size);
  transformer.logits(states, logits);
  return logits;
}

double relative_difference(const Matrix& x, const Matrix& y) {
  double difference = 0, size = 0;
  for (Index i = 0; i < x.rows() * x.cols(); ++i) {
    difference += std::pow(static_cast<double>(x.data()[i]) - static_cast<double>(y.data()[i]), 2);
    size += std::pow(static_cast<double>(y.data()[i]), 2);
  }
  return std::sqrt(difference / size);
}

Signature signature_of(const std::filesystem::path& folder, SignatureForm form = SignatureForm::kCanonical) {
  return compute_signature(Model::open(folder), open_tokenizer(folder).get(), {.form = form});
}

TEST(Attacks, FunctionPreservingOnesPreserveLogits) {
  for (const std::string name : {"llama-base", "gpt2-mini", "neox-mini"}) {
    const Matrix before = logits_of(Model::open(kZoo + name));
    for (const Attack& a : attacks()) {
      if (!a.preserves_function) continue;
      EditableModel model = editable(name);
      try {
        attack(model, a.name);
      } catch (const Error& refused) {
        EXPECT_NE(name, "llama-base") << a.name << ": " << refused.what();
        EXPECT_EQ(refused.kind(), ErrorKind::kUsage);
        continue;
      }
      const TemporaryFolder folder;
      model.write(folder / "out");
      EXPECT_LT(relative_difference(logits_of(Model::open(folder / "out")), before), 1e-4)
          << name << " " << a.name;
    }
  }
}

TEST(Attacks, DamagingOnesChangeLogitsAndMoreWithStrength) {
  const Matrix before = logits_of(Model::open(kZoo + "llama-base"));
  EditableModel other = editable("llama-seed2");
  const auto change = [&](const std::string& text) {
    EditableModel model = editable("llama-base");
    attack(model, text, &other);
    const TemporaryFolder folder;
    model.write(folder / "out");
    return relative_difference(logits_of(Model::open(folder / "out")), before);
  };
  for (const auto& [weak, strong] :
       std::vector<std::pair<std::string, std::string>>{{"noise:0.01", "noise:0.2"},
                                                        {"quantize:8", "quantize:4"},
                                                        {"prune:0.1", "prune:0.5"},
                                                        {"interpolate:0.05", "interpolate:0.5"},
                                                        {"vocabulary-shuffle:0.1", "vocabulary-shuffle:1"}}) {
    EXPECT_GT(change(weak), 1e-5) << weak;
    EXPECT_GT(change(strong), 2 * change(weak)) << strong;
  }
  EXPECT_GT(change("drop-layers:1"), 1e-3);
  EXPECT_GT(change("duplicate-layers:2"), 1e-3);
}

TEST(Attacks, LayersAreDroppedAndDuplicatedInTheMiddle) {
  EditableModel dropped = editable("llama-base"), doubled = editable("llama-base");
  attack(dropped, "drop-layers:2");
  attack(doubled, "duplicate-layers:2");
  const TemporaryFolder folder;
  dropped.write(folder / "dropped");
  doubled.write(folder / "doubled");
  const Model base = Model::open(kZoo + "llama-base"), four = Model::open(folder / "dropped"),
              eight = Model::open(folder / "doubled");
  ASSERT_EQ(four.config().layers, 4);
  ASSERT_EQ(eight.config().layers, 8);
  const auto same = [&](const Model& model, Index layer, Index of_base) {
    return model.layer(layer).ffn.down.weight.at(3, 5) == base.layer(of_base).ffn.down.weight.at(3, 5);
  };
  EXPECT_TRUE(same(four, 1, 1) && same(four, 2, 4) && same(four, 3, 5));
  EXPECT_TRUE(same(eight, 2, 2) && same(eight, 4, 2) && same(eight, 5, 3) && same(eight, 7, 5));
}

TEST(Attacks, FunctionPreservingOnesDoNotHideTheOrigin) {
  const Signature base = signature_of(kZoo + "llama-base");
  for (const Attack& a : attacks()) {
    if (!a.preserves_function) continue;
    EditableModel model = editable("llama-base-ft-full");
    attack(model, a.name);
    const TemporaryFolder folder;
    model.write(folder / "out");
    const Comparison c = compare(base, signature_of(folder / "out"));
    EXPECT_EQ(c.verdict, Verdict::kRelated) << a.name;
    EXPECT_LT(*c.log_p, std::log(1e-4)) << a.name;
  }
}

TEST(Attacks, CanonicalDirectionsStandStillWhereThePapersMove) {
  // gain folding and residual scaling: directions of layers whose leading direction is well defined.
  for (const char* text : {"gain-folding", "residual-scaling"}) {
    EditableModel model = editable("llama-base");
    attack(model, text);
    const TemporaryFolder folder;
    model.write(folder / "out");
    const auto largest_angle = [&](SignatureForm form) {
      const Comparison c =
          compare(signature_of(kZoo + "llama-base", form), signature_of(folder / "out", form));
      return *std::ranges::max_element(c.evidence[0].angles_degrees);
    };
    EXPECT_LT(largest_angle(SignatureForm::kCanonical), 0.2) << text;
    EXPECT_GT(largest_angle(SignatureForm::kPaper), 5) << text;
  }
}

TEST(Attacks, WhatAFamilyDoesNotAllowIsRefusedWithTheReason) {
  const auto reason = [](const char* text) -> std::string {
    EditableModel model = editable("gpt2-mini");
    try {
      attack(model, text);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUsage);
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(reason("rotation"), HasSubstr("LayerNorm"));
  EXPECT_THAT(reason("up-down-rescaling"), HasSubstr("not homogeneous"));
  EXPECT_THAT(reason("interpolate"), HasSubstr("--with"));
  EXPECT_THAT(reason("noise:-1"), HasSubstr("out of range"));
  EXPECT_THAT(reason("drop-layers:6"), HasSubstr("1 to 5"));
  EXPECT_THAT(reason("rotaton"), HasSubstr("one of hidden-permutation"));
  EXPECT_THAT(reason("noise:x"), HasSubstr("noise:NUMBER"));
  EXPECT_THAT(reason("rotation:2"), HasSubstr("no strength"));
}

TEST(Attacks, AFolderThatHoldsFilesIsLeftAlone) {
  const TemporaryFolder folder;
  write_file(folder / "config.json", "mine");
  EXPECT_THROW(editable("llama-base").write(folder.path()), Error);
  EXPECT_EQ(read_file(folder / "config.json"), "mine");
}

}  // namespace
}  // namespace defectoscope
