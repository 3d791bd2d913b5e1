#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "common/fs/fs.h"
#include "components/pgctld/data_files.h"
#include "components/pgctld/initial_sql.h"
#include "components/pgctld/restore_command.h"
#include "gtest/gtest.h"

namespace mg::pgctld {
namespace {

class Directory {
 public:
  Directory() {
    char name[] = "/tmp/mg-pgctld.XXXXXX";
    path = ::mkdtemp(name);
  }
  ~Directory() { EXPECT_TRUE(RemoveTree(path).ok()); }
  std::string path;
};

TEST(PidFile, WhenReady_SaysSo) {
  Directory directory;
  EXPECT_EQ(ReadPidFile(directory.path).pid, 0);
  ASSERT_TRUE(WriteFileAtomically(directory.path + "/postmaster.pid",
                                  "4711\n/data\n1700000000\n5432\n/sockets\n127.0.0.1\n  12345  7\nready   \n")
                  .ok());
  EXPECT_EQ(ReadPidFile(directory.path).pid, 4711);
  EXPECT_EQ(ReadPidFile(directory.path).status, "ready");
  ASSERT_TRUE(WriteFileAtomically(directory.path + "/postmaster.pid", "-12\n/data\n").ok());
  EXPECT_EQ(ReadPidFile(directory.path).pid, 12);
  EXPECT_EQ(ReadPidFile(directory.path).status, "");
}

TEST(Leftovers, WhenThePidIsAStrangers_AreRemoved) {
  Directory directory;
  Options options;
  options.pooler_dir = directory.path;
  options.data_dir = directory.path + "/pg_data";
  options.port = 5432;
  ASSERT_TRUE(MakeDirectories(options.data_dir, 0700).ok());
  ASSERT_TRUE(MakeDirectories(directory.path + "/pg_sockets", 0700).ok());
  std::string own = absl::StrCat(::getpid(), "\n");  // alive, and no PostgreSQL
  std::string lock = directory.path + "/pg_sockets/.s.PGSQL.5432.lock";
  ASSERT_TRUE(WriteFileAtomically(options.data_dir + "/postmaster.pid", own).ok());
  ASSERT_TRUE(WriteFileAtomically(lock, own).ok());
  EXPECT_TRUE(ClearLeftovers(options, absl::InfiniteFuture()).ok());
  EXPECT_FALSE(Exists(options.data_dir + "/postmaster.pid"));
  EXPECT_FALSE(Exists(lock));
}

TEST(ClosedDirectory, IsTheFirstThatTheUserMayNotEnter) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "only root's directories can be closed to another user";
  }
  Directory directory;  // 0700, root's
  EXPECT_EQ(ClosedDirectoryAbove(directory.path + "/a/data", "nobody"), directory.path);
  ASSERT_EQ(::chmod(directory.path.c_str(), 0711), 0);
  EXPECT_EQ(ClosedDirectoryAbove(directory.path + "/a/data", "nobody"), "");
}

TEST(Secrets, BecomeStatements) {
  absl::StatusOr<std::string> sql = SecretsSql(
      R"({"roles": {"app": "it's"}, "database_settings": {"shop": {"my.key": "v", "work_mem": "8MB"}}})", "f");
  ASSERT_TRUE(sql.ok()) << sql.status();
  EXPECT_NE(sql->find("ALTER ROLE \"app\" PASSWORD 'it''s';"), std::string::npos) << *sql;
  EXPECT_NE(sql->find("ALTER DATABASE \"shop\" SET \"my\".\"key\" = 'v';"), std::string::npos) << *sql;
  EXPECT_NE(sql->find("ALTER DATABASE \"shop\" SET \"work_mem\" = '8MB';"), std::string::npos) << *sql;
}

TEST(Secrets, WhenMalformed_AreRefusedWithoutBeingShown) {
  for (const char* text :
       {"[1]", "{\"roles\": {\"app\": 7}}", "{\"rolls\": {}}", "{\"roles\": {\"app\": \"hidden\"}"}) {
    absl::StatusOr<std::string> sql = SecretsSql(text, "/s.json");
    ASSERT_FALSE(sql.ok()) << text;
    EXPECT_EQ(sql.status().message().find("hidden"), std::string::npos);
    EXPECT_EQ(std::string(sql.status().message()).rfind("/s.json: ", 0), 0u);
  }
}

TEST(RestoreCommand, WhenItRuns_IsEnded) {
  Directory directory;
  std::string file = directory.path + "/restore_command.pid";
  EXPECT_FALSE(*EndRestoreCommand(file));
  pid_t pid = ::fork();
  if (pid == 0) {
    (void)RunRestoreCommand({file, "--", "sleep", "100"});
    ::_exit(1);
  }
  // The pid is in the file before the command runs.
  for (int i = 0; i < 2000 && !Exists(file); ++i) {
    ::poll(nullptr, 0, 5);
  }
  EXPECT_TRUE(*EndRestoreCommand(file));
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_FALSE(*EndRestoreCommand(file));
}

TEST(RestoreCommand, WhenTheNumberIsSomebodyElses_IsLeftAlone) {
  Directory directory;
  std::string file = directory.path + "/restore_command.pid";
  ASSERT_TRUE(WriteFileAtomically(file, absl::StrCat(::getpid(), "\n")).ok());
  timespec long_ago[2] = {{1000000000, 0}, {1000000000, 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, file.c_str(), long_ago, 0), 0);
  EXPECT_FALSE(*EndRestoreCommand(file));
}

}  // namespace
}  // namespace mg::pgctld
