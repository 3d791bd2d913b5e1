#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/fs/fs.h"
#include "common/process/process_id.h"
#include "tests/integration/pgctld_sandbox.h"

namespace mg::tests {
namespace {

class PgctldTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!PgctldSandbox::Possible()) {
      GTEST_SKIP() << "PostgreSQL is not installed here";
    }
  }
};

TEST_F(PgctldTest, Server_FromNothing_GoesThroughItsWholeLife) {
  PgctldSandbox sandbox;
  sandbox.Serve();
  EXPECT_EQ(sandbox.Status().status(), pgctldservice::NOT_INITIALIZED);
  grpc::Status refused = sandbox.Start(true);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::UNKNOWN);
  EXPECT_TRUE(absl::StrContains(refused.error_message(), "is not initialised")) << refused.error_message();

  ASSERT_TRUE(sandbox.Init().ok());
  pgctldservice::InitDataDirResponse again;
  ASSERT_TRUE(sandbox.Init(&again).ok());
  EXPECT_EQ(again.message(), "data directory is already initialised");
  EXPECT_EQ(sandbox.Status().status(), pgctldservice::STOPPED);
  struct stat info {};
  ASSERT_EQ(::stat(sandbox.data_dir().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  EXPECT_FALSE(Exists(sandbox.data_dir() + ".initdb"));

  pgctldservice::StartResponse started;
  grpc::Status status = sandbox.Start(true, &started);
  ASSERT_TRUE(status.ok()) << status.error_message();
  pgctldservice::StatusResponse running = sandbox.Status();
  EXPECT_EQ(running.status(), pgctldservice::RUNNING);
  EXPECT_TRUE(running.ready());
  EXPECT_EQ(running.pid(), started.pid());
  EXPECT_EQ(running.port(), sandbox.port());
  EXPECT_EQ(running.data_dir(), sandbox.data_dir());
  for (auto& [name, value] : std::map<std::string, std::string>{{"data_checksums", "on"},
                                                                {"wal_level", "logical"},
                                                                {"wal_log_hints", "on"},
                                                                {"server_encoding", "UTF8"},
                                                                {"lc_ctype", "C.UTF-8"},
                                                                {"listen_addresses", "127.0.0.1"},
                                                                {"max_connections", "110"},
                                                                {"max_wal_senders", "25"},
                                                                {"wal_retrieve_retry_interval", "50ms"},
                                                                {"logging_collector", "off"}}) {
    EXPECT_EQ(sandbox.Ask("SHOW " + name), value) << name;
  }
  EXPECT_EQ(sandbox.Ask("SELECT pg_is_in_recovery()"), "f");
  EXPECT_TRUE(sandbox.Connect("secret", /*over_tcp=*/true).ok());
  EXPECT_EQ(sandbox.Connect("wrong").status().code(), absl::StatusCode::kUnauthenticated);

  pgctldservice::VersionResponse version;
  grpc::ClientContext context;
  ASSERT_TRUE(sandbox.stub().Version(&context, {}, &version).ok());
  EXPECT_TRUE(absl::StartsWith(version.version(), absl::StrCat("PostgreSQL ", running.version()))) << version.version();

  ASSERT_EQ(sandbox.Ask("ALTER SYSTEM SET work_mem = '5MB'"), "");
  grpc::ClientContext reload;
  pgctldservice::ReloadConfigResponse reloaded;
  ASSERT_TRUE(sandbox.stub().ReloadConfig(&reload, {}, &reloaded).ok());
  EXPECT_TRUE(Eventually([&] { return sandbox.Ask("SHOW work_mem") == "5MB"; }));

  ASSERT_TRUE(sandbox.Restart(/*as_standby=*/true).ok());
  EXPECT_EQ(sandbox.Ask("SELECT pg_is_in_recovery()"), "t");
  EXPECT_NE(sandbox.Status().pid(), started.pid());
  ASSERT_TRUE(sandbox.Restart(/*as_standby=*/false).ok());
  EXPECT_EQ(sandbox.Ask("SELECT pg_is_in_recovery()"), "t") << "a restart keeps the role unless told otherwise";

  pgctldservice::StopResponse stopped;
  ASSERT_TRUE(sandbox.Stop("", &stopped).ok());
  EXPECT_EQ(sandbox.Status().status(), pgctldservice::STOPPED);
  EXPECT_EQ(sandbox.Status().pid(), 0);
  ASSERT_TRUE(sandbox.Stop("fast", &stopped).ok());
  EXPECT_EQ(stopped.message(), "PostgreSQL is not running");
  EXPECT_FALSE(sandbox.Stop("gently").ok());
}

TEST_F(PgctldTest, Start_WithoutAsPrimary_IsAsAStandby) {
  PgctldSandbox sandbox;
  sandbox.CopyTemplate();
  sandbox.Serve();
  ASSERT_TRUE(sandbox.Start(false).ok());
  EXPECT_EQ(sandbox.Ask("SELECT pg_is_in_recovery()"), "t");
  EXPECT_TRUE(Exists(sandbox.data_dir() + "/standby.signal"));
  ASSERT_TRUE(sandbox.Stop("immediate").ok());
  ASSERT_TRUE(sandbox.Start(true).ok());
  EXPECT_EQ(sandbox.Ask("SELECT pg_is_in_recovery()"), "f");
}

TEST_F(PgctldTest, Starts_AtOnce_GiveOnePostgres) {
  PgctldSandbox sandbox;
  sandbox.CopyTemplate();
  sandbox.Serve();
  pgctldservice::StartResponse one, two;
  grpc::Status first, second;
  std::thread other([&] { second = sandbox.Start(true, &two); });
  first = sandbox.Start(true, &one);
  other.join();
  EXPECT_TRUE(first.ok()) << first.error_message();
  EXPECT_TRUE(second.ok()) << second.error_message();
  EXPECT_EQ(one.pid(), two.pid());
  EXPECT_NE(one.message(), two.message());
}

TEST_F(PgctldTest, Pgctld_WhenKilled_LeavesPostgresRunningAndFindsItAgain) {
  PgctldSandbox sandbox;
  sandbox.CopyTemplate();
  sandbox.Serve();
  pgctldservice::StartResponse started;
  ASSERT_TRUE(sandbox.Start(true, &started).ok());
  auto connection = sandbox.Connect();
  ASSERT_TRUE(connection.ok()) << connection.status();
  sandbox.KillPgctld();
  auto alive = (*connection)->Execute("SELECT 1", absl::Now() + absl::Seconds(10));
  EXPECT_TRUE(alive.ok()) << alive.status();
  sandbox.Serve();
  EXPECT_EQ(sandbox.Status().status(), pgctldservice::RUNNING);
  EXPECT_EQ(sandbox.Status().pid(), started.pid());
  pgctldservice::StartResponse again;
  ASSERT_TRUE(sandbox.Start(false, &again).ok());
  EXPECT_EQ(again.pid(), started.pid());
  EXPECT_EQ(sandbox.Ask("SELECT pg_is_in_recovery()"), "f") << "a running server keeps its role";
  EXPECT_TRUE((*connection)->Execute("SELECT 1", absl::Now() + absl::Seconds(10)).ok());
  EXPECT_TRUE(sandbox.Stop("fast").ok());
}

TEST_F(PgctldTest, Postgres_AsAnotherUserThanRoot_NeedsNoPrivilege) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "the other tests are that case already";
  }
  PgctldSandbox sandbox("postgres");
  sandbox.Serve();
  grpc::Status status = sandbox.Init();
  ASSERT_TRUE(status.ok()) << status.error_message();
  status = sandbox.Start(true);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(sandbox.Ask("SELECT 1"), "1");
  EXPECT_TRUE(sandbox.Stop("fast").ok());
}

TEST_F(PgctldTest, InitialSql_IsRunOnce) {
  PgctldSandbox sandbox;
  std::string directory = sandbox.directory() + "/sql";
  ASSERT_TRUE(MakeDirectories(directory, 0755).ok());
  ASSERT_TRUE(WriteFileAtomically(directory + "/1.sql", "CREATE TABLE steps (who text DEFAULT current_user);\n").ok());
  ASSERT_TRUE(WriteFileAtomically(directory + "/2.sql", "INSERT INTO steps DEFAULT VALUES;\n").ok());
  ASSERT_TRUE(WriteFileAtomically(directory + "/ignored.txt", "nonsense\n").ok());
  ASSERT_TRUE(WriteFileAtomically(sandbox.directory() + "/last.sql", "INSERT INTO steps VALUES ('last');\n").ok());
  ASSERT_TRUE(WriteFileAtomically(sandbox.directory() + "/extra.conf", "work_mem = '7MB'\n", 0644).ok());
  ASSERT_TRUE(WriteFileAtomically(sandbox.directory() + "/secrets.json",
                                  R"({"roles": {"app": "it's"}, "database_settings": {"shop": {"a.b": "c"}}})")
                  .ok());
  sandbox.flags() = {"--pg-database",          "shop",
                     "--pg-initdb-sql-dirs",   "postgres:" + directory,
                     "--pg-initdb-sql-files",  sandbox.directory() + "/last.sql",
                     "--pg-init-secrets-file", sandbox.directory() + "/secrets.json",
                     "--pg-initdb-extra-conf", sandbox.directory() + "/extra.conf"};
  sandbox.Serve();
  grpc::Status status = sandbox.Init();
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(sandbox.Status().status(), pgctldservice::STOPPED);
  ASSERT_TRUE(sandbox.Start(true).ok());
  auto shop = pgsql::Connection::Connect({.host = sandbox.pooler_dir() + "/pg_sockets",
                                          .port = sandbox.port(),
                                          .user = "app",
                                          .password = "it's",
                                          .database = "shop"},
                                         absl::Now() + absl::Seconds(10));
  ASSERT_TRUE(shop.ok()) << shop.status();
  auto setting =
      (*shop)->Execute("SELECT current_setting('a.b'), current_setting('work_mem')", absl::Now() + absl::Seconds(10));
  ASSERT_TRUE(setting.ok()) << setting.status();
  EXPECT_EQ(setting->Text(0, 0), "c");
  EXPECT_EQ(setting->Text(0, 1), "7MB");
  auto steps = pgsql::Connection::Connect({.host = sandbox.pooler_dir() + "/pg_sockets",
                                           .port = sandbox.port(),
                                           .user = "postgres",
                                           .password = "secret",
                                           .database = "shop"},
                                          absl::Now() + absl::Seconds(10));
  ASSERT_TRUE(steps.ok()) << steps.status();
  auto rows = (*steps)->Execute("SELECT string_agg(who, ',' ORDER BY who) FROM steps", absl::Now() + absl::Seconds(10));
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_EQ(rows->Text(0, 0), "last,postgres");
}

TEST_F(PgctldTest, Commands_ActOnceAndSayOneLine) {
  PgctldSandbox sandbox;
  sandbox.CopyTemplate();
  EXPECT_EQ(sandbox.Run({"init"}).standard_output, "data directory is already initialised\n");
  EXPECT_EQ(sandbox.Run({"start"}).standard_output, "PostgreSQL started\n");
  EXPECT_EQ(sandbox.Ask("SELECT pg_is_in_recovery()"), "f") << "the role is left as it was";
  EXPECT_EQ(sandbox.Run({"start"}).standard_output, "PostgreSQL is already running\n");
  std::string status = sandbox.Run({"status"}).standard_output;
  EXPECT_TRUE(absl::StartsWith(status, "Status: RUNNING\nData directory: ")) << status;
  EXPECT_TRUE(absl::StrContains(status, "\nReady: true\n")) << status;
  EXPECT_TRUE(absl::StrContains(status, absl::StrCat("\nPort: ", sandbox.port(), "\nHost: \n"))) << status;
  EXPECT_TRUE(absl::StartsWith(sandbox.Run({"version"}).standard_output, "PostgreSQL 1"));
  EXPECT_EQ(sandbox.Run({"reload-config"}).standard_output, "configuration reloaded\n");
  EXPECT_EQ(sandbox.Run({"restart", "--as-standby"}).standard_output, "PostgreSQL restarted\n");
  EXPECT_EQ(sandbox.Ask("SELECT pg_is_in_recovery()"), "t");
  EXPECT_EQ(sandbox.Run({"stop", "--mode", "immediate"}).standard_output, "PostgreSQL stopped\n");
  EXPECT_TRUE(absl::StartsWith(sandbox.Run({"status"}).standard_output, "Status: STOPPED\n"));
  HelperResult unknown = sandbox.Run({"begin"});
  EXPECT_EQ(unknown.exit_code, 1);
  EXPECT_EQ(unknown.standard_error, "Error: unknown command: begin\n");
  sandbox.environment()["PGDATA"] = "";
  EXPECT_EQ(sandbox.Run({"status"}).standard_error, "Error: PGDATA must be set to the data directory\n");
}

TEST_F(PgctldTest, Rewind_WhenDiverged_MakesItFollowTheOther) {
  PgctldSandbox old_leader, new_leader;
  old_leader.CopyTemplate();
  new_leader.CopyTemplate();
  old_leader.Serve();
  new_leader.Serve();
  ASSERT_TRUE(new_leader.Start(false).ok());
  ASSERT_EQ(new_leader.Ask("SELECT pg_promote()"), "t");
  ASSERT_EQ(new_leader.Ask("CREATE TABLE kept (a int); INSERT INTO kept VALUES (1); SELECT a FROM kept"), "1");
  ASSERT_EQ(new_leader.Ask("CHECKPOINT"), "");  // until then its control file names the old timeline
  ASSERT_TRUE(old_leader.Start(true).ok());
  ASSERT_EQ(old_leader.Ask("CREATE TABLE lost (a int)"), "");

  pgctldservice::PgRewindRequest request;
  request.set_source_host("127.0.0.1");
  request.set_source_port(new_leader.port());
  request.add_extra_args("--no-sync");
  pgctldservice::PgRewindResponse response;
  grpc::ClientContext running;
  grpc::Status status = old_leader.stub().PgRewind(&running, request, &response);
  EXPECT_TRUE(absl::StrContains(status.error_message(), "must be stopped")) << status.error_message();
  ASSERT_TRUE(old_leader.Stop("immediate").ok());  // so that the recovery before it is needed too
  grpc::ClientContext context;
  status = old_leader.stub().PgRewind(&context, request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_TRUE(absl::StrContains(response.output(), "Done!")) << response.output();
  ASSERT_TRUE(old_leader.Start(false).ok());
  EXPECT_EQ(old_leader.Ask("SELECT to_regclass('lost') IS NULL AND to_regclass('kept') IS NOT NULL"), "t");
}

}  // namespace
}  // namespace mg::tests
