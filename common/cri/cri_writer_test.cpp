#include "common/cri/cri_writer.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "gtest/gtest.h"

namespace mg::logs {
namespace {

class CriTest : public testing::Test {
 protected:
  CriTest() {
    char name[] = "/tmp/mg-cri.XXXXXX";
    root_ = ::mkdtemp(name);
  }
  ~CriTest() override { std::filesystem::remove_all(root_); }
  std::vector<std::string> Lines(const std::string& name = "current.log") const {
    std::ifstream file(root_ + "/" + name);
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) {
      lines.push_back(line.substr(std::min<size_t>(31, line.size())));
    }
    return lines;
  }
  void Put(CriWriter* writer, const std::string& text) {
    writer->Append(CriWriter::Stream::kStdout, text.data(), text.size());
  }
  std::string root_;
};

TEST_F(CriTest, LinesSplitAnywhere_AreWhole) {
  CriWriter writer(root_, 1 << 20, 3);
  ASSERT_EQ(writer.Open(), 0);
  for (char c : std::string("one\ntwo\n\nlast")) {
    Put(&writer, std::string(1, c));
  }
  EXPECT_EQ(Lines(), (std::vector<std::string>{"stdout F one", "stdout F two", "stdout F "}));
  writer.Flush(CriWriter::Stream::kStdout);
  EXPECT_EQ(Lines().back(), "stdout F last");
}

TEST_F(CriTest, LongLine_IsWrittenInParts) {
  CriWriter writer(root_, 1 << 20, 3);
  ASSERT_EQ(writer.Open(), 0);
  Put(&writer, std::string(40000, 'x') + "\nnext\n");
  std::vector<std::string> lines = Lines();
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[0].substr(0, 9), "stdout P ");
  EXPECT_EQ(lines[1].substr(0, 9), "stdout P ");
  EXPECT_EQ(lines[2], "stdout F " + std::string(40000 - 2 * 16384, 'x'));
  EXPECT_EQ(lines[3], "stdout F next");
}

TEST_F(CriTest, Rotation_KeepsTheNewestFilesAndLosesNoLineBetween) {
  CriWriter writer(root_, 2000, 3);
  ASSERT_EQ(writer.Open(), 0);
  for (int i = 0; i < 300; ++i) {
    Put(&writer, "line " + std::to_string(i) + "\n");
  }
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(root_)) {
    if (entry.path().filename() != "current.log") {
      files.push_back(entry.path().filename());
    }
  }
  std::sort(files.begin(), files.end());
  EXPECT_EQ(files.size(), 3u);
  files.push_back("current.log");
  std::vector<std::string> all;
  for (const std::string& file : files) {
    std::vector<std::string> lines = Lines(file);
    all.insert(all.end(), lines.begin(), lines.end());
  }
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i], "stdout F line " + std::to_string(300 - all.size() + i));
  }
}

TEST_F(CriTest, DirectoryThatIsAway_KeepsTheNewestLinesAndCountsTheRest) {
  CriWriter writer(root_ + "/absent", 1 << 20, 3);
  ASSERT_NE(writer.Open(), 0);
  for (int i = 0; i < 5000; ++i) {
    Put(&writer, "line " + std::to_string(i) + "\n");
  }
  EXPECT_TRUE(writer.stalled());
  std::filesystem::create_directory(root_ + "/absent");
  EXPECT_TRUE(writer.Retry());
  std::vector<std::string> lines = Lines("absent/current.log");
  ASSERT_GT(lines.size(), 2u);
  size_t kept = lines.size() - 1;
  EXPECT_EQ(lines[0], "stderr F multigres-shim: " + std::to_string(5000 - kept) +
                          " lines were lost while the log could not be written: No such file or directory");
  EXPECT_EQ(lines.back(), "stdout F line 4999");
}

TEST_F(CriTest, FullDisk_IsNotAskedForEveryLineAndHalfALineIsTakenBack) {
  if (!std::filesystem::exists("/dev/full")) {
    GTEST_SKIP() << "there is no /dev/full";
  }
  std::filesystem::create_symlink("/dev/full", root_ + "/current.log");
  CriWriter writer(root_, 1 << 30, 3);
  ASSERT_EQ(writer.Open(), 0);
  for (int i = 0; i < 100000; ++i) {
    Put(&writer, "line " + std::to_string(i) + "\n");
  }
  EXPECT_TRUE(writer.stalled());
  EXPECT_FALSE(writer.Retry());
}

TEST_F(CriTest, LineThatAKilledWriterLeft_IsEndedByTheNext) {
  std::ofstream(root_ + "/current.log") << "2026-11-23T16:00:00.000000000Z stdout F whole\n2026-11-23T16:0";
  CriWriter writer(root_, 1 << 20, 3);
  ASSERT_EQ(writer.Open(), 0);
  Put(&writer, "next\n");
  std::vector<std::string> lines = Lines();
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[2], "stdout F next");
}

TEST_F(CriTest, DirectoryThatWasRemoved_IsMadeAnewAtTheNextRotation) {
  CriWriter writer(root_ + "/log", 1000, 3);
  std::filesystem::create_directory(root_ + "/log");
  ASSERT_EQ(writer.Open(), 0);
  Put(&writer, "before\n");
  std::filesystem::remove_all(root_ + "/log");
  for (int i = 0; i < 50; ++i) {
    Put(&writer, "line " + std::to_string(i) + "\n");
  }
  EXPECT_EQ(Lines("log/current.log").back(), "stdout F line 49");
}

TEST_F(CriTest, ClockThatWasPutBack_KeepsTheFilesInOrder) {
  std::ofstream(root_ + "/29991231T235959.999999999Z.log") << "old\n";
  CriWriter writer(root_, 100, 3);
  ASSERT_EQ(writer.Open(), 0);
  for (int i = 0; i < 4; ++i) {
    Put(&writer, "line " + std::to_string(i) + std::string(60, '.') + "\n");
  }
  EXPECT_TRUE(std::filesystem::exists(root_ + "/29991231T235960.000000000Z.log"));
  EXPECT_TRUE(std::filesystem::exists(root_ + "/29991231T235960.000000002Z.log"));
}

TEST(Stamper, AgreesWithTheCLibrary) {
  Stamper stamper;
  time_t before = ::time(nullptr);
  std::string text(stamper.Now(), Stamper::kSize);
  time_t after = ::time(nullptr);
  bool found = false;
  for (time_t at = before; at <= after; ++at) {
    char expected[32];
    tm parts{};
    ::gmtime_r(&at, &parts);
    ::strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S.", &parts);
    found |= text.substr(0, 20) == expected;
  }
  EXPECT_TRUE(found) << text;
  EXPECT_EQ(text.back(), 'Z');
}

}  // namespace
}  // namespace mg::logs
