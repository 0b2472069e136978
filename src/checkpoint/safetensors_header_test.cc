#include "checkpoint/safetensors_header.h"

#include <gmock/gmock.h>

#include <cstring>

#include "checkpoint/test_files.h"

namespace defectoscope {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing_files::bad_input_message;
using testing_files::raw_safetensors;

SafetensorsHeader parse(const std::string& file) {
  return parse_safetensors_header(std::as_bytes(std::span(file)), "m.safetensors");
}

std::string refusal(const std::string& file) {
  const std::string message = bad_input_message([&] { parse(file); });
  EXPECT_THAT(message, HasSubstr("file: m.safetensors"));
  return message;
}

/// One tensor "t" with the given description, and 16 bytes of data.
std::string refusal_of_tensor(const std::string& description) {
  return refusal(raw_safetensors("{\"t\": " + description + "}", 16));
}

TEST(SafetensorsHeader, ListsTensorsInTheOrderOfTheirDataAndMetadata) {
  const SafetensorsHeader header = parse(raw_safetensors(R"({"__metadata__": {"format": "pt"},
        "b": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [4, 16]},
        "a": {"shape": [], "data_offsets": [0, 4], "dtype": "F32"},
        "none": {"dtype": "F16", "shape": [0, 7], "data_offsets": [4, 4]}})",
                                                         16));
  ASSERT_EQ(header.tensors.size(), 3u);
  EXPECT_EQ(header.tensors[0].name, "a");
  EXPECT_THAT(header.tensors[0].shape, IsEmpty());
  EXPECT_EQ(header.tensors[1].name, "none");
  EXPECT_EQ(header.tensors[2].name, "b");
  EXPECT_EQ(header.tensors[2].dtype, DType::kBF16);
  EXPECT_THAT(header.tensors[2].shape, ElementsAre(2, 3));
  EXPECT_EQ(header.metadata.at("format"), "pt");
}

TEST(SafetensorsHeader, ReadsEveryDTypeByItsOwnName) {
  for (const DType type :
       {DType::kF64, DType::kF32, DType::kF16, DType::kBF16, DType::kF8E4M3, DType::kF8E5M2, DType::kI64,
        DType::kI32, DType::kI16, DType::kI8, DType::kU8, DType::kBool}) {
    const auto bytes = static_cast<std::size_t>(dtype_size(type));
    const SafetensorsHeader header = parse(
        raw_safetensors("{\"t\": {\"dtype\": \"" + std::string(safetensors_dtype(type)) +
                            "\", \"shape\": [1], \"data_offsets\": [0, " + std::to_string(bytes) + "]}}",
                        bytes));
    EXPECT_EQ(header.tensors.at(0).dtype, type);
  }
}

TEST(SafetensorsHeader, AFileOfFewerThanEightBytesIsRefused) {
  EXPECT_THAT(refusal(""), AllOf(HasSubstr("too short"), HasSubstr("got: 0")));
  EXPECT_THAT(refusal("1234567"), HasSubstr("got: 7"));
}

TEST(SafetensorsHeader, AHeaderLongerThanTheFileIsRefused) {
  std::string file = raw_safetensors("{}", 10);
  file[0] = 100;
  EXPECT_THAT(refusal(file), AllOf(HasSubstr("header longer than the file"), HasSubstr("at most 12 bytes"),
                                   HasSubstr("got: 100"), HasSubstr("cut off")));
}

TEST(SafetensorsHeader, AClaimedHeaderOfAGigabyteIsRefusedUnread) {
  std::string file = raw_safetensors("{}");
  const std::uint64_t length = 1'000'000'000;
  std::memcpy(file.data(), &length, sizeof length);
  EXPECT_THAT(refusal(file), AllOf(HasSubstr("header too long"), HasSubstr("got: 1000000000")));
  std::memset(file.data(), 0xff, sizeof length);
  EXPECT_THAT(refusal(file), HasSubstr("header too long"));
}

TEST(SafetensorsHeader, WhatIsNotJsonIsRefused) {
  EXPECT_THAT(refusal(raw_safetensors("{\"t\": ")), HasSubstr("not valid JSON"));
  EXPECT_THAT(refusal(raw_safetensors("")), HasSubstr("not valid JSON"));
  EXPECT_THAT(refusal(raw_safetensors("[1]")), HasSubstr("the header is no object"));
  EXPECT_THAT(refusal(raw_safetensors("7")), HasSubstr("the header is no object"));
  EXPECT_THAT(refusal(raw_safetensors("{} {}")), HasSubstr("not valid JSON"));
}

TEST(SafetensorsHeader, DuplicateTensorsAreRefused) {
  const std::string one = R"("t": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]})";
  EXPECT_THAT(refusal(raw_safetensors("{" + one + "," + one + "}", 4)),
              AllOf(HasSubstr("duplicate key"), HasSubstr("tensor: t")));
}

TEST(SafetensorsHeader, DuplicateKeysOfATensorAreRefused) {
  EXPECT_THAT(refusal_of_tensor(R"({"dtype": "F32", "shape": [4], "shape": [4], "data_offsets": [0, 16]})"),
              AllOf(HasSubstr("duplicate key"), HasSubstr("tensor: t"), HasSubstr("a second \"shape\"")));
}

TEST(SafetensorsHeader, AnUnknownDTypeIsRefusedAndTheKnownAreListed) {
  EXPECT_THAT(
      refusal_of_tensor(R"({"dtype": "F17", "shape": [4], "data_offsets": [0, 16]})"),
      AllOf(HasSubstr("unknown dtype"), HasSubstr("tensor: t"), HasSubstr("BF16"), HasSubstr("got: F17")));
}

TEST(SafetensorsHeader, ANegativeShapeIsRefused) {
  EXPECT_THAT(refusal_of_tensor(R"({"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]})"),
              AllOf(HasSubstr("wrong shape"), HasSubstr("tensor: t"), HasSubstr("got: -4")));
}

TEST(SafetensorsHeader, AFractionalOrHugeShapeIsRefused) {
  EXPECT_THAT(refusal_of_tensor(R"({"dtype": "F32", "shape": [0.5], "data_offsets": [0, 16]})"),
              HasSubstr("got: 0.5"));
  EXPECT_THAT(
      refusal_of_tensor(R"({"dtype": "F32", "shape": [18446744073709551615], "data_offsets": [0, 16]})"),
      HasSubstr("got: 18446744073709551615"));
  EXPECT_THAT(refusal_of_tensor(R"({"dtype": "F32", "shape": [1e300], "data_offsets": [0, 16]})"),
              HasSubstr("wrong shape"));
}

TEST(SafetensorsHeader, AShapeWhoseProductOverflowsIsRefused) {
  EXPECT_THAT(
      refusal_of_tensor(R"({"dtype": "F32", "shape": [4294967296, 4294967296], "data_offsets": [0, 16]})"),
      AllOf(HasSubstr("shape overflows"), HasSubstr("got: [4294967296, 4294967296]")));
  EXPECT_THAT(
      refusal_of_tensor(R"({"dtype": "F32", "shape": [4294967296, 4294967296, 0], "data_offsets": [0, 0]})"),
      HasSubstr("shape overflows"));
}

TEST(SafetensorsHeader, TooManyDimensionsAreRefused) {
  std::string shape = "1";
  for (int i = 0; i < 40; ++i) shape += ",1";
  EXPECT_THAT(refusal_of_tensor(R"({"dtype": "U8", "shape": [)" + shape + R"(], "data_offsets": [0, 1]})"),
              HasSubstr("too many dimensions"));
}

TEST(SafetensorsHeader, OffsetsThatDoNotMatchShapeAndDTypeAreRefused) {
  EXPECT_THAT(refusal_of_tensor(R"({"dtype": "F32", "shape": [3], "data_offsets": [0, 16]})"),
              AllOf(HasSubstr("do not match dtype and shape"), HasSubstr("12 bytes for F32 [3]"),
                    HasSubstr("got: 16 bytes, [0, 16]")));
}

TEST(SafetensorsHeader, OffsetsOutsideTheFileAreRefused) {
  EXPECT_THAT(refusal_of_tensor(R"({"dtype": "F32", "shape": [5], "data_offsets": [0, 20]})"),
              AllOf(HasSubstr("outside the file"), HasSubstr("at most 16 bytes"), HasSubstr("[0, 20]"),
                    HasSubstr("cut off")));
}

TEST(SafetensorsHeader, OffsetsThatEndBeforeTheyBeginAreRefused) {
  EXPECT_THAT(refusal_of_tensor(R"({"dtype": "F32", "shape": [4], "data_offsets": [16, 0]})"),
              HasSubstr("end before they begin"));
}

TEST(SafetensorsHeader, OffsetsOfAnotherCountThanTwoAreRefused) {
  EXPECT_THAT(refusal_of_tensor(R"({"dtype": "F32", "shape": [4], "data_offsets": [16]})"),
              AllOf(HasSubstr("wrong data_offsets"), HasSubstr("got: 1 numbers")));
  EXPECT_THAT(refusal_of_tensor(R"({"dtype": "F32", "shape": [4], "data_offsets": "all"})"),
              HasSubstr("wrong data_offsets"));
  EXPECT_THAT(refusal_of_tensor(R"({"dtype": "F32", "shape": [4], "data_offsets": [-1, 15]})"),
              HasSubstr("got: -1"));
}

TEST(SafetensorsHeader, OverlappingTensorsAreRefused) {
  EXPECT_THAT(refusal(raw_safetensors(R"({"a": {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]},
                                         "b": {"dtype": "U8", "shape": [8], "data_offsets": [4, 12]}})",
                                      12)),
              AllOf(HasSubstr("overlap"), HasSubstr("tensor: b"), HasSubstr("data after those of a")));
}

TEST(SafetensorsHeader, HolesAndBytesAfterTheLastTensorAreRefused) {
  EXPECT_THAT(
      refusal(raw_safetensors(R"({"a": {"dtype": "U8", "shape": [4], "data_offsets": [8, 12]}})", 12)),
      AllOf(HasSubstr("hole in the data"), HasSubstr("tensor: a")));
  EXPECT_THAT(
      refusal(raw_safetensors(R"({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}})", 12)),
      AllOf(HasSubstr("after the last tensor"), HasSubstr("expected: 4 bytes"), HasSubstr("got: 12")));
}

TEST(SafetensorsHeader, AMissingKeyIsNamed) {
  EXPECT_THAT(
      refusal_of_tensor(R"({"dtype": "F32", "shape": [4]})"),
      AllOf(HasSubstr("a key is missing"), HasSubstr("tensor: t"), HasSubstr("expected: data_offsets")));
}

TEST(SafetensorsHeader, UnknownKeysAndNestedValuesAreRefused) {
  EXPECT_THAT(refusal_of_tensor(R"({"dtype": "F32", "shape": [4], "data_offsets": [0, 16], "stride": [1]})"),
              AllOf(HasSubstr("unknown key"), HasSubstr("stride")));
  EXPECT_THAT(refusal_of_tensor(R"({"dtype": {"a": 1}, "shape": [4], "data_offsets": [0, 16]})"),
              HasSubstr("wrong dtype"));
  EXPECT_THAT(refusal_of_tensor(R"({"dtype": "F32", "shape": [[4]], "data_offsets": [0, 16]})"),
              HasSubstr("wrong shape"));
  EXPECT_THAT(refusal_of_tensor("3"), HasSubstr("a tensor is no object"));
  EXPECT_THAT(refusal(raw_safetensors(R"({"__metadata__": {"a": 3}})")), HasSubstr("__metadata__"));
}

}  // namespace
}  // namespace defectoscope
