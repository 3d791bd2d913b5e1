#include "tests/integration/postgres_fixture.h"

#include <gtest/gtest.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/fs/fs.h"
#include "common/process/helper.h"

namespace mg::testing {

PostgresFixture::PostgresFixture(std::string directory) : directory_(std::move(directory)) {}

std::unique_ptr<PostgresFixture> PostgresFixture::Start() {
  std::vector<std::string> places;
  for (int version = 17; version >= 14; --version) {
    places.push_back(absl::StrCat("/usr/lib/postgresql/", version, "/bin"));
  }
  absl::StatusOr<std::string> initdb = FindProgram("initdb", places);
  if (!initdb.ok()) {
    return nullptr;
  }
  char name[] = "/tmp/mg-postgres-XXXXXX";
  std::unique_ptr<PostgresFixture> fixture(new PostgresFixture(mkdtemp(name)));
  fixture->binaries_ = DirName(*initdb);
  if (geteuid() == 0) {
    fixture->run_as_ = "postgres";
    passwd* user = getpwnam("postgres");
    EXPECT_NE(user, nullptr);
    EXPECT_EQ(chown(fixture->directory_.c_str(), user->pw_uid, user->pw_gid), 0);
  }
  std::string data = fixture->directory_ + "/data";
  HelperSpec init;
  init.argv = {*initdb, "-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"};
  init.run_as = fixture->run_as_;
  init.working_directory = "/";
  EXPECT_TRUE(RunHelperOk(init).ok());
  HelperSpec start;
  start.argv = {
      fixture->binaries_ + "/pg_ctl",
      "start",
      "-w",
      "-D",
      data,
      "-l",
      fixture->directory_ + "/log",
      "-o",
      absl::StrCat("-c fsync=off -c wal_level=replica -c max_wal_senders=5 -c listen_addresses='' -p 5432 -k ",
                   fixture->directory_)};
  start.run_as = fixture->run_as_;
  start.working_directory = "/";
  absl::Status started = RunHelperOk(start).status();
  EXPECT_TRUE(started.ok()) << started;
  fixture->running_ = started.ok();
  return fixture;
}

PostgresFixture::~PostgresFixture() {
  if (running_) {
    HelperSpec stop;
    stop.argv = {binaries_ + "/pg_ctl", "stop", "-w", "-m", "immediate", "-D", directory_ + "/data"};
    stop.run_as = run_as_;
    stop.working_directory = "/";
    EXPECT_TRUE(RunHelperOk(stop).ok());
  }
  EXPECT_TRUE(RemoveTree(directory_).ok());
}

pgsql::ConnectOptions PostgresFixture::options() const {
  pgsql::ConnectOptions options;
  options.host = directory_;
  options.port = 5432;
  options.user = "postgres";
  options.database = "postgres";
  options.application_name = "test";
  return options;
}

std::unique_ptr<pgsql::Connection> PostgresFixture::Connect() const {
  auto connection = pgsql::Connection::Connect(options(), absl::Now() + absl::Seconds(10));
  EXPECT_TRUE(connection.ok()) << connection.status();
  return connection.ok() ? *std::move(connection) : nullptr;
}

}  // namespace mg::testing
