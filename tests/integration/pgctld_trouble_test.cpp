#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/fs/fs.h"
#include "common/pginstall/pginstall.h"
#include "common/process/process_id.h"
#include "common/rpc/rpc.h"
#include "common/shim_protocol/shim.h"
#include "common/status/status.h"
#include "tests/integration/pgctld_sandbox.h"

namespace mg::tests {
namespace {

class PgctldTroubleTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!PgctldSandbox::Possible()) {
      GTEST_SKIP() << "PostgreSQL is not installed here";
    }
  }
};

std::string ReasonOf(const grpc::Status& status) {
  return DetailOf(rpc::FromGrpc(status)).value_or(ErrorDetail()).reason;
}

/// Names below the pooler's directory, without what is there from the start.
std::string LeftIn(const std::string& directory) {
  std::string names;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    absl::StrAppend(&names, entry.path().filename().string(), " ");
  }
  return names;
}

TEST_F(PgctldTroubleTest, PostgresKilled_IsSeenAndStartsAgain) {
  PgctldSandbox sandbox;
  sandbox.CopyTemplate();
  sandbox.Serve();
  pgctldservice::StartResponse started, again;
  ASSERT_TRUE(sandbox.Start(true, &started).ok());
  ASSERT_EQ(sandbox.Ask("CREATE TABLE t (a int)"), "");
  ASSERT_EQ(::kill(started.pid(), SIGKILL), 0);
  EXPECT_TRUE(Eventually([&] { return sandbox.Status().status() == pgctldservice::STOPPED; }));
  EXPECT_TRUE(Eventually([&] { return sandbox.Status().message() == "PostgreSQL ended with signal 9"; }));
  grpc::Status status = sandbox.Start(true, &again);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_NE(again.pid(), started.pid());
  EXPECT_EQ(sandbox.Ask("SELECT count(*) FROM t"), "0");
}

TEST_F(PgctldTroubleTest, ShimKilled_EndsPostgresWhichStartsAgain) {
  PgctldSandbox sandbox;
  sandbox.CopyTemplate();
  sandbox.Serve();
  ASSERT_TRUE(sandbox.Start(true).ok());
  shim::ShimState state = shim::ReadShimState(sandbox.directory() + "/postgres-run");
  ASSERT_TRUE(SignalProcess(*state.shim, SIGKILL).ok());
  EXPECT_TRUE(Eventually([&] { return !IsAlive(*state.child); }));
  grpc::Status status = sandbox.Start(true);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(sandbox.Ask("SELECT 1"), "1");
}

TEST_F(PgctldTroubleTest, StalePidFile_OfAThreadOrAStranger_IsRemoved) {
  PgctldSandbox sandbox;
  sandbox.CopyTemplate();
  sandbox.Serve();
  auto thread_id = ::syscall(SYS_gettid);
  for (long number : {static_cast<long>(::getppid()), static_cast<long>(thread_id), 999999999L}) {
    std::string content = absl::StrCat(number, "\n", sandbox.data_dir(), "\n1700000000\n", sandbox.port(),
                                       "\n/nowhere\n127.0.0.1\n 1 2\nready   \n");
    ASSERT_TRUE(WriteFileAtomically(sandbox.data_dir() + "/postmaster.pid", content).ok());
    EXPECT_EQ(sandbox.Status().status(), pgctldservice::STOPPED);
    pgctldservice::StartResponse started;
    grpc::Status status = sandbox.Start(true, &started);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_NE(started.pid(), number);
    ASSERT_TRUE(sandbox.Stop("fast").ok());
  }
}

TEST_F(PgctldTroubleTest, DataDirectory_ThatAnotherPostgresUses_IsLeftAlone) {
  PgctldSandbox sandbox;
  sandbox.CopyTemplate();
  sandbox.Serve();
  pginstall::Installation installation = *pginstall::Newest();
  std::string pg_ctl = installation.Program("pg_ctl");
  std::string options =
      absl::StrCat("-c listen_addresses= -c unix_socket_directories=", sandbox.data_dir(), " -p ", sandbox.port());
  HelperSpec spec{.argv = {pg_ctl, "start", "-w", "-D", sandbox.data_dir(), "-l", "/dev/null", "-o", options},
                  .working_directory = "/",
                  .run_as = sandbox.postgres_user()};
  absl::Status other = RunHelperOk(spec).status();
  ASSERT_TRUE(other.ok()) << other;
  grpc::Status status = sandbox.Start(true);
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(ReasonOf(status), "DATA_DIRECTORY_IN_USE") << status.error_message();
  EXPECT_TRUE(Exists(sandbox.data_dir() + "/postmaster.pid"));
  spec.argv = {pg_ctl, "stop", "-w", "-m", "immediate", "-D", sandbox.data_dir()};
  EXPECT_TRUE(RunHelperOk(spec).ok());
  EXPECT_TRUE(sandbox.Start(true).ok());
}

TEST_F(PgctldTroubleTest, FastStop_ThatAHangingStandbyHoldsUp_EndsSoonAndCleanly) {
  PgctldSandbox sandbox;
  sandbox.CopyTemplate();
  sandbox.Serve();
  ASSERT_TRUE(sandbox.Start(true).ok());
  std::string program = pginstall::Newest()->Program("pg_receivewal");
  std::string wal = sandbox.directory() + "/wal";
  ASSERT_TRUE(MakeDirectories(wal, 0700).ok());
  std::string port = absl::StrCat(sandbox.port());
  std::vector<std::string> words = {program, "-D", wal, "-h", "127.0.0.1", "-p", port, "-U", "postgres", "-n"};
  std::vector<char*> argv;
  for (std::string& word : words) {
    argv.push_back(word.data());
  }
  argv.push_back(nullptr);
  std::string password = "PGPASSWORD=secret";
  char* environment[] = {password.data(), nullptr};
  pid_t pid = 0;
  ASSERT_EQ(::posix_spawn(&pid, program.c_str(), nullptr, nullptr, argv.data(), environment), 0);
  EXPECT_TRUE(Eventually(
      [&] { return sandbox.Ask("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == "1"; }));
  ::kill(pid, SIGSTOP);
  // More than the connection takes: the walsender cannot even say that it ends.
  EXPECT_EQ(sandbox.Ask("CREATE TABLE t AS SELECT generate_series(1, 300000) AS a"), "");
  EXPECT_EQ(sandbox.Ask("CHECKPOINT"), "");  // what the stop takes is the walsender's then
  absl::Time begun = absl::Now();
  grpc::Status status = sandbox.Stop("fast");
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_LT(absl::Now() - begun, absl::Seconds(6));
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  shim::ShimState state = shim::ReadShimState(sandbox.directory() + "/postgres-run");
  ASSERT_TRUE(state.exit.has_value());
  EXPECT_EQ(state.exit->exit_code, 0) << "it was cut off instead of ended";
}

TEST_F(PgctldTroubleTest, ImmediateStop_DoesNotWaitForAStopUnderWay) {
  PgctldSandbox sandbox;
  sandbox.CopyTemplate();
  sandbox.Serve();
  pgctldservice::StartResponse started;
  ASSERT_TRUE(sandbox.Start(true, &started).ok());
  auto session = sandbox.Connect();  // a smart stop waits for it
  ASSERT_TRUE(session.ok()) << session.status();
  absl::Time begun = absl::Now();
  grpc::Status smart;
  std::thread waiting([&] { smart = sandbox.Stop("smart"); });
  EXPECT_TRUE(Eventually([&] { return sandbox.Status().status() != pgctldservice::RUNNING; }));
  grpc::Status immediate = sandbox.Stop("immediate");
  waiting.join();
  EXPECT_TRUE(smart.ok()) << smart.error_message();
  EXPECT_TRUE(immediate.ok()) << immediate.error_message();
  EXPECT_LT(absl::Now() - begun, absl::Seconds(8));
}

TEST_F(PgctldTroubleTest, Version_ThatIsNotInstalled_IsNamedWithAHint) {
  PgctldSandbox sandbox;
  sandbox.environment()["MULTIGRES_POSTGRES_VERSION"] = "13";
  sandbox.Serve();
  grpc::Status status = sandbox.Init();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNKNOWN);
  EXPECT_EQ(status.error_message(), "PostgreSQL 13 is not installed");
  EXPECT_EQ(ReasonOf(status), "POSTGRES_MISSING");
  sandbox.CopyTemplate();
  ASSERT_TRUE(WriteFileAtomically(sandbox.data_dir() + "/PG_VERSION", "13\n", 0644).ok());
  status = sandbox.Start(true);
  EXPECT_TRUE(absl::StrContains(status.error_message(), "PostgreSQL 13 is not installed")) << status.error_message();
}

TEST_F(PgctldTroubleTest, DataDirectory_OfAnotherOwner_IsRefused) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "only root can give files away";
  }
  PgctldSandbox sandbox;
  sandbox.CopyTemplate();
  sandbox.Serve();
  passwd* nobody = ::getpwnam("nobody");
  ASSERT_EQ(::chown(sandbox.data_dir().c_str(), nobody->pw_uid, nobody->pw_gid), 0);
  grpc::Status status = sandbox.Start(true);
  EXPECT_EQ(ReasonOf(status), "WRONG_OWNER");
  EXPECT_TRUE(absl::StrContains(status.error_message(), "belongs to nobody, and PostgreSQL runs as postgres"))
      << status.error_message();
}

TEST_F(PgctldTroubleTest, Initdb_WithBadArguments_SaysWhyAndLeavesNothing) {
  PgctldSandbox sandbox;
  sandbox.flags() = {"--pg-initdb-args", "--no-such-thing"};
  sandbox.Serve();
  grpc::Status status = sandbox.Init();
  EXPECT_EQ(ReasonOf(status), "INITDB_FAILED");
  EXPECT_TRUE(absl::StrContains(status.error_message(), "unrecognized option '--no-such-thing'"))
      << status.error_message();
  EXPECT_EQ(LeftIn(sandbox.pooler_dir()), "");
  EXPECT_EQ(sandbox.Status().status(), pgctldservice::NOT_INITIALIZED);
}

TEST_F(PgctldTroubleTest, Initdb_OnAFullDisk_SaysSoAndLeavesNothing) {
  PgctldSandbox sandbox;
  ASSERT_TRUE(MakeDirectories(sandbox.pooler_dir(), 0755).ok());
  if (::geteuid() != 0 || ::mount("none", sandbox.pooler_dir().c_str(), "tmpfs", 0, "size=20m") != 0) {
    GTEST_SKIP() << "no file system can be mounted here";
  }
  sandbox.Serve();
  grpc::Status status = sandbox.Init();
  EXPECT_EQ(ReasonOf(status), "INITDB_FAILED");
  EXPECT_TRUE(absl::StartsWith(status.error_message(), "initdb failed: No space left on device\n"))
      << status.error_message();
  EXPECT_EQ(LeftIn(sandbox.pooler_dir()), "");
  sandbox.KillPgctld();
  EXPECT_EQ(::umount2(sandbox.pooler_dir().c_str(), MNT_DETACH), 0);
}

TEST_F(PgctldTroubleTest, Initdb_WhereItsUserMayNotEnter_NamesTheDirectory) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "PostgreSQL is another user only for root";
  }
  PgctldSandbox sandbox;
  ASSERT_EQ(::chmod(sandbox.directory().c_str(), 0700), 0);
  sandbox.Serve();
  grpc::Status status = sandbox.Init();
  EXPECT_FALSE(status.ok());
  std::string expected = absl::StrCat("initdb failed: user postgres may not enter ", sandbox.directory());
  EXPECT_TRUE(absl::StartsWith(status.error_message(), expected)) << status.error_message();
}

TEST_F(PgctldTroubleTest, InitialSql_ThatFails_LeavesNothing) {
  PgctldSandbox sandbox;
  ASSERT_TRUE(WriteFileAtomically(sandbox.directory() + "/bad.sql", "SELECT nonsense;\n").ok());
  sandbox.flags() = {"--pg-initdb-sql-files", sandbox.directory() + "/bad.sql"};
  sandbox.Serve();
  grpc::Status status = sandbox.Init();
  EXPECT_EQ(ReasonOf(status), "INIT_SQL_FAILED");
  EXPECT_TRUE(absl::StrContains(status.error_message(), "column \"nonsense\" does not exist"))
      << status.error_message();
  EXPECT_FALSE(Exists(sandbox.data_dir()));
  EXPECT_EQ(sandbox.Status().status(), pgctldservice::NOT_INITIALIZED);
}

TEST_F(PgctldTroubleTest, Directory_WithSomethingElseInIt_IsNotTouched) {
  PgctldSandbox sandbox;
  ASSERT_TRUE(MakeDirectories(sandbox.data_dir(), 0755).ok());
  ASSERT_TRUE(WriteFileAtomically(sandbox.data_dir() + "/mine", "x").ok());
  sandbox.Serve();
  grpc::Status status = sandbox.Init();
  EXPECT_EQ(ReasonOf(status), "DIRECTORY_NOT_EMPTY");
  EXPECT_TRUE(Exists(sandbox.data_dir() + "/mine"));
}

TEST_F(PgctldTroubleTest, PgctldKilledDuringInitdb_LeavesNoProcess_AndTheNextOneBeginsAnew) {
  PgctldSandbox sandbox;
  sandbox.Serve();
  std::thread init([&] { EXPECT_FALSE(sandbox.Init().ok()); });
  EXPECT_TRUE(Eventually([&] { return Exists(sandbox.data_dir() + ".initdb/data/PG_VERSION"); }));
  sandbox.KillPgctld();  // its shim ends when none of its processes is left
  init.join();
  EXPECT_FALSE(Exists(sandbox.data_dir()));
  sandbox.Serve();
  EXPECT_FALSE(Exists(sandbox.data_dir() + ".initdb"));
  EXPECT_EQ(sandbox.Status().status(), pgctldservice::NOT_INITIALIZED);
  grpc::Status status = sandbox.Init();
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_TRUE(sandbox.Start(true).ok());
}

TEST_F(PgctldTroubleTest, PortInUse_IsToldWithPostgresOwnWords) {
  PgctldSandbox holder, sandbox;
  holder.CopyTemplate();
  sandbox.CopyTemplate();
  holder.Serve();
  ASSERT_TRUE(holder.Start(true).ok());
  sandbox.flags() = {"--pg-port", absl::StrCat(holder.port())};
  sandbox.Serve();
  grpc::Status status = sandbox.Start(true);
  EXPECT_EQ(ReasonOf(status), "POSTGRES_START_FAILED");
  EXPECT_TRUE(absl::StrContains(status.error_message(), "Address already in use")) << status.error_message();
}

}  // namespace
}  // namespace mg::tests
