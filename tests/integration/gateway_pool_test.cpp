// What the pool promises: a session finds a server as after a login of its own, whoever used the connection before.
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include <atomic>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/integration/gateway_sandbox.h"
#include "tests/integration/pgctld_sandbox.h"

namespace mg::tests {
namespace {

class GatewayPoolTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (GatewaySandbox::Possible()) {
      sandbox_ = new GatewaySandbox();
    }
  }
  static void TearDownTestSuite() {
    delete sandbox_;
    sandbox_ = nullptr;
  }
  void SetUp() override {
    if (sandbox_ == nullptr) {
      GTEST_SKIP() << "no PostgreSQL or etcd on this machine";
    }
    Settle();
  }
  /// Until no session is left and the connections that ended are idle or gone.
  static void Settle(GatewaySandbox* sandbox = sandbox_) {
    EXPECT_TRUE(Eventually([&] {
      multipooler::PoolCounters now = sandbox->pool().counters();
      return now.sessions == 0 && now.idle == now.server_connections;
    }));
  }
  static std::string Backend(const Pq& client) { return Ask(client, "SELECT pg_backend_pid()"); }

  /// Runs statements in a session and says whether the next one got its connection.
  static bool Reused(const std::vector<std::string>& statements, const std::string& more = "") {
    std::string before;
    {
      Pq client = sandbox_->Connect(more);
      before = Backend(client);
      for (const std::string& statement : statements) {
        std::string answer = Ask(client, statement);
        EXPECT_FALSE(absl::StrContains(answer, "ERROR")) << statement << ": " << answer;
      }
    }
    Settle();
    return Backend(sandbox_->Connect(more)) == before;
  }

  static GatewaySandbox* sandbox_;
};
GatewaySandbox* GatewayPoolTest::sandbox_ = nullptr;

TEST_F(GatewayPoolTest, WhatASessionLeaves_IsGoneForTheNext) {
  EXPECT_TRUE(Reused({"SELECT 1"}));
  EXPECT_TRUE(Reused({"SET work_mem = '7MB'", "SET TimeZone = 'Asia/Tokyo'", "SET application_name = 'x'",
                      "SELECT pg_advisory_lock(42)", "PREPARE leftover AS SELECT 1", "LISTEN leftover",
                      "DECLARE leftover CURSOR WITH HOLD FOR SELECT 1", "SELECT setseed(0.5)",
                      "SET SESSION AUTHORIZATION pg_monitor", "SET default_transaction_read_only = on",
                      "BEGIN READ ONLY", "SELECT 1"}));
  Pq next = sandbox_->Connect();
  EXPECT_EQ(Ask(next, "SHOW work_mem"), "4MB");
  EXPECT_STRNE(PQparameterStatus(next.get(), "TimeZone"), "Asia/Tokyo");
  EXPECT_EQ(Ask(next, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), "0");
  EXPECT_EQ(Ask(next, "SELECT count(*) FROM pg_prepared_statements"), "0");
  EXPECT_EQ(Ask(next, "SELECT count(*) FROM pg_cursors"), "0");
  EXPECT_EQ(Ask(next, "SELECT count(*) FROM pg_listening_channels()"), "0");
  EXPECT_EQ(Ask(next, "SELECT current_user"), "postgres");
  EXPECT_EQ(Ask(next, "SHOW transaction_read_only"), "off");
  EXPECT_EQ(PQtransactionStatus(next.get()), PQTRANS_IDLE);
  // setseed(0.5) would give this one.
  EXPECT_NE(Ask(next, "SELECT random()"), "0.9851677175347999");
}

TEST_F(GatewayPoolTest, WhatDiscardAllDoesNotUndo_ClosesTheConnection) {
  EXPECT_FALSE(Reused({"SET app.who = 'x'"}));
  EXPECT_FALSE(Reused({"SELECT set_config('app.who', 'x', false)"}));
  EXPECT_FALSE(Reused({"LOAD 'plpgsql'"}));
  EXPECT_FALSE(Reused({"CREATE TEMP TABLE leftover (a int)"})) << "its schema stays";
  EXPECT_EQ(Ask(sandbox_->Connect(), "SELECT pg_my_temp_schema()"), "0");
  Settle();
  Ask(sandbox_->Direct(), "CREATE TABLE busy (load int PRIMARY KEY)");
  EXPECT_TRUE(Reused({"INSERT INTO busy VALUES (1) ON CONFLICT DO NOTHING", "SELECT load FROM busy",
                      "DO $$ BEGIN PERFORM 1; END $$"}));
  Ask(sandbox_->Direct(), "DROP TABLE busy");
  EXPECT_EQ(Ask(sandbox_->Connect(), "SELECT current_setting('app.who', true) IS NULL"), "t");
  // Through a function, whose text is elsewhere.
  Pq admin = sandbox_->Direct();
  Ask(admin, "CREATE FUNCTION sets() RETURNS text LANGUAGE sql AS $$ SELECT set_config('app.who', 'x', false) $$");
  EXPECT_FALSE(Reused({"SELECT sets()"}));
  Ask(admin,
      "DROP FUNCTION sets(); CREATE FUNCTION sets() RETURNS text BEGIN ATOMIC SELECT set_config('a.b', 'x', false); "
      "END");
  EXPECT_FALSE(Reused({"SELECT sets()"}));
  Ask(admin, "DROP FUNCTION sets()");
  EXPECT_TRUE(Reused({"SELECT 1"}));
}

TEST_F(GatewayPoolTest, AnotherRoleDatabaseOrParameter_NeverGetsTheConnection) {
  Pq admin = sandbox_->Direct();
  Ask(admin, "CREATE ROLE carol LOGIN PASSWORD 'pw'");
  Ask(admin, "CREATE DATABASE other");
  std::string first = Backend(sandbox_->Connect());
  Settle();
  for (const char* more :
       {"user=carol password=pw", "dbname=other", "application_name=else", "options='-c work_mem=8MB'"}) {
    EXPECT_NE(Backend(sandbox_->Connect(more)), first) << more;
    Settle();
  }
  EXPECT_EQ(Backend(sandbox_->Connect()), first);
}

TEST_F(GatewayPoolTest, SettingsThatANewLoginWouldFind_AreFound) {
  Pq admin = sandbox_->Direct();
  Ask(admin, "CREATE ROLE dave LOGIN PASSWORD 'pw'");
  const std::string dave = "user=dave password=pw";
  EXPECT_EQ(Ask(sandbox_->Connect(dave), "SHOW work_mem"), "4MB");
  Settle();
  Ask(admin, "ALTER ROLE dave SET work_mem = '9MB'");
  EXPECT_EQ(Ask(sandbox_->Connect(dave), "SHOW work_mem"), "9MB");
  Settle();
  Ask(admin, "ALTER ROLE dave SUPERUSER");
  EXPECT_STREQ(PQparameterStatus(sandbox_->Connect(dave).get(), "is_superuser"), "on");
  Settle();
  Ask(admin, "ALTER SYSTEM SET work_mem = '3MB'");
  Ask(admin, "SELECT pg_reload_conf()");
  EXPECT_TRUE(Eventually([&] { return Ask(admin, "SHOW work_mem") == "3MB"; }));
  EXPECT_EQ(Ask(sandbox_->Connect(), "SHOW work_mem"), "3MB");
  Ask(admin, "ALTER SYSTEM RESET work_mem");
  Ask(admin, "SELECT pg_reload_conf()");
}

TEST_F(GatewayPoolTest, PasswordChangeNologinAndDrop_CloseWhatIsPooled) {
  Pq admin = sandbox_->Connect();
  const std::string mine = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'erin'";
  for (const char* change : {"ALTER ROLE erin PASSWORD 'other'", "ALTER ROLE erin NOLOGIN", "DROP ROLE erin",
                             "ALTER USER erin VALID UNTIL 'yesterday'"}) {
    Ask(admin, "DROP ROLE IF EXISTS erin");
    EXPECT_EQ(Ask(admin, "CREATE ROLE erin LOGIN PASSWORD 'pw'"), "CREATE ROLE");
    EXPECT_EQ(Ask(sandbox_->Connect("user=erin password=pw"), "SELECT 1"), "1");
    EXPECT_TRUE(Eventually([&] { return Ask(admin, mine) == "1" && sandbox_->pool().counters().sessions == 1; }));
    EXPECT_FALSE(absl::StrContains(Ask(admin, change), "ERROR")) << change;
    EXPECT_TRUE(Eventually([&] { return Ask(admin, mine) == "0"; }, absl::Seconds(5))) << change;
    EXPECT_NE(PQstatus(sandbox_->Connect("user=erin password=pw").get()), CONNECTION_OK) << change;
  }
}

TEST_F(GatewayPoolTest, IdleConnections_DoNotForbidTheDropOfTheirDatabase) {
  Pq admin = sandbox_->Connect();
  EXPECT_EQ(Ask(admin, "CREATE DATABASE short_lived"), "CREATE DATABASE");
  for (int i = 0; i < 3; ++i) {
    sandbox_->Connect("dbname=short_lived");
  }
  EXPECT_EQ(Ask(admin, "CREATE DATABASE copy TEMPLATE short_lived"), "CREATE DATABASE");
  sandbox_->Connect("dbname=short_lived");
  EXPECT_EQ(Ask(admin, "DROP DATABASE short_lived"), "DROP DATABASE");
  EXPECT_EQ(Ask(admin, "DROP DATABASE copy"), "DROP DATABASE");
}

TEST_F(GatewayPoolTest, ClientThatVanishes_LeavesNoTransactionAndNoLock) {
  Pq admin = sandbox_->Direct();
  Ask(admin, "CREATE TABLE vanish (a int)");
  {
    Pq client = sandbox_->Connect();
    Ask(client, "BEGIN; INSERT INTO vanish VALUES (1); LOCK TABLE vanish");
    ::shutdown(PQsocket(client.get()), SHUT_RDWR);
  }
  EXPECT_TRUE(Eventually([&] { return Ask(admin, "SET lock_timeout = 100; SELECT count(*) FROM vanish") == "0"; }));
  Settle();
  {
    Pq client = sandbox_->Connect();
    PqResult copying(PQexec(client.get(), "COPY vanish FROM STDIN"));
    ASSERT_EQ(PQresultStatus(copying.get()), PGRES_COPY_IN);
    ::shutdown(PQsocket(client.get()), SHUT_RDWR);
  }
  Settle();
  EXPECT_EQ(Ask(admin, "SELECT count(*) FROM vanish"), "0");
}

TEST_F(GatewayPoolTest, Limits_QueueInOrderThenRefuse) {
  GatewaySandboxOptions options;
  options.pool.capacity = 2;
  options.pool.queue_limit = 1;
  options.pool.queue_timeout = absl::Seconds(2);
  GatewaySandbox sandbox(std::move(options));
  Settle(&sandbox);
  Pq a = sandbox.Connect(), b = sandbox.Connect();
  ASSERT_EQ(PQstatus(b.get()), CONNECTION_OK);
  Pq waiting;
  std::thread connecting([&] { waiting = sandbox.Connect(); });
  EXPECT_TRUE(Eventually([&] { return sandbox.pool().counters().waiting == 1; }));
  absl::Time begin = absl::Now();
  Pq refused = sandbox.Connect();
  EXPECT_TRUE(absl::StrContains(PQerrorMessage(refused.get()), "too many clients")) << PQerrorMessage(refused.get());
  EXPECT_LT(absl::Now() - begin, absl::Seconds(1)) << "the queue is full: at once";
  std::string backend = Backend(a);
  a.reset();
  connecting.join();
  EXPECT_EQ(Backend(waiting), backend) << "handed over";
  begin = absl::Now();
  Pq timed_out = sandbox.Connect();
  EXPECT_TRUE(absl::StrContains(PQerrorMessage(timed_out.get()), "too many clients"));
  EXPECT_GT(absl::Now() - begin, absl::Seconds(1.5));
}

TEST_F(GatewayPoolTest, ThousandSessions_AtOnce) {
  GatewaySandboxOptions options;
  options.pool.capacity = 1050;
  options.postgres_settings = {"max_connections=1100", "shared_buffers=32MB"};
  GatewaySandbox sandbox(std::move(options));
  std::vector<Pq> clients;
  for (int i = 0; i < 1000; ++i) {
    clients.push_back(sandbox.Connect());
    ASSERT_EQ(PQstatus(clients.back().get()), CONNECTION_OK) << i << ": " << PQerrorMessage(clients.back().get());
  }
  for (const Pq& client : clients) {
    ASSERT_EQ(PQsendQuery(client.get(), "SELECT 1"), 1);
  }
  for (const Pq& client : clients) {
    PqResult result(PQgetResult(client.get()));
    ASSERT_EQ(PQresultStatus(result.get()), PGRES_TUPLES_OK);
  }
}

/// Sessions at rest, over the loss of what serves them.
class GatewayRestTest : public GatewayPoolTest {
 protected:
  static std::string Settled(const Pq& client) {
    EXPECT_EQ(Ask(client, "SET work_mem = '7MB'"), "SET");
    EXPECT_EQ(Ask(client, "PREPARE twice (int) AS SELECT 2 * $1"), "PREPARE");
    return Backend(client);
  }
  /// Until the pooler has asked for the state of that backend's session.
  static void AwaitRest(const std::string& backend, const GatewaySandbox& sandbox = *sandbox_) {
    Pq admin = sandbox.Direct();
    EXPECT_TRUE(Eventually([&] {
      return Ask(admin, absl::StrCat("SELECT count(*) FROM pg_stat_activity WHERE pid = ", backend,
                                     " AND state = 'idle' AND query LIKE '/* multigres: %'")) == "1";
    }));
  }
  /// And until PostgreSQL, which then ends all others too, is back.
  static void Kill(const std::string& backend) {
    int pid = 0;
    ASSERT_TRUE(absl::SimpleAtoi(backend, &pid) && pid > 1) << backend;
    Pq witness = sandbox_->Direct();
    ASSERT_EQ(Ask(witness, "SELECT 1"), "1");
    ASSERT_EQ(::kill(pid, SIGKILL), 0);
    EXPECT_TRUE(Eventually([&] { return Ask(witness, "SELECT 1") != "1"; }));
    EXPECT_TRUE(Eventually([&] { return Ask(sandbox_->Direct(), "SELECT 1") == "1"; }));
  }
  /// Until something has come for the client, the end included.
  static void AwaitWord(const Pq& client) {
    pollfd word = {PQsocket(client.get()), POLLIN, 0};
    EXPECT_EQ(::poll(&word, 1, 10'000), 1);
  }
  static void ExpectItsState(const Pq& client) {
    EXPECT_EQ(Ask(client, "SHOW work_mem"), "7MB");
    EXPECT_EQ(Ask(client, "EXECUTE twice (21)"), "42");
  }
};

TEST_F(GatewayRestTest, ServerConnectionThatDies_IsReplaced) {
  Pq client = sandbox_->Connect(), other = sandbox_->Connect(), fresh = sandbox_->Connect();
  for (int round = 0; round < 2; ++round) {
    std::string backend = Settled(client), others = Settled(other);
    AwaitRest(backend);
    AwaitRest(others);
    std::int64_t lost = sandbox_->pool().counters().discarded;
    Kill(backend);
    // A statement that is sent to a dead connection before its end is noticed may have been begun, for all one knows.
    ASSERT_TRUE(Eventually([&] { return sandbox_->pool().counters().discarded >= lost + 3; }));
    ExpectItsState(client);
    ExpectItsState(other);
    EXPECT_NE(Backend(client), backend);
    Ask(client, "DEALLOCATE ALL");
    Ask(other, "DEALLOCATE ALL");
  }
  EXPECT_EQ(Ask(fresh, "SELECT 1"), "1");
}

TEST_F(GatewayRestTest, WhatCannotGoOn_IsToldOnce) {
  for (const char* held : {"BEGIN", "LISTEN news", "CREATE TEMP TABLE here (a int)", "SELECT pg_advisory_lock(7)",
                           "SELECT set_config('app.who', 'x', false)"}) {
    Pq client = sandbox_->Connect();
    Ask(client, held);
    std::string backend = Backend(client);
    if (absl::StrContains(held, "LISTEN")) {
      AwaitRest(backend);
      Ask(sandbox_->Direct(), "NOTIFY news");
      EXPECT_TRUE(Eventually([&] { return PQconsumeInput(client.get()) == 1 && PQnotifies(client.get()) != nullptr; }));
    }
    Kill(backend);
    AwaitWord(client);
    EXPECT_EQ(Code(client, "SELECT 1"), "57P01") << held << ": " << PQerrorMessage(client.get());
    std::string told = PQerrorMessage(client.get());
    EXPECT_EQ(told.find("FATAL"), told.rfind("FATAL")) << held << ": " << told;
    EXPECT_TRUE(Eventually([&] { return Ask(sandbox_->Connect(), "SELECT 1") == "1"; }));
  }
}

TEST_F(GatewayRestTest, QuestionForItsState_LeavesTheUnnamedStatement) {
  Pq client = sandbox_->Connect();
  std::string backend = Backend(client);
  PqResult prepared(PQprepare(client.get(), "", "SELECT $1::int + 1", 0, nullptr));
  ASSERT_EQ(PQresultStatus(prepared.get()), PGRES_COMMAND_OK);
  for (const char* value : {"1", "2"}) {
    PqResult result(PQexecPrepared(client.get(), "", 1, &value, nullptr, nullptr, 0));
    ASSERT_EQ(PQresultStatus(result.get()), PGRES_TUPLES_OK) << PQerrorMessage(client.get());
    AwaitRest(backend);
  }
  EXPECT_EQ(Ask(client, "SELECT count(*) FROM pg_prepared_statements"), "0");
  EXPECT_EQ(Backend(client), backend);
}

TEST_F(GatewayRestTest, PoolerThatIsLost_TheGatewayKnowsWhatTheyHeld) {
  GatewaySandbox sandbox({.elsewhere = true});
  Pq client = sandbox.Connect(), fresh = sandbox.Connect(), holder = sandbox.Connect(), busy = sandbox.Connect();
  std::string held = Backend(holder);
  EXPECT_EQ(Ask(holder, "CREATE TEMP TABLE here (a int)"), "CREATE TABLE");
  EXPECT_EQ(Ask(busy, "CREATE TABLE runs (a int)"), "CREATE TABLE");
  AwaitRest(Settled(client), sandbox);
  AwaitRest(held, sandbox);
  ASSERT_EQ(PQsendQuery(busy.get(), "INSERT INTO runs SELECT 1 FROM pg_sleep(0.5)"), 1);
  ASSERT_EQ(PQflush(busy.get()), 0);
  Pq admin = sandbox.Direct();
  EXPECT_TRUE(Eventually(
      [&] { return Ask(admin, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == "1"; }));
  Pq passing_by = sandbox.Connect();  // behind what the pooler has told the gateway
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(Ask(passing_by, "SELECT 1"), "1");
  }
  multipooler::PoolCounters before = sandbox.pool().counters();
  sandbox.CutConnections();
  // A statement that is sent before the gateway has noticed may have been begun, for all one knows.
  EXPECT_TRUE(Eventually([&] {
    multipooler::PoolCounters now = sandbox.pool().counters();
    return now.opened + now.reused >= before.opened + before.reused + 2;
  }));
  ExpectItsState(client);
  EXPECT_EQ(Ask(fresh, "SELECT 1"), "1");
  AwaitWord(holder);
  EXPECT_EQ(Code(holder, "SELECT 1"), "57P01") << PQerrorMessage(holder.get());
  EXPECT_EQ(LastCode(busy), "57P01") << "nobody knows whether it ran";
  EXPECT_TRUE(Eventually(
      [&] { return Ask(admin, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == "0"; }));
  EXPECT_LE(Ask(admin, "SELECT count(*) FROM runs"), "1");
}

TEST_F(GatewayRestTest, AdministratorsEndOfASession_IsItsEnd) {
  Pq client = sandbox_->Connect();
  std::string backend = Settled(client);
  AwaitRest(backend);
  EXPECT_EQ(Ask(sandbox_->Direct(), absl::StrCat("SELECT pg_terminate_backend(", backend, ")")), "t");
  EXPECT_EQ(Code(client, "SELECT 1"), "57P01");
}

TEST_F(GatewayRestTest, PoolerThatStopsToServe_HandsThemBack) {
  Pq client = sandbox_->Connect(), soon = sandbox_->Connect(), busy = sandbox_->Connect();
  AwaitRest(Settled(client));
  EXPECT_EQ(Ask(busy, "BEGIN"), "BEGIN");
  Settled(soon);  // its state is asked for when it has to leave
  sandbox_->Serve(multipooler::ServingMode::kNone);
  EXPECT_EQ(Code(busy, "COMMIT"), "57P01");
  ASSERT_EQ(PQsendQuery(client.get(), "SHOW work_mem"), 1);
  pollfd answer = {PQsocket(client.get()), POLLIN, 0};
  EXPECT_EQ(::poll(&answer, 1, 300), 0) << "nobody serves";
  sandbox_->Serve(multipooler::ServingMode::kReadWrite);
  PqResult result(PQgetResult(client.get()));
  ASSERT_EQ(PQresultStatus(result.get()), PGRES_TUPLES_OK) << PQerrorMessage(client.get());
  EXPECT_STREQ(PQgetvalue(result.get(), 0, 0), "7MB");
  PQclear(PQgetResult(client.get()));
  ExpectItsState(client);
  ExpectItsState(soon);
}

/// A primary whose standby never answers: each commit waits until somebody ends the wait.
class GatewaySyncTest : public GatewayPoolTest {
 protected:
  void SetUp() override {
    GatewayPoolTest::SetUp();
    if (sandbox_ != nullptr) {
      admin_ = sandbox_->Direct();
      Ask(admin_, "SET synchronous_commit = off");
      Ask(admin_, "CREATE TABLE IF NOT EXISTS kept (a int)");
      Standbys("nobody");
    }
  }
  void TearDown() override {
    if (sandbox_ != nullptr) {
      Standbys("");
    }
  }
  void Standbys(const std::string& names) {
    Ask(admin_, absl::StrCat("ALTER SYSTEM SET synchronous_standby_names = '", names, "'"));
    Ask(admin_, "SELECT pg_reload_conf()");
    EXPECT_TRUE(Eventually([&] { return Ask(admin_, "SHOW synchronous_standby_names") == names; }));
  }
  void AwaitCommitWait() {
    EXPECT_TRUE(Eventually(
        [&] { return Ask(admin_, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") == "1"; }));
  }
  Pq admin_;
};

TEST_F(GatewaySyncTest, WaitCutShort_IsNeverASuccess) {
  for (int way = 0; way < 4; ++way) {
    Pq client = sandbox_->Connect();
    if (way == 3) {
      Ask(client, "BEGIN");
      Ask(client, "INSERT INTO kept VALUES (4)");
    }
    switch (way) {
      case 0:
        ASSERT_EQ(PQsendQuery(client.get(), "INSERT INTO kept VALUES (1)"), 1);
        break;
      case 1:
        ASSERT_EQ(
            PQsendQueryParams(client.get(), "INSERT INTO kept VALUES (2)", 0, nullptr, nullptr, nullptr, nullptr, 0),
            1);
        break;
      case 2:
        ASSERT_EQ(PQsendQuery(client.get(), "INSERT INTO kept VALUES (3); SELECT 'more'"), 1);
        break;
      default:
        ASSERT_EQ(PQsendQueryParams(client.get(), "COMMIT", 0, nullptr, nullptr, nullptr, nullptr, 0), 1);
    }
    ASSERT_EQ(PQflush(client.get()), 0);
    AwaitCommitWait();
    Ask(admin_, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
    std::string code = LastCode(client);
    EXPECT_EQ(code, "40003") << "way " << way << " " << PQerrorMessage(client.get());
    EXPECT_EQ(PQstatus(client.get()), CONNECTION_BAD) << "way " << way;
  }
}

TEST_F(GatewaySyncTest, Cancel_WaitsWithTheCommit) {
  Pq client = sandbox_->Connect();
  ASSERT_EQ(PQsendQuery(client.get(), "INSERT INTO kept VALUES (5)"), 1);
  ASSERT_EQ(PQflush(client.get()), 0);
  AwaitCommitWait();
  char error[256];
  std::unique_ptr<PGcancel, void (*)(PGcancel*)> cancel(PQgetCancel(client.get()), PQfreeCancel);
  EXPECT_EQ(PQcancel(cancel.get(), error, sizeof error), 1) << error;  // returns after a moment
  AwaitCommitWait();
  Standbys("");
  PqResult result(PQgetResult(client.get()));
  EXPECT_EQ(PQresultStatus(result.get()), PGRES_COMMAND_OK) << PQerrorMessage(client.get());
}

/// Reads through a gateway what a commit made visible whose wait for the standby was cut short: the number of rows, or
/// the error's code. `muted`: PostgreSQL tells nobody that it was. Until `before_cut` answers must not be held for
/// ever.
std::string ReadAfterCut(
    const GatewaySandbox& sandbox, bool muted, const std::function<void()>& before_cut = [] {}) {
  Pq admin = sandbox.Direct(), writer = sandbox.Connect(), reader = sandbox.Connect();
  Ask(admin, "SET synchronous_commit = off");
  Ask(admin, "DROP TABLE IF EXISTS phantom");
  Ask(admin, "CREATE TABLE phantom (a int)");
  Ask(admin, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
  Ask(admin, "SELECT pg_reload_conf()");
  EXPECT_TRUE(Eventually([&] { return Ask(admin, "SHOW synchronous_standby_names") == "nobody"; }));
  if (muted) {
    Ask(writer, "SET client_min_messages = error");
  }
  EXPECT_EQ(Ask(reader, "SELECT count(*) FROM phantom"), "0");
  // Commits wait from the moment on at which the checkpointer has read the setting too.
  EXPECT_TRUE(Eventually([&] {
    Ask(admin, "TRUNCATE phantom");
    EXPECT_EQ(PQsendQuery(writer.get(), "INSERT INTO phantom VALUES (1)"), 1);
    EXPECT_EQ(PQflush(writer.get()), 0);
    pollfd answer = {PQsocket(writer.get()), POLLIN, 0};
    while (::poll(&answer, 1, 5) == 0) {
      if (Ask(admin,
              "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND "
              "clock_timestamp() - query_start > '20 ms'") == "1") {
        return true;
      }
    }
    PQclear(PQgetResult(writer.get()));
    PQclear(PQgetResult(writer.get()));
    return false;
  }));
  EXPECT_EQ(Ask(reader, "SELECT count(*) FROM phantom"), "0");  // nothing was cut short: nothing waits
  before_cut();
  Ask(admin, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
  EXPECT_TRUE(Eventually([&] { return Ask(admin, "SELECT count(*) FROM phantom") == "1"; }));
  std::string seen = "nothing";
  EXPECT_EQ(PQsendQuery(reader.get(), "SELECT count(*) FROM phantom"), 1);
  EXPECT_EQ(PQflush(reader.get()), 0);
  pollfd ready = {PQsocket(reader.get()), POLLIN, 0};
  if (::poll(&ready, 1, 300) > 0) {
    PqResult result(PQgetResult(reader.get()));
    seen = PQresultStatus(result.get()) == PGRES_TUPLES_OK ? PQgetvalue(result.get(), 0, 0) : "an error";
  }
  if (seen == "nothing" && !muted) {
    EXPECT_EQ(LastCode(writer), "40003");  // who asked for the commit need not wait to hear that it is unknown
  }
  Ask(admin, "ALTER SYSTEM RESET synchronous_standby_names");
  Ask(admin, "SELECT pg_reload_conf()");
  return seen;
}

TEST_F(GatewayPoolTest, WithoutConfirmation_AReaderSeesWhatAFailoverWouldTakeBack) {
  EXPECT_EQ(ReadAfterCut(*sandbox_, /*muted=*/false), "1");
}

class GatewayGateTest : public ::testing::TestWithParam<bool> {};

TEST_P(GatewayGateTest, AfterAWaitWasCutShort_AnswersWaitForTheStandbys) {
  if (!GatewaySandbox::Possible()) {
    GTEST_SKIP() << "no PostgreSQL or etcd on this machine";
  }
  std::atomic<bool> confirmed = true, stopped = false;
  const auto cut_off = [&] { confirmed = false; };
  std::atomic<int> asked = 0;
  GatewaySandboxOptions options;
  options.pool.confirm_commits = [&]() -> absl::Status {
    ++asked;
    return confirmed || stopped ? absl::OkStatus() : absl::DeadlineExceededError("no standby has it");
  };
  GatewaySandbox sandbox(options);
  EXPECT_EQ(ReadAfterCut(sandbox, GetParam(), cut_off), "nothing");
  EXPECT_GT(asked, 0);
  // One that is open waits too, and goes on once the standbys have everything.
  Pq later = sandbox.Connect();
  ASSERT_EQ(PQsendQuery(later.get(), "SELECT count(*) FROM phantom"), 1);
  ASSERT_EQ(PQflush(later.get()), 0);
  pollfd ready = {PQsocket(later.get()), POLLIN, 0};
  EXPECT_EQ(::poll(&ready, 1, 100), 0);
  confirmed = true;
  PqResult result(PQgetResult(later.get()));
  ASSERT_EQ(PQresultStatus(result.get()), PGRES_TUPLES_OK) << PQerrorMessage(later.get());
  EXPECT_STREQ(PQgetvalue(result.get(), 0, 0), "1");
  PQclear(PQgetResult(later.get()));
  // A leader that is not one any more ends them instead.
  EXPECT_EQ(ReadAfterCut(sandbox, GetParam(), cut_off), "nothing");
  ASSERT_EQ(PQsendQuery(later.get(), "SELECT count(*) FROM phantom WHERE true"), 1);
  ASSERT_EQ(PQflush(later.get()), 0);
  // Before it is begun there is nothing to be told of: it would run at the next leader.
  Pq admin = sandbox.Direct();
  EXPECT_TRUE(Eventually([&] {
    return Ask(admin, "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle' AND query LIKE '%WHERE true'") == "1";
  }));
  sandbox.Serve(multipooler::ServingMode::kNone);
  EXPECT_EQ(LastCode(later), "57P01") << PQerrorMessage(later.get());
  stopped = true;
}
INSTANTIATE_TEST_SUITE_P(WithAndWithoutWarning, GatewayGateTest, ::testing::Bool());

}  // namespace
}  // namespace mg::tests
