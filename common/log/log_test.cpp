#include "common/log/log.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace mg::log {
namespace {

std::string Logged(const Options& base, const std::function<void()>& act) {
  char name[] = "/tmp/mg-log.XXXXXX";
  int fd = ::mkstemp(name);
  ::close(fd);
  Options options = base;
  options.output = name;
  EXPECT_TRUE(Configure(options).ok());
  act();
  std::ifstream file(name);
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_TRUE(Configure({.output = "stderr"}).ok());
  ::unlink(name);
  return text.str();
}

TEST(Log, Json_HasTheFieldsOfSlog) {
  std::string line = Logged({}, [] { Info("pooler \"up\"", {{"cell", "zone1"}, {"port", 5432}, {"text", "a\nb"}}); });
  EXPECT_EQ(line.find("{\"time\":\"20"), 0u) << line;
  EXPECT_NE(line.find(R"("level":"INFO","msg":"pooler \"up\"","cell":"zone1","port":"5432","text":"a\nb"})"),
            std::string::npos)
      << line;
}

TEST(Log, BelowTheLevel_IsLeftOut) {
  EXPECT_EQ(Logged({.level = "warn"}, [] { Info("x"); }), "");
  EXPECT_NE(Logged({.level = "warn", .format = "text"}, [] { Error("x"); }).find("level=ERROR msg=\"x\""),
            std::string::npos);
}

TEST(Log, FileThatTakesNoMore_GoesOnWhenThereIsRoom_AndTellsHowManyAreMissing) {
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit before = {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  testing::internal::CaptureStderr();
  std::string text = Logged({.format = "text"}, [&] {
    Info("first");
    rlimit small = {.rlim_cur = 120, .rlim_max = before.rlim_max};  // within the second record
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
    Info("second");
    Info("third");
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
    Info("fourth");
    Info("fifth");
  });
  std::string told = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(told.begin(), told.end(), '\n'), 1) << told;
  EXPECT_NE(told.find("records are lost: File too large"), std::string::npos) << told;
  std::vector<std::string> lines;
  for (size_t begin = 0, end = 0; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    lines.push_back(text.substr(begin, end - begin));
  }
  ASSERT_EQ(lines.size(), 5U) << text;  // the second is the half of a record
  EXPECT_NE(lines[2].find("lost=\"2\""), std::string::npos) << text;
  EXPECT_NE(lines[3].find("msg=\"fourth\""), std::string::npos) << text;
  EXPECT_NE(lines[4].find("msg=\"fifth\""), std::string::npos) << text;
}

TEST(Log, FileThatEndsWithinARecord_GoesOnInANewLine) {
  char name[] = "/tmp/mg-log.XXXXXX";
  int fd = ::mkstemp(name);
  ASSERT_EQ(::write(fd, "half", 4), 4);
  ASSERT_TRUE(Configure({.format = "text", .output = name}).ok());
  Info("whole");
  EXPECT_TRUE(Configure({.output = "stderr"}).ok());
  char text[6] = {};
  EXPECT_EQ(::pread(fd, text, 5, 0), 5);
  EXPECT_STREQ(text, "half\n");
  ::close(fd);
  ::unlink(name);
}

TEST(Log, FullDevice_LosesRecords_AndThrowsNothing) {
  testing::internal::CaptureStderr();
  ASSERT_TRUE(Configure({.output = "/dev/full"}).ok());
  for (int i = 0; i < 3; ++i) {
    Info("x");
  }
  EXPECT_TRUE(Configure({.output = "stderr"}).ok());
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "the log /dev/full cannot be written, records are lost: No space left on device\n");
}

TEST(Log, FileThatIsFull_IsRenamed_AndTheOldestGoes) {
  char directory[] = "/tmp/mg-log.XXXXXX";
  ASSERT_NE(::mkdtemp(directory), nullptr);
  auto exists = [&](const std::string& name) {
    return ::access((std::string(directory) + "/" + name).c_str(), F_OK) == 0;
  };
  ASSERT_TRUE(Configure({.output = std::string(directory) + "/x.log", .rotate_bytes = 100, .rotate_keep = 2}).ok());
  for (int i = 0; i < 5; ++i) {
    Info("x");
  }
  EXPECT_TRUE(Configure({.output = "stderr"}).ok());
  EXPECT_TRUE(exists("x.log") && exists("x.1.log") && exists("x.2.log") && !exists("x.3.log"));
  for (const char* name : {"x.log", "x.1.log", "x.2.log"}) {
    ::unlink((std::string(directory) + "/" + name).c_str());
  }
  ::rmdir(directory);
}

TEST(Log, UnwritablePath_IsAnError) { EXPECT_FALSE(Configure({.output = "/proc/nothing/log"}).ok()); }

}  // namespace
}  // namespace mg::log
