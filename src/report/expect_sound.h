#pragma once

#include <gtest/gtest.h>

#include "report/analysis_report.h"
#include "report/test_schema.h"

namespace defectoscope {

/// For tests: the JSON keeps its schema, the sections keep their rules, there is a summary.
inline void expect_sound(const AnalysisOutput& output) {
  EXPECT_EQ(schema_complaints(output.json, output.name + ".schema.json"), "");
  EXPECT_NO_THROW(check_sections(output.sections));
  ASSERT_FALSE(output.sections.empty());
  ASSERT_FALSE(output.summary.empty());
  EXPECT_EQ(output.summary.back(), '\n');
}

}  // namespace defectoscope
