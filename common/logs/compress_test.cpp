#include "common/logs/compress.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/cri/cri_writer.h"
#include "common/fs/fs.h"
#include "common/logs/cri.h"
#include "common/logs/log_file.h"
#include "common/logs/log_files.h"
#include "common/logs/seek.h"
#include "gtest/gtest.h"

namespace mg::logs {
namespace {

constexpr int kLines = 20000;
constexpr char kOld[] = "20261123T160000.000000000Z.log";

class CompressTest : public testing::Test {
 protected:
  CompressTest() {
    char name[] = "/tmp/mg-compress.XXXXXX";
    root_ = ::mkdtemp(name);
  }
  ~CompressTest() override { EXPECT_TRUE(RemoveTree(root_).ok()); }

  static std::string Line(int i) {
    std::int64_t nanos = 1'795'000'000'000'000'000 + std::int64_t{i} * 1'000'000;
    return absl::StrCat(absl::FormatTime("%Y-%m-%dT%H:%M:%E9SZ", absl::FromUnixNanos(nanos), absl::UTCTimeZone()),
                        " stdout F line ", i, std::string(static_cast<size_t>(i % 97), 'x'), "\n");
  }
  static absl::Time TimeOf(int i) { return absl::FromUnixNanos(1'795'000'000'000'000'000) + absl::Milliseconds(i); }
  /// Some megabytes in a rotated file, and a current one behind it.
  void WriteLines() {
    std::ofstream old(Path(kOld)), current(Path(kCurrentLog));
    for (int i = 0; i < kLines; ++i) {
      (i < kLines - 100 ? old : current) << Line(i);
    }
  }
  std::string Path(const std::string& name) const { return JoinPath(root_, name); }
  std::vector<int> Numbers(Query query) const {
    query.sources = {{.name = "a", .directory = root_}};
    absl::StatusOr<std::unique_ptr<Stream>> stream = Stream::Open(std::move(query));
    EXPECT_TRUE(stream.ok()) << stream.status();
    std::vector<int> numbers;
    for (;;) {
      std::vector<Record> batch = *(*stream)->Next(1000);
      if (batch.empty()) {
        return numbers;
      }
      for (const Record& record : batch) {
        numbers.push_back(record.text.size() > 5 ? std::atoi(record.text.c_str() + 5) : -1);
      }
    }
  }
  std::string root_;
};

TEST_F(CompressTest, CompressedFile_IsReadAsThePlainOne) {
  WriteLines();
  absl::StatusOr<bool> done = CompressLog(root_, kOld);
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_TRUE(*done);
  EXPECT_FALSE(std::filesystem::exists(Path(kOld)));
  EXPECT_LT(std::filesystem::file_size(Path(std::string(kOld) + ".zst")), kLines * 20u);
  std::vector<int> all = Numbers({});
  ASSERT_EQ(all.size(), static_cast<size_t>(kLines));
  for (int i = 0; i < kLines; ++i) {
    ASSERT_EQ(all[static_cast<size_t>(i)], i);
  }
  for (int i = 0; i < kLines; i += 611) {
    std::vector<int> some = Numbers({.since = TimeOf(i), .until = TimeOf(i + 3)});
    EXPECT_EQ(some, (std::vector<int>{i, i + 1, i + 2})) << i;
  }
  EXPECT_EQ(Numbers({.tail = 500}).front(), kLines - 500);
  EXPECT_EQ(Numbers({.grep = "^line 777x"}), std::vector<int>{777});
}

TEST_F(CompressTest, Cursor_StaysValidWhenItsFileIsCompressedAndItsNumberPassesOn) {
  WriteLines();
  absl::StatusOr<std::unique_ptr<Stream>> stream = Stream::Open({.sources = {{.name = "a", .directory = root_}}});
  ASSERT_EQ((*stream)->Next(12345)->size(), 12345u);
  std::string cursor = (*stream)->cursor();
  ASSERT_TRUE(*CompressLog(root_, kOld));
  // The file system may give the number to the next file that is made.
  std::ofstream(Path("20261123T170000.000000000Z.log")) << "";
  std::vector<int> rest = Numbers({.cursor = cursor});
  ASSERT_EQ(rest.size(), static_cast<size_t>(kLines - 12345));
  EXPECT_EQ(rest.front(), 12345);
  // A reader that is in the midst of it goes on, too.
  std::vector<Record> more = *(*stream)->Next(static_cast<size_t>(kLines));
  ASSERT_EQ(more.size(), static_cast<size_t>(kLines - 12345));
  EXPECT_EQ(more.front().text.substr(0, 10), "line 12345");
}

TEST_F(CompressTest, FollowingWhileFilesAreRotatedAndCompressed_LosesAndRepeatsNothing) {
  absl::StatusOr<std::unique_ptr<Stream>> stream =
      Stream::Open({.sources = {{.name = "a", .directory = root_}}, .follow = true});
  CriWriter out(root_, 20000, 1000);
  ASSERT_EQ(out.Open(), 0);
  int next = 0;
  for (int i = 0; i < 4000; ++i) {
    std::string line = absl::StrCat("line ", i, "\n");
    out.Append(CriWriter::Stream::kStdout, line.data(), line.size());
    if (i % 50 == 49) {
      for (const auto& entry : std::filesystem::directory_iterator(root_)) {
        std::string name = entry.path().filename();
        if (IsRotatedLog(name) && !IsCompressedLog(name)) {
          ASSERT_TRUE(CompressLog(root_, name).ok());
        }
      }
    }
    // The reader is up to several files behind, and sometimes at the end.
    while (i % 700 == 699 && next <= i) {
      for (const Record& record : *(*stream)->Next(333)) {
        ASSERT_EQ(record.text, absl::StrCat("line ", next++));
      }
    }
  }
}

TEST_F(CompressTest, WhatAKilledOneLeft_IsCleanedUpWithoutLoss) {
  WriteLines();
  std::filesystem::copy_file(Path(kOld), Path("kept"));
  ASSERT_TRUE(*CompressLog(root_, kOld));
  std::string compressed = Path(std::string(kOld) + ".zst");
  // Killed between the rename and the unlink: both are whole. The plain one has another inode here, so it is kept.
  std::filesystem::copy_file(Path("kept"), Path(kOld));
  EXPECT_EQ(Numbers({.tail = kLines}).size(), static_cast<size_t>(kLines));
  std::ofstream(Path(".compressing")) << "half";
  CleanUpCompression(root_);
  EXPECT_FALSE(std::filesystem::exists(Path(".compressing")));
  EXPECT_NE(std::filesystem::exists(Path(kOld)), std::filesystem::exists(compressed));
  EXPECT_EQ(Numbers({}).size(), static_cast<size_t>(kLines));
  // Cut off: the plain one is the truth.
  if (!std::filesystem::exists(Path(kOld))) {
    std::filesystem::copy_file(Path("kept"), Path(kOld));
  }
  std::ofstream(compressed) << "(\xb5/\xfd torn";
  EXPECT_EQ(Numbers({}).size(), static_cast<size_t>(kLines));
  CleanUpCompression(root_);
  EXPECT_TRUE(std::filesystem::exists(Path(kOld)));
  EXPECT_FALSE(std::filesystem::exists(compressed));
}

TEST_F(CompressTest, FileThatTheWriterMayStillWriteTo_IsLeftAlone) {
  std::ofstream(Path(kOld)) << Line(1);
  EXPECT_FALSE(*CompressLog(root_, kOld));  // there is no current.log: the writer could not make one
  EXPECT_TRUE(std::filesystem::exists(Path(kOld)));
  EXPECT_FALSE(*CompressLog(root_, "20261123T150000.000000000Z.log"));
}

TEST_F(CompressTest, DamagedFrame_IsToldAndTheRestIsRead) {
  WriteLines();
  ASSERT_TRUE(*CompressLog(root_, kOld));
  std::string path = Path(std::string(kOld) + ".zst");
  {
    std::fstream file(path, std::ios::in | std::ios::out);
    file.seekp(100);
    file << "damage";
  }
  std::vector<int> numbers = Numbers({});
  EXPECT_LT(numbers.size(), static_cast<size_t>(kLines));
  EXPECT_GT(numbers.size(), static_cast<size_t>(kLines / 2));
  EXPECT_EQ(numbers.back(), kLines - 1);
  absl::StatusOr<std::unique_ptr<Stream>> stream =
      Stream::Open({.sources = {{.name = "a", .directory = root_}}, .grep = "bytes of this log are damaged"});
  EXPECT_EQ((*stream)->Next(10)->size(), 1u);
}

TEST_F(CompressTest, AnythingAsACompressedFile_IsNeitherReadNorACrash) {
  std::mt19937 random(7);
  std::string name = Path(std::string(kOld) + ".zst");
  std::ofstream(Path(kCurrentLog)) << Line(3);
  WriteLines();
  ASSERT_TRUE(*CompressLog(root_, kOld));
  std::string whole = *ReadFile(name);
  for (int round = 0; round < 300; ++round) {
    std::string bytes = whole.substr(0, random() % (whole.size() + 1));
    for (int i = 0; i < round % 5 && !bytes.empty(); ++i) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    std::ofstream(name, std::ios::trunc) << bytes;
    std::vector<int> numbers = Numbers({.tail = 150});
    ASSERT_GE(numbers.size(), 100u);
    EXPECT_EQ(numbers.back(), kLines - 1);
  }
}

TEST_F(CompressTest, AnythingAsALog_IsNoCrashAndWhatIsWholeIsRead) {
  std::mt19937 random(11);
  for (int round = 0; round < 200; ++round) {
    std::ofstream file(Path(kCurrentLog), std::ios::trunc);
    int whole = 0;
    for (int i = 0; i < 50; ++i) {
      std::string line = Line(i);
      switch (i < 48 ? random() % 8 : 7) {
        case 0:
          line = line.substr(0, random() % line.size()) + "\n";  // torn
          break;
        case 1:
          line = std::string(random() % 100, '\0') + "\n";
          break;
        case 2:
          line[random() % line.size()] = static_cast<char>(random());
          break;
        case 3:
          line = std::string(random() % 70000, 'g') + "\n";
          break;
        default:
          ++whole;
      }
      file << line;
    }
    file << Line(50) << Line(51).substr(0, random() % 30);
    file.close();
    EXPECT_GE(static_cast<int>(Numbers({}).size()), whole / 2) << round;
    EXPECT_LE(Numbers({.tail = 5}).size(), 5u);
    (void)Numbers({.since = TimeOf(static_cast<int>(random() % 52))});
    EXPECT_EQ(Numbers({}).back(), 50);
  }
}

TEST_F(CompressTest, GiantLine_IsLeftOutAndTheNextIsRead) {
  std::ofstream(Path(kCurrentLog)) << Line(1) << std::string(5 << 20, 'g') << "\n" << Line(2);
  EXPECT_EQ(Numbers({}), (std::vector<int>{1, 2}));
  EXPECT_EQ(Numbers({.since = TimeOf(2)}), std::vector<int>{2});
}

TEST(CriTime, AgreesWithTheTimeLibrary) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 5000; ++i) {
    auto nanos = static_cast<std::int64_t>(random() % 7'000'000'000'000'000'000);
    std::string text = absl::FormatTime("%Y-%m-%dT%H:%M:%E9SZ", absl::FromUnixNanos(nanos), absl::UTCTimeZone());
    ASSERT_EQ(CriTime(text), nanos) << text;
  }
  EXPECT_EQ(CriTime("2026-11-23T16:00:00.12345678Z"), kNoTime);
  EXPECT_EQ(CriTime("2026-13-23T16:00:00.123456789Z"), kNoTime);
  EXPECT_EQ(CriTime(""), kNoTime);
}

}  // namespace
}  // namespace mg::logs
