#include "analysis/training.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "analysis/test_zoo.h"
#include "base/error.h"

namespace defectoscope {
namespace {

/// A checkpoint whose direction lies `degrees` from the first axis; none where negative.
ScanResult planted(const std::string& name, double degrees) {
  ScanResult scan;
  scan.model_name = name;
  scan.family = "llama";
  scan.layers = 2;
  scan.hidden_size = 2;
  if (degrees < 0) return scan;
  const double radians = degrees * 3.14159265358979 / 180;
  scan.high_norm.count = 10;
  scan.high_norm.direction = {static_cast<float>(std::cos(radians)), static_cast<float>(std::sin(radians))};
  return scan;
}

TEST(Training, AnglesAreThoseBetweenPlantedDirections) {
  const std::vector<ScanResult> run{planted("s0", -1), planted("s1", 60), planted("s2", 12), planted("s3", 4),
                                    planted("s4", 0)};
  const Training training = follow_training(run);
  EXPECT_FALSE(training.points[1].to_previous_degrees);
  EXPECT_FALSE(training.points[0].to_last_degrees);
  EXPECT_NEAR(*training.points[2].to_previous_degrees, 48, 1e-4);
  EXPECT_NEAR(*training.points[3].to_previous_degrees, 8, 1e-4);
  EXPECT_NEAR(*training.points[1].to_last_degrees, 60, 1e-4);
  EXPECT_EQ(training.appears, 1u);
  EXPECT_EQ(training.settles, 2u);
}

TEST(Training, WhatVanishesAgainHasNotAppeared) {
  const std::vector<ScanResult> lost{planted("s0", 0), planted("s1", -1)};
  EXPECT_FALSE(follow_training(lost).appears);
  EXPECT_FALSE(follow_training(lost).settles);
  const std::vector<ScanResult> back{planted("s0", 0), planted("s1", -1), planted("s2", 0)};
  EXPECT_EQ(follow_training(back).appears, 2u);
}

TEST(Training, LlamaBaseLearnsItsDirectionAndKeepsIt) {
  std::vector<ScanResult> run;
  for (const char* step : {"0", "50", "100", "200", "400", "800", "1600", "2400"})
    run.push_back(testing_zoo::ZooModel("llama-base-ckpt-" + std::string(step)).scan_states());
  const Training training = follow_training(run);
  ASSERT_EQ(training.points.size(), 8u);
  EXPECT_EQ(training.points[4].step, 400);
  EXPECT_FALSE(training.points.front().has_high_norms);
  ASSERT_TRUE(training.appears);
  EXPECT_LE(*training.points[*training.appears].step, 200);
  // The run ends nearer to its last direction than it was in its first third, and far stronger.
  EXPECT_LT(*training.points[6].to_last_degrees, 25);
  EXPECT_GT(*training.points[*training.appears].to_last_degrees, 2 * *training.points[6].to_last_degrees);
  EXPECT_GT(training.points.back().median_ratio, 3 * training.points[*training.appears].median_ratio);
}

TEST(Training, OneCheckpointOrUnlikeShapesAreRefused) {
  const std::vector<ScanResult> one{planted("a", 0)};
  EXPECT_THROW(follow_training(one), Error);
  std::vector<ScanResult> unlike{planted("a", 0), planted("b", 0)};
  unlike[1].hidden_size = 3;
  try {
    follow_training(unlike);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBadInput);
    EXPECT_NE(std::string(error.what()).find("unlike shapes"), std::string::npos);
  }
}

TEST(Training, NamesSortByTheNumbersInThem) {
  std::vector<std::string> names{"step10", "step9", "step1000", "step9b", "step09"};
  std::ranges::sort(names, natural_less);
  EXPECT_EQ(names, (std::vector<std::string>{"step09", "step9", "step9b", "step10", "step1000"}));
  EXPECT_EQ(trailing_number("llama-ckpt-0400"), 400);
  EXPECT_FALSE(trailing_number("llama"));
  EXPECT_FALSE(trailing_number("step99999999999999999999999"));
}

}  // namespace
}  // namespace defectoscope
