#include "common/shim_record/runs.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

namespace mg::shim {
namespace {

class RunsTest : public testing::Test {
 protected:
  RunsTest() {
    char name[] = "/tmp/mg-runs-XXXXXX";
    root_ = ::mkdtemp(name);
  }
  ~RunsTest() override { std::filesystem::remove_all(root_); }
  std::vector<std::string> Lines() const {
    std::ifstream file(root_ + "/" + kRunsFile);
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) {
      lines.push_back(line);
    }
    return lines;
  }
  std::string root_;
};

TEST_F(RunsTest, EachRunIsALineAndOldOnesAreForgotten) {
  constexpr std::int64_t kFirst = 1'795'000'000'000'000'000;
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(NoteRun(root_, kFirst + i), 0);
    ASSERT_EQ(Lines().back(), std::to_string(kFirst + i));
  }
  std::vector<std::string> lines = Lines();
  EXPECT_LT(lines.size(), 250u);
  EXPECT_GT(lines.size(), 20u);
  for (size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(lines[i], std::to_string(kFirst + 1000 - static_cast<std::int64_t>(lines.size() - i)));
  }
}

TEST_F(RunsTest, LineThatWasCutOff_IsEnded) {
  std::ofstream(root_ + "/" + kRunsFile) << "17950\n17";
  EXPECT_EQ(NoteRun(root_, 18000), 0);
  EXPECT_EQ(Lines(), (std::vector<std::string>{"17950", "17", "18000"}));
}

}  // namespace
}  // namespace mg::shim
