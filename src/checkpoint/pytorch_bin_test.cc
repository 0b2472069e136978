#include "checkpoint/pytorch_bin.h"

#include <gmock/gmock.h>

#include "base/files.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/pickle.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/test_files.h"
#include "checkpoint/test_zip.h"
#include "checkpoint/zip_archive.h"

namespace defectoscope {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;
using testing_files::bad_input_message;
using testing_files::counting_tensor;
using testing_files::TemporaryFolder;
using namespace testing_zip;

std::string message_of_pickle(const std::string& pickle) {
  const std::string message =
      bad_input_message([&] { read_state_dict(std::as_bytes(std::span(pickle)), "m.bin"); });
  EXPECT_THAT(message, HasSubstr("m.bin"));
  return message;
}

/// The refusal of a state dict with one tensor "t".
std::string message_of_tensor(std::int64_t elements, std::int64_t offset,
                              const std::vector<std::int64_t>& shape,
                              const std::vector<std::int64_t>& strides) {
  return message_of_pickle(pickle_of("t", tensor(elements, offset, shape, strides)));
}

class PytorchBin : public testing::Test {
 protected:
  void write(const std::string& bytes, const char* name = "pytorch_model.bin") {
    write_file(folder_ / name, bytes);
  }
  /// A file of one tensor "t" of 6 values 0 .. 5 in storage "0".
  static std::vector<ZipMember> members(const std::string& pickle) {
    std::string storage;
    for (int i = 0; i < 6; ++i) put(storage, static_cast<float>(i));
    return {{"m/data.pkl", pickle}, {"m/byteorder", "little"}, {"m/data/0", storage}, {"m/version", "3\n"}};
  }
  std::shared_ptr<const Checkpoint> open() { return open_checkpoint(folder_.path()); }
  std::string refusal() {
    return bad_input_message([&] { open(); });
  }
  TemporaryFolder folder_;
};

TEST_F(PytorchBin, WhatTorchWroteIsReadBothProtocols) {
  for (const char* file : {"torch.bin", "torch_protocol4.bin"}) {
    const auto source = std::filesystem::path(DEFECTOSCOPE_SOURCE_DIR) / "src/checkpoint/testdata" / file;
    std::filesystem::copy_file(source, folder_ / "pytorch_model.bin",
                               std::filesystem::copy_options::overwrite_existing);
    const auto checkpoint = open();
    EXPECT_THAT(checkpoint->names(), ElementsAre("bias", "column", "empty", "half", "mask", "scalar", "slice",
                                                 "transposed", "weight"));
    EXPECT_THAT(to_f32(*checkpoint->find("weight")), ElementsAre(0, 1, 2, 3, 4, 5));
    EXPECT_THAT(to_f32(*checkpoint->find("transposed")), ElementsAre(0, 3, 1, 4, 2, 5));
    EXPECT_THAT(checkpoint->find("transposed")->shape, ElementsAre(3, 2));
    EXPECT_THAT(to_f32(*checkpoint->find("slice")), ElementsAre(5, 6, 7, 8, 9, 10, 11, 12, 13, 14));
    EXPECT_THAT(to_f32(*checkpoint->find("column")), ElementsAre(2, 7, 12, 17));
    EXPECT_EQ(checkpoint->find("bias")->dtype, DType::kBF16);
    EXPECT_THAT(to_f32(*checkpoint->find("bias")), ElementsAre(0, 1));
    EXPECT_EQ(checkpoint->find("half")->dtype, DType::kF16);
    EXPECT_EQ(checkpoint->find("mask")->dtype, DType::kBool);
    EXPECT_THAT(checkpoint->find("scalar")->shape, SizeIs(0));
    EXPECT_EQ(checkpoint->find("scalar")->dtype, DType::kI64);
    EXPECT_THAT(checkpoint->find("empty")->shape, ElementsAre(0, 3));
    EXPECT_EQ(checkpoint->file_of("weight"), folder_ / "pytorch_model.bin");
    // In place: a slice of a storage begins within it.
    EXPECT_EQ(checkpoint->find("slice")->data, checkpoint->find("half")->data + 5 * 2);
  }
}

TEST_F(PytorchBin, TheSameWeightsHaveTheFingerprintOfTheirSafetensors) {
  write(make_zip(members(pickle_of("t", tensor(6, 0, {2, 3}, {3, 1})))).bytes);
  TemporaryFolder other;
  write_safetensors(other / "model.safetensors", {counting_tensor("t", {2, 3})});
  EXPECT_EQ(fingerprint(*open()), fingerprint(*open_checkpoint(other.path())));
  EXPECT_EQ(fingerprint(*open(), true), fingerprint(*open_checkpoint(other.path()), true));
}

TEST_F(PytorchBin, SafetensorsGoFirst) {
  write("neither zip nor pickle");
  write_safetensors(folder_ / "model.safetensors", {counting_tensor("a", {2})});
  EXPECT_THAT(open()->names(), ElementsAre("a"));
}

TEST_F(PytorchBin, ShardsAreReadByTheirIndex) {
  write(make_zip(members(pickle_of("a", tensor(6, 0, {6}, {1})))).bytes, "pytorch_model-00001-of-00002.bin");
  write(make_zip(members(pickle_of("b", tensor(6, 1, {2}, {1})))).bytes, "pytorch_model-00002-of-00002.bin");
  write("an optimizer", "optimizer.bin");
  EXPECT_THAT(open()->names(), ElementsAre("a", "b"));  // without the index: all that are called so
  write(
      R"({"weight_map": {"a": "pytorch_model-00001-of-00002.bin", "b": "pytorch_model-00002-of-00002.bin"}})",
      "pytorch_model.bin.index.json");
  EXPECT_THAT(to_f32(*open()->find("b")), ElementsAre(1, 2));
  std::filesystem::remove(folder_ / "pytorch_model-00002-of-00002.bin");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("shard missing"), HasSubstr("pytorch_model-00002-of-00002.bin")));
}

TEST_F(PytorchBin, OlderFormatsSayWhatToDo) {
  write(std::string("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20j\xa8P\x19.", 15) + std::string(400, 'x'));
  EXPECT_THAT(refusal(), AllOf(HasSubstr("before 1.6"), HasSubstr("torch.save")));
  write(std::string(257, 'a') + "ustar" + std::string(300, '\0'));
  EXPECT_THAT(refusal(), HasSubstr("before 1.6"));
  write("version https://git-lfs.github.com/spec/v1\n");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("not a PyTorch file"), HasSubstr("git-lfs")));
}

TEST_F(PytorchBin, AStorageMissingShortOrCompressedIsRefused) {
  const std::string pickle = pickle_of("t", tensor(6, 0, {2, 3}, {3, 1}));
  std::vector<ZipMember> all = members(pickle);
  all.erase(all.begin() + 2);
  write(make_zip(all).bytes);
  EXPECT_THAT(refusal(), AllOf(HasSubstr("zip member missing"), HasSubstr("m/data/0")));
  all = members(pickle);
  all[2].data.pop_back();
  write(make_zip(all).bytes);
  EXPECT_THAT(refusal(),
              AllOf(HasSubstr("storage is shorter"), HasSubstr("tensor: t"), HasSubstr("23 bytes")));
  all = members(pickle);
  all[2].method = 8;
  write(make_zip(all).bytes);
  EXPECT_THAT(refusal(), AllOf(HasSubstr("compressed"), HasSubstr("m/data/0")));
  all = members(pickle);
  all[1].data = "big";
  write(make_zip(all).bytes);
  EXPECT_THAT(refusal(), HasSubstr("big-endian"));
  write(make_zip({{"a.txt", "x"}}).bytes);
  EXPECT_THAT(refusal(), HasSubstr("zip file without a state dict"));
}

TEST_F(PytorchBin, EveryTruncationIsRefused) {
  const std::string whole = make_zip(members(pickle_of("t", tensor(6, 0, {2, 3}, {3, 1})))).bytes;
  write(whole);
  for (std::size_t size = whole.size(); size-- > 0;) {
    std::filesystem::resize_file(folder_ / "pytorch_model.bin", size);
    EXPECT_THAT(refusal(), HasSubstr("pytorch_model.bin")) << size;
  }
}

TEST(ZipArchive, SpoiledDirectoriesAreRefused) {
  const auto refusal = [](const std::string& bytes) {
    return bad_input_message([&] {
      const ZipArchive archive(std::as_bytes(std::span(bytes)), "m.zip");
      archive.data("a");
    });
  };
  const Zip zip = make_zip({{"a", "12345678"}, {"b", "x"}});
  const auto with = [&](std::size_t at, auto value) {
    std::string bytes = zip.bytes;
    bytes.replace(at, sizeof value, reinterpret_cast<const char*>(&value), sizeof value);
    return bytes;
  };
  EXPECT_THAT(refusal(with(zip.end + 16, std::uint32_t{1} << 30)), HasSubstr("directory lies outside"));
  EXPECT_THAT(refusal(with(zip.end + 12, std::uint32_t{0xfffffff0})), HasSubstr("directory lies outside"));
  EXPECT_THAT(refusal(with(zip.end + 10, std::uint16_t{3})), HasSubstr("cut short"));
  EXPECT_THAT(refusal(with(zip.directory + 28, std::uint16_t{60000})), HasSubstr("cut short"));
  EXPECT_THAT(refusal(with(zip.directory + 42, std::uint32_t{1} << 30)), HasSubstr("outside the file"));
  EXPECT_THAT(refusal(with(zip.directory + 20, std::uint32_t{1} << 30)), HasSubstr("outside the file"));
  EXPECT_THAT(refusal(with(zip.directory + 24, std::uint32_t{9})), HasSubstr("two sizes"));
  EXPECT_THAT(refusal(with(0, std::uint32_t{7})), HasSubstr("not where the directory says"));
  EXPECT_THAT(refusal(with(26, std::uint16_t{60000})), HasSubstr("not where the directory says"));
  EXPECT_THAT(refusal(make_zip({{"a", "1"}, {"a", "2"}}).bytes), HasSubstr("comes twice"));
}

TEST(ZipArchive, DeflatedMembersUnpackToTheSizeTheDirectorySays) {
  // Python: zlib.compressobj(9, zlib.DEFLATED, -15) of b"abc" * 32.
  const Zip zip =
      make_zip({{"a", "\x4b\x4c\x4a\x4e\xa4\x25\x02" + std::string(1, '\0'), 8}, {"b", "stored"}});
  const auto unpacked = [&](std::string_view name, std::uint32_t size, std::uint16_t method) {
    std::string bytes = zip.bytes;
    bytes.replace(zip.directory + 24, sizeof size, reinterpret_cast<const char*>(&size), sizeof size);
    bytes.replace(zip.directory + 10, sizeof method, reinterpret_cast<const char*>(&method), sizeof method);
    return ZipArchive(std::as_bytes(std::span(bytes)), "m.zip").unpacked(name);
  };
  std::string expected;
  for (int i = 0; i < 32; ++i) expected += "abc";
  EXPECT_EQ(unpacked("a", 96, 8), expected);
  EXPECT_EQ(unpacked("b", 96, 8), "stored");
  for (const std::uint32_t wrong : {0U, 95U, 97U})
    EXPECT_THAT(bad_input_message([&] { unpacked("a", wrong, 8); }), HasSubstr("damaged"));
  EXPECT_THAT(bad_input_message([&] { unpacked("a", 0xfffffffe, 8); }), HasSubstr("cannot be unpacked"));
  EXPECT_THAT(bad_input_message([&] { unpacked("a", 96, 12); }), HasSubstr("cannot be unpacked"));
  EXPECT_THAT(bad_input_message([&] { unpacked("c", 96, 8); }), HasSubstr("missing"));
}

TEST(Pickle, HostileGlobalsAreRefusedByName) {
  EXPECT_THAT(message_of_pickle("\x80\x02" + global("posix", "system") + unicode("true") + "\x85R."),
              AllOf(HasSubstr("global"), HasSubstr("posix.system"), HasSubstr("nothing of it was run")));
  EXPECT_THAT(message_of_pickle("\x80\x02" + global("torch.storage", "_load_from_bytes") + "."),
              HasSubstr("torch.storage._load_from_bytes"));
  EXPECT_THAT(message_of_pickle("\x80\x02" + global("torch", "load") + "."), HasSubstr("torch.load"));
  EXPECT_THAT(message_of_pickle("\x80\x04" + unicode("builtins") + unicode("eval") + "\x93."),
              HasSubstr("builtins.eval"));
}

TEST(Pickle, OtherOpcodesAreRefusedByName) {
  EXPECT_THAT(message_of_pickle("\x80\x02(" + unicode("x") + "iposix\nsystem\n."), HasSubstr("INST (0x69)"));
  EXPECT_THAT(message_of_pickle("\x80\x02)\x81."), HasSubstr("NEWOBJ (0x81)"));
  EXPECT_THAT(message_of_pickle("\x80\x02(o."), HasSubstr("OBJ (0x6f)"));
  EXPECT_THAT(message_of_pickle("\x80\x02\xff."), HasSubstr("0xff"));
  EXPECT_THAT(message_of_pickle("\x80\x06."), HasSubstr("protocol"));
}

TEST(Pickle, NonsenseOnTheStackIsRefused) {
  EXPECT_THAT(message_of_pickle("\x80\x02."), HasSubstr("takes more than it has put"));
  EXPECT_THAT(message_of_pickle("\x80\x02R."), HasSubstr("takes more than it has put"));
  EXPECT_THAT(message_of_pickle("\x80\x02t."), HasSubstr("no mark"));
  EXPECT_THAT(message_of_pickle("\x80\x02h\x05."), HasSubstr("never kept"));
  EXPECT_THAT(message_of_pickle("\x80\x02}K\x01)R."), HasSubstr("calls what is no function"));
  EXPECT_THAT(message_of_pickle("\x80\x02}(K\x01u."), HasSubstr("key without a value"));
  EXPECT_THAT(message_of_pickle("\x80\x02K\x01K\x02K\x03s."), HasSubstr("a dict for SETITEMS"));
  EXPECT_THAT(message_of_pickle("\x80\x02K\x01Q."), HasSubstr("a tuple for BINPERSID"));
  EXPECT_THAT(message_of_pickle("\x80\x02)Q."), HasSubstr("persistent id"));
  EXPECT_THAT(message_of_pickle("\x80\x02}."), HasSubstr("no tensors in the pickle"));
  EXPECT_THAT(message_of_pickle(pickle_of("state_dict", "}")), HasSubstr("\"state_dict\": a dict"));
  EXPECT_THAT(message_of_pickle("\x80\x02X\xff\xff\xff\xff"
                                "ab"),
              HasSubstr("cut short"));
  // A list that contains itself is no state dict either, and no leak.
  EXPECT_THAT(message_of_pickle("\x80\x02]q" + std::string(1, '\0') + "h" + std::string(1, '\0') + "a."),
              HasSubstr("a dict for STOP"));
}

TEST(Pickle, TensorsThatLeaveTheirStorageAreRefused) {
  constexpr std::int64_t kHuge = std::int64_t{1} << 62;
  EXPECT_THAT(message_of_tensor(6, 0, {7}, {1}), HasSubstr("leaves its storage"));
  EXPECT_THAT(message_of_tensor(6, 1, {6}, {1}), HasSubstr("leaves its storage"));
  EXPECT_THAT(message_of_tensor(6, -1, {2}, {1}), HasSubstr("leaves its storage"));
  EXPECT_THAT(message_of_tensor(6, kHuge, {2}, {1}), HasSubstr("leaves its storage"));
  EXPECT_THAT(message_of_tensor(6, 6, {}, {}), HasSubstr("leaves its storage"));
  EXPECT_THAT(message_of_tensor(6, 0, {2, 2}, {5, 1}), HasSubstr("leaves its storage"));
  EXPECT_THAT(message_of_tensor(6, 0, {2}, {kHuge}), HasSubstr("leaves its storage"));
  EXPECT_THAT(message_of_tensor(6, 0, {kHuge, kHuge}, {0, 0}), HasSubstr("leaves its storage"));
  EXPECT_THAT(message_of_tensor(6, 0, {0, kHuge, kHuge}, {1, 1, 1}), HasSubstr("leaves its storage"));
  EXPECT_THAT(message_of_tensor(6, 0, {100}, {0}), HasSubstr("leaves its storage"));  // expanded
  EXPECT_THAT(message_of_tensor(6, 0, {-1}, {1}), HasSubstr("negative"));
  EXPECT_THAT(message_of_tensor(6, 0, {1}, {-1}), HasSubstr("negative"));
  EXPECT_THAT(message_of_tensor(-6, 0, {1}, {1}), HasSubstr("valid size"));
  EXPECT_THAT(message_of_tensor(6, 0, {1}, {1, 1}), HasSubstr("another number of strides"));
  EXPECT_THAT(message_of_tensor(6, 0, std::vector<std::int64_t>(9, 1), std::vector<std::int64_t>(9, 1)),
              HasSubstr("too many dimensions"));
  const std::string unknown = pickle_of("t", tensor(6, 0, {1}, {1}, "ComplexFloatStorage"));
  EXPECT_THAT(message_of_pickle(unknown), HasSubstr("torch.ComplexFloatStorage"));
}

TEST(Pickle, EveryTruncationIsRefused) {
  const std::string whole = pickle_of("t", tensor(6, 0, {2, 3}, {3, 1}));
  EXPECT_THAT(read_state_dict(std::as_bytes(std::span(whole)), "m.bin"), SizeIs(1));
  for (std::size_t size = 0; size < whole.size(); ++size) message_of_pickle(whole.substr(0, size));
}

}  // namespace
}  // namespace defectoscope
