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

std::unique_ptr<PostgresFixture> PostgresFixture::Start(const PostgresOptions& options) {
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
  init.argv = {*initdb, "-D", data, "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C", "-A"};
  init.argv.push_back(options.password.empty() ? "trust" : "scram-sha-256");
  if (!options.password.empty()) {
    fixture->password_ = options.password;
    std::string file = fixture->directory_ + "/password";
    EXPECT_TRUE(WriteFileAtomically(file, options.password + "\n", 0644).ok());
    init.argv.push_back("--pwfile=" + file);
  }
  init.run_as = fixture->run_as_;
  init.working_directory = "/";
  EXPECT_TRUE(RunHelperOk(init).ok());
  std::string settings = absl::StrCat(
      "-c fsync=off -c wal_level=replica -c max_wal_senders=5 -c listen_addresses='' -p 5432 -k ", fixture->directory_);
  for (const std::string& setting : options.settings) {
    absl::StrAppend(&settings, " -c ", setting);
  }
  HelperSpec start;
  start.argv = {fixture->binaries_ + "/pg_ctl", "start", "-w",    "-D", data, "-l",
                fixture->directory_ + "/log",   "-o",    settings};
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
  options.password = password_;
  return options;
}

std::unique_ptr<pgsql::Connection> PostgresFixture::Connect() const {
  auto connection = pgsql::Connection::Connect(options(), absl::Now() + absl::Seconds(10));
  EXPECT_TRUE(connection.ok()) << connection.status();
  return connection.ok() ? *std::move(connection) : nullptr;
}

}  // namespace mg::testing
