#include "common/shim_record/record.h"

#include <unistd.h>

#include <cstdlib>

#include "gtest/gtest.h"

namespace mg::shim {
namespace {

Record Sample() {
  Record record;
  record.Add("argv", "/bin/x");
  record.Add("argv", "a=b\nc\\n");
  record.Add("pid", 42);
  return record;
}

TEST(Record, ReadBack_IsTheSame) {
  auto [record, problem] = Record::Decode(Sample().Encode());
  EXPECT_EQ(problem, "");
  EXPECT_EQ(record.GetAll("argv"), (std::vector<std::string>{"/bin/x", "a=b\nc\\n"}));
  EXPECT_EQ(record.GetInt("pid"), 42);
  EXPECT_EQ(record.GetInt("absent", -1), -1);
}

TEST(Record, EveryTruncationAndEveryFlippedByte_IsNoticed) {
  std::string text = Sample().Encode();
  for (size_t i = 0; i < text.size(); ++i) {
    EXPECT_NE(Record::Decode(text.substr(0, i)).second, "") << i;
    std::string flipped = text;
    flipped[i] = static_cast<char>(flipped[i] ^ 1);
    EXPECT_NE(Record::Decode(flipped).second, "") << i;
  }
}

TEST(Record, FileOfALaterVersion_IsReadWithWhatIsKnown) {
  std::string text = Record().Encode();
  EXPECT_EQ(ReadRecord("/proc/nothing").second, "absent");
  char name[] = "/tmp/mg-record.XXXXXX";
  ASSERT_NE(::mkdtemp(name), nullptr);
  std::string path = std::string(name) + "/r";
  EXPECT_EQ(WriteRecord(path, Sample(), true), 0);
  EXPECT_EQ(ReadRecord(path).first.GetInt("pid"), 42);
  EXPECT_EQ(SyncRecord(path), 0);
  ::unlink(path.c_str());
  ::rmdir(name);
}

}  // namespace
}  // namespace mg::shim
