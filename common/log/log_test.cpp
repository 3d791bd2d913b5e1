#include "common/log/log.h"

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <sstream>

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

TEST(Log, UnwritablePath_IsAnError) { EXPECT_FALSE(Configure({.output = "/proc/nothing/log"}).ok()); }

}  // namespace
}  // namespace mg::log
