#include "synthesis/phantom_codes.h"

#include <gtest/gtest.h>

namespace defectoscope {
namespace {

TEST(TokenCodes, AreBalancedAndNoTwoAreNearerThanPromised) {
  for (const Index length : {32, 48, 64, 128}) {
    const TokenCodes codes(512, length, 9);
    EXPECT_LT(codes.largest_product(), length);
    for (Index a = 0; a < 512; ++a) {
      Index total = 0;
      for (Index i = 0; i < length; ++i) total += codes.sign(a, i);
      EXPECT_EQ(total, 0);
      for (Index b = 0; b < a; ++b) {
        Index product = 0;
        for (Index i = 0; i < length; ++i) product += codes.sign(a, i) * codes.sign(b, i);
        ASSERT_LE(product, codes.largest_product()) << a << ", " << b;
      }
    }
  }
}

TEST(TokenCodes, LargeVocabulariesAreQuick) {
  const TokenCodes codes(128256, 128, 1);
  EXPECT_LE(codes.largest_product(), 64);
}

}  // namespace
}  // namespace defectoscope
