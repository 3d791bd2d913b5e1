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
  EXPECT_EQ(lines[0],
            "stderr F multigres-shim: " + std::to_string(5000 - kept) + " lines were lost: the disk was full");
  EXPECT_EQ(lines.back(), "stdout F line 4999");
}

}  // namespace
}  // namespace mg::logs
