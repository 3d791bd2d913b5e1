#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <libpq/libpq-fs.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/fs/fs.h"
#include "common/fs/unique_fd.h"
#include "common/pgwire/client.h"
#include "common/pgwire/message.h"
#include "common/pgwire/scram.h"
#include "tests/integration/gateway_sandbox.h"
#include "tests/integration/pgctld_sandbox.h"

namespace mg::tests {
namespace {

using multipooler::ServingMode;

class GatewayTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (GatewaySandbox::Possible()) {
      GatewaySandboxOptions options;
      options.gateways = 2;
      options.gateway_flags = {"--buffer-window=2s", "--authentication-timeout=10s"};
      sandbox_ = new GatewaySandbox(std::move(options));
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
  }

  /// A TCP connection to the gateway for bytes of one's own.
  UniqueFd Dial(int gateway = 0) const {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(sandbox_->port(gateway)));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return fd;
  }
  static void Write(const UniqueFd& fd, absl::string_view data) {
    EXPECT_EQ(::send(fd.get(), data.data(), data.size(), MSG_NOSIGNAL), static_cast<ssize_t>(data.size()));
  }
  /// What comes until the end of the connection, or until `enough` has come.
  static std::string Read(const UniqueFd& fd, const std::function<bool(const std::string&)>& enough = nullptr) {
    std::string all;
    char buffer[4096];
    pollfd wait{fd.get(), POLLIN, 0};
    while (!(enough && enough(all)) && ::poll(&wait, 1, 15000) == 1) {
      ssize_t n = ::recv(fd.get(), buffer, sizeof buffer, 0);
      if (n <= 0) {
        return all;
      }
      all.append(buffer, static_cast<size_t>(n));
    }
    return all;
  }

  static GatewaySandbox* sandbox_;
};
GatewaySandbox* GatewayTest::sandbox_ = nullptr;

TEST_F(GatewayTest, Login_RightWrongUnknownAndForbidden) {
  Pq admin = sandbox_->Connect();
  ASSERT_EQ(PQstatus(admin.get()), CONNECTION_OK) << PQerrorMessage(admin.get());
  Ask(admin, "DROP ROLE IF EXISTS bob, nologin, md5");
  EXPECT_EQ(Ask(admin, "CREATE ROLE bob LOGIN PASSWORD 'pw'"), "CREATE ROLE");
  EXPECT_EQ(Ask(admin, "CREATE ROLE nologin PASSWORD 'pw'"), "CREATE ROLE");
  EXPECT_EQ(Ask(admin, "SET password_encryption = md5; CREATE ROLE md5 LOGIN PASSWORD 'pw'"), "CREATE ROLE");
  Pq bob = sandbox_->Connect("user=bob password=pw");
  ASSERT_EQ(PQstatus(bob.get()), CONNECTION_OK) << PQerrorMessage(bob.get());
  EXPECT_EQ(Ask(bob, "SELECT current_user"), "bob");
  EXPECT_STREQ(PQparameterStatus(bob.get(), "is_superuser"), "off");
  for (auto [who, text] : {std::pair{"user=bob password=wrong", "password authentication failed for user \"bob\""},
                           {"user=nobody password=x", "password authentication failed for user \"nobody\""},
                           {"user=md5 password=pw", "password authentication failed for user \"md5\""},
                           {"user=nologin password=pw", "role \"nologin\" is not permitted to log in"},
                           {"dbname=missing", "database \"missing\" does not exist"},
                           {"options='-c no_such=1'", "unrecognized configuration parameter \"no_such\""},
                           {"replication=database", "replication connections do not work through a gateway yet"}}) {
    Pq refused = sandbox_->Connect(who);
    EXPECT_NE(PQstatus(refused.get()), CONNECTION_OK) << who;
    EXPECT_TRUE(absl::StrContains(PQerrorMessage(refused.get()), text)) << PQerrorMessage(refused.get());
  }
  EXPECT_EQ(PQstatus(sandbox_->Connect("replication=0").get()), CONNECTION_OK);
  EXPECT_EQ(PQstatus(sandbox_->Connect("gssencmode=prefer sslmode=prefer").get()), CONNECTION_OK);
  EXPECT_NE(PQstatus(sandbox_->Connect("sslmode=require").get()), CONNECTION_OK);
}

TEST_F(GatewayTest, Parameters_AreThoseOfTheServer) {
  Pq through = sandbox_->Connect("application_name=me options='-c work_mem=5MB -c datestyle=SQL'");
  EXPECT_STREQ(PQparameterStatus(through.get(), "application_name"), "me");
  EXPECT_TRUE(absl::StartsWith(PQparameterStatus(through.get(), "DateStyle"), "SQL"));
  EXPECT_EQ(Ask(through, "SHOW work_mem"), "5MB");
  Ask(through, "SET TimeZone = 'Asia/Tokyo'");
  EXPECT_STREQ(PQparameterStatus(through.get(), "TimeZone"), "Asia/Tokyo");
  Pq rw = sandbox_->Connect("target_session_attrs=read-write");
  EXPECT_EQ(PQstatus(rw.get()), CONNECTION_OK);
}

TEST_F(GatewayTest, ProtocolNegotiation_NamesWhatIsUnknown) {
  UniqueFd fd = Dial();
  std::string body = pgwire::Writer(0)
                         .Int32((3 << 16) | 2)
                         .CString("user")
                         .CString("postgres")
                         .CString("_pq_.unknown")
                         .CString("1")
                         .Byte('\0')
                         .Finish();
  Write(fd, body);
  std::string answer = Read(fd, [](const std::string& all) { return all.size() > 30; });
  ASSERT_GT(answer.size(), 30u);
  EXPECT_EQ(answer[0], 'v');
  EXPECT_EQ(pgwire::ReadUint32(answer.data() + 5), static_cast<std::uint32_t>(pgwire::kProtocol3));
  EXPECT_TRUE(absl::StrContains(answer, "_pq_.unknown"));
  EXPECT_TRUE(absl::StrContains(answer, "SCRAM-SHA-256"));
  UniqueFd old = Dial();
  Write(old, pgwire::Writer(0).Int32(2 << 16).Bytes(std::string(280, '\0')).Finish());
  EXPECT_TRUE(absl::StrContains(Read(old), "unsupported frontend protocol 2.0"));
}

TEST_F(GatewayTest, Garbage_EndsItsOwnConnectionOnly) {
  std::vector<std::string> texts = {"",
                                    "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                                    std::string(4, '\0'),
                                    std::string("\0\0\0\7abc", 7),
                                    std::string("\0\0\0\x8\0\3\0\0", 8),
                                    std::string("\0\0\0\x9\0\3\0\0\0", 9),
                                    std::string("\x7f\xff\xff\xff", 4),
                                    std::string("\0\0\0\x10\4\xd2\x16\x2e", 8),
                                    std::string("\0\0\0\x0c\4\xd2\x16\x2e\0\0\0\1", 12),
                                    std::string("\x16\3\1\2\0\1\0\1\xfc\3\3", 11)};
  for (int i = 0; i < 20; ++i) {
    texts.push_back(pgwire::RandomBytes(200));
  }
  std::string startup = pgwire::StartupMessage({{"user", "postgres"}});
  for (const char* rest : {"Q\0\0\0\5\0", "p\0\0\0\4", "p\xff\xff\xff\xff", "p\0\0\0\x0fSCRAM-SHA-1\0"}) {
    texts.push_back(startup + std::string(rest, 6));
  }
  texts.push_back(startup + pgwire::Writer('p').CString("SCRAM-SHA-256").Int32(3).Bytes("n,,").Finish());
  for (const std::string& text : texts) {
    UniqueFd fd = Dial();
    Write(fd, text);
    ::shutdown(fd.get(), SHUT_WR);
    Read(fd);
  }
  EXPECT_EQ(Ask(sandbox_->Connect(), "SELECT 1"), "1");
}

TEST_F(GatewayTest, ClientThatStopsSendingAfterItsQuery_GetsTheAnswer) {
  // What `echo … | nc` does: the answer belongs to it all the same. By SCRAM, hence through libpq and its socket.
  Pq client = sandbox_->Connect();
  ASSERT_EQ(PQsendQuery(client.get(), "SELECT repeat('x', 300000) FROM pg_sleep(0.2)"), 1);
  ASSERT_EQ(PQflush(client.get()), 0);
  ::shutdown(PQsocket(client.get()), SHUT_WR);
  PqResult result(PQgetResult(client.get()));
  ASSERT_EQ(PQresultStatus(result.get()), PGRES_TUPLES_OK) << PQerrorMessage(client.get());
  EXPECT_EQ(PQgetlength(result.get(), 0, 0), 300000);
}

TEST_F(GatewayTest, ExtendedProtocol_PreparedStatementsBinaryAndPipeline) {
  Pq client = sandbox_->Connect();
  PqResult prepared(PQprepare(client.get(), "p", "SELECT $1::int + 1", 0, nullptr));
  EXPECT_EQ(PQresultStatus(prepared.get()), PGRES_COMMAND_OK);
  const char* values[] = {"41"};
  PqResult result(PQexecPrepared(client.get(), "p", 1, values, nullptr, nullptr, 1));
  ASSERT_EQ(PQresultStatus(result.get()), PGRES_TUPLES_OK);
  EXPECT_EQ(pgwire::ReadUint32(PQgetvalue(result.get(), 0, 0)), 42u);
  ASSERT_EQ(PQenterPipelineMode(client.get()), 1);
  for (int i = 0; i < 100; ++i) {
    std::string text = std::to_string(i);
    const char* value[] = {text.c_str()};
    ASSERT_EQ(PQsendQueryPrepared(client.get(), "p", 1, value, nullptr, nullptr, 0), 1);
  }
  ASSERT_EQ(PQpipelineSync(client.get()), 1);
  for (int i = 0; i < 100; ++i) {
    PqResult row(PQgetResult(client.get()));
    ASSERT_EQ(PQresultStatus(row.get()), PGRES_TUPLES_OK);
    EXPECT_EQ(PQgetvalue(row.get(), 0, 0), std::to_string(i + 1));
    EXPECT_EQ(PQgetResult(client.get()), nullptr);
  }
}

TEST_F(GatewayTest, CopyBothWays_BigRowsAndNotices) {
  Pq client = sandbox_->Connect();
  Ask(client, "CREATE TEMP TABLE c (a int, b text)");
  std::string rows;
  for (int i = 0; i < 20000; ++i) {
    absl::StrAppend(&rows, i, "\tsome text that makes the row longer\n");
  }
  EXPECT_EQ(PQresultStatus(PqResult(PQexec(client.get(), "COPY c FROM STDIN")).get()), PGRES_COPY_IN);
  EXPECT_EQ(PQputCopyData(client.get(), rows.data(), static_cast<int>(rows.size())), 1);
  EXPECT_EQ(PQputCopyEnd(client.get(), nullptr), 1);
  EXPECT_EQ(PQresultStatus(PqResult(PQgetResult(client.get())).get()), PGRES_COMMAND_OK);
  EXPECT_EQ(PQgetResult(client.get()), nullptr);
  EXPECT_EQ(PQresultStatus(PqResult(PQexec(client.get(), "COPY c TO STDOUT")).get()), PGRES_COPY_OUT);
  size_t bytes = 0;
  char* line = nullptr;
  for (int n = 0; (n = PQgetCopyData(client.get(), &line, 0)) > 0;) {
    bytes += static_cast<size_t>(n);
    PQfreemem(line);
  }
  EXPECT_EQ(bytes, rows.size());
  EXPECT_EQ(PQresultStatus(PqResult(PQgetResult(client.get())).get()), PGRES_COMMAND_OK);
  EXPECT_EQ(PQgetResult(client.get()), nullptr);
  // A row, and a statement, far longer than any buffer on the way.
  EXPECT_EQ(Ask(client, "SELECT length('" + std::string(3 << 20, 'x') + "')"), std::to_string(3 << 20));
  EXPECT_EQ(Ask(client, "SELECT repeat('y', 5000000)").size(), 5000000u);
  std::string notice;
  PQsetNoticeProcessor(
      client.get(), [](void* to, const char* text) { *static_cast<std::string*>(to) += text; }, &notice);
  Ask(client, "DO $$ BEGIN RAISE NOTICE 'hear'; END $$");
  EXPECT_TRUE(absl::StrContains(notice, "hear"));
  EXPECT_EQ(Code(client, "SELECT 1/0"), "22012");
  EXPECT_EQ(Ask(client, "SELECT 1"), "1");
}

TEST_F(GatewayTest, ListenNotifyAndLargeObjects) {
  Pq a = sandbox_->Connect("", 0), b = sandbox_->Connect("", 1);
  EXPECT_EQ(Ask(a, "LISTEN channel"), "LISTEN");
  EXPECT_EQ(Ask(b, "NOTIFY channel, 'payload'"), "NOTIFY");
  pollfd wait{PQsocket(a.get()), POLLIN, 0};
  ASSERT_EQ(::poll(&wait, 1, 10000), 1) << "while idle";
  PQconsumeInput(a.get());
  std::unique_ptr<PGnotify, void (*)(PGnotify*)> notify(PQnotifies(a.get()), [](PGnotify* n) { PQfreemem(n); });
  ASSERT_NE(notify, nullptr);
  EXPECT_STREQ(notify->extra, "payload");
  Ask(a, "BEGIN");
  Oid object = lo_create(a.get(), 0);
  ASSERT_NE(object, 0u);
  int fd = lo_open(a.get(), object, INV_READ | INV_WRITE);
  std::string data(100000, 'z');
  EXPECT_EQ(lo_write(a.get(), fd, data.data(), data.size()), static_cast<int>(data.size()));
  EXPECT_EQ(lo_lseek(a.get(), fd, 0, SEEK_SET), 0);
  std::string back(data.size(), '\0');
  EXPECT_EQ(lo_read(a.get(), fd, back.data(), back.size()), static_cast<int>(data.size()));
  EXPECT_EQ(back, data);
  Ask(a, "COMMIT");
}

TEST_F(GatewayTest, Cancel_ThroughItsOwnAndThroughAnotherGateway) {
  Pq admin = sandbox_->Direct();
  auto sleeping = [&] { return Ask(admin, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"); };
  pgwire::ClientOptions options;
  options.port = sandbox_->port(0);
  options.password = "secret";
  auto client = pgwire::Client::Connect(options, absl::Now() + absl::Seconds(10));
  ASSERT_TRUE(client.ok()) << client.status();
  std::uint32_t pid = (*client)->process_id(), secret = (*client)->secret();
  EXPECT_NE(pid >> 20, 0u) << "the gateway's own prefix";
  EXPECT_EQ(pid >> 31, 0u);
  for (int gateway : {0, 1}) {
    absl::Status answer;
    std::thread query(
        [&] { answer = (*client)->Query("SELECT pg_sleep(30)", absl::Now() + absl::Seconds(40)).status(); });
    EXPECT_TRUE(Eventually([&] { return sleeping() == "1"; }));
    absl::Time begin = absl::Now();
    UniqueFd wrong = Dial(gateway);
    Write(wrong, pgwire::CancelMessage(pid, secret ^ 1));
    EXPECT_EQ(Read(wrong), "");
    EXPECT_EQ(sleeping(), "1") << "a wrong secret cancels nothing";
    UniqueFd right = Dial(gateway);
    Write(right, pgwire::CancelMessage(pid, secret));
    EXPECT_EQ(Read(right), "");
    query.join();
    EXPECT_TRUE(absl::StartsWith(answer.message(), "57014")) << answer;
    EXPECT_LT(absl::Now() - begin, absl::Seconds(10));
    EXPECT_TRUE((*client)->Query("SELECT 1", absl::Now() + absl::Seconds(10)).ok()) << "the session goes on";
  }
}

TEST_F(GatewayTest, WithoutPrimary_WaitsForOneAndThenSaysSo) {
  Pq before = sandbox_->Connect(), at_rest = sandbox_->Connect();
  EXPECT_EQ(Ask(before, "BEGIN"), "BEGIN");
  sandbox_->Serve(ServingMode::kNone);
  EXPECT_EQ(Code(before, "COMMIT"), "57P01") << "a transaction at the primary that was";
  EXPECT_EQ(Code(at_rest, "SELECT 1"), "57P03") << "it would go on at the next";
  absl::Time begin = absl::Now();
  Pq refused = sandbox_->Connect();
  EXPECT_NE(PQstatus(refused.get()), CONNECTION_OK);
  EXPECT_TRUE(absl::StrContains(PQerrorMessage(refused.get()), "there is no primary now"))
      << PQerrorMessage(refused.get());
  EXPECT_GT(absl::Now() - begin, absl::Seconds(1.5));
  EXPECT_LT(absl::Now() - begin, absl::Seconds(8));
  // One that waits goes on as soon as there is a primary.
  Pq waiting(PQconnectStart(sandbox_->Conninfo().c_str()));
  std::thread serve([&] { sandbox_->Serve(ServingMode::kReadWrite); });
  for (PostgresPollingStatusType state = PGRES_POLLING_WRITING;
       state != PGRES_POLLING_OK && state != PGRES_POLLING_FAILED;) {
    pollfd wait{PQsocket(waiting.get()), static_cast<short>(state == PGRES_POLLING_READING ? POLLIN : POLLOUT), 0};
    ASSERT_EQ(::poll(&wait, 1, 10000), 1);
    state = PQconnectPoll(waiting.get());
  }
  serve.join();
  EXPECT_EQ(PQstatus(waiting.get()), CONNECTION_OK) << PQerrorMessage(waiting.get());
}

TEST_F(GatewayTest, ReadOnlyPort_GoesToAStandbyOnly) {
  std::string conninfo =
      absl::StrCat("host=127.0.0.1 user=postgres dbname=postgres password=secret port=", sandbox_->replica_port());
  Pq refused(PQconnectdb(conninfo.c_str()));
  EXPECT_TRUE(absl::StrContains(PQerrorMessage(refused.get()), "no standby serves reads now"))
      << PQerrorMessage(refused.get());
  sandbox_->Serve(ServingMode::kReadOnly);
  Pq reader(PQconnectdb(conninfo.c_str()));
  EXPECT_EQ(Ask(reader, "SELECT 1"), "1") << PQerrorMessage(reader.get());
  sandbox_->Serve(ServingMode::kReadWrite);
  EXPECT_EQ(Code(reader, "SELECT 1"), "57P01");
}

TEST_F(GatewayTest, Programs_SeeNoDifference) {
  std::string sql =
      "\\set ON_ERROR_STOP 1\nSET client_min_messages = warning;\nDROP TABLE IF EXISTS programs;\nCREATE TABLE "
      "programs (a serial PRIMARY KEY, b text);\n"
      "COPY programs (b) FROM STDIN;\nx\ny\n\\.\nSELECT count(*) FROM programs;\n\\copy programs TO STDOUT\n\\d "
      "programs\n"
      "DO $$ BEGIN RAISE WARNING 'w'; END $$;\nSELECT 1/0;\n";
  auto through = sandbox_->Run("psql", {"-X", "-v", "ECHO=all"}, sql);
  auto direct = sandbox_->Run("psql", {"-X", "-v", "ECHO=all"}, sql, /*direct=*/true);
  ASSERT_TRUE(through.ok()) << through.status();
  ASSERT_TRUE(direct.ok()) << direct.status();
  EXPECT_EQ(through->standard_output, direct->standard_output);
  EXPECT_EQ(through->standard_error, direct->standard_error);
  EXPECT_EQ(through->exit_code, 3);
  auto dump = sandbox_->Run("pg_dump", {"--no-sync"});
  auto direct_dump = sandbox_->Run("pg_dump", {"--no-sync"}, "", /*direct=*/true);
  ASSERT_TRUE(dump.ok() && direct_dump.ok());
  EXPECT_EQ(dump->exit_code, 0) << dump->standard_error;
  // Each dump has a random key of its own in \restrict.
  auto without_key = [](absl::string_view text) {
    std::vector<std::string> lines = absl::StrSplit(text, '\n');
    std::erase_if(lines, [](const std::string& line) { return absl::StrContains(line, "restrict "); });
    return lines;
  };
  EXPECT_EQ(without_key(dump->standard_output), without_key(direct_dump->standard_output));
  auto init = sandbox_->Run("pgbench", {"-i", "-q", "-s", "1"});
  ASSERT_TRUE(init.ok());
  EXPECT_EQ(init->exit_code, 0) << init->standard_error;
  for (const char* protocol : {"simple", "extended", "prepared"}) {
    auto bench = sandbox_->Run("pgbench", {"-c", "4", "-t", "25", "-M", protocol, "-n"});
    ASSERT_TRUE(bench.ok());
    EXPECT_EQ(bench->exit_code, 0) << bench->standard_error;
    EXPECT_TRUE(absl::StrContains(bench->standard_output, "number of transactions actually processed: 100/100"));
  }
  auto connects = sandbox_->Run("pgbench", {"-c", "4", "-t", "25", "-C", "-S", "-n"});
  EXPECT_TRUE(connects.ok() && connects->exit_code == 0) << connects->standard_error;
}

TEST_F(GatewayTest, Tls_WhenACertificateIsGiven) {
  std::string directory = sandbox_->directory();
  HelperSpec make;
  make.argv = {"openssl",  "req",
               "-x509",    "-newkey",
               "rsa:2048", "-nodes",
               "-days",    "1",
               "-subj",    "/CN=localhost",
               "-keyout",  directory + "/tls.key",
               "-out",     directory + "/tls.crt"};
  if (!FindProgram("openssl").ok()) {
    GTEST_SKIP() << "no openssl to make a certificate";
  }
  ASSERT_TRUE(RunHelperOk(make).ok());
  GatewaySandboxOptions options;
  options.gateway_flags = {"--pg-tls-cert-file=" + directory + "/tls.crt",
                           "--pg-tls-key-file=" + directory + "/tls.key"};
  GatewaySandbox sandbox(std::move(options));
  Pq client = sandbox.Connect("sslmode=require");
  ASSERT_EQ(PQstatus(client.get()), CONNECTION_OK) << PQerrorMessage(client.get());
  EXPECT_EQ(PQsslInUse(client.get()), 1);
  EXPECT_EQ(Ask(client, "SELECT repeat('y', 1000000)").size(), 1000000u);
  EXPECT_EQ(Ask(client, "SELECT length('" + std::string(1 << 20, 'x') + "')"), std::to_string(1 << 20));
  // A session at rest goes on with another server connection, like one that is not encrypted.
  client = sandbox.Connect("sslmode=require");
  EXPECT_EQ(Ask(client, "SET work_mem = '7MB'"), "SET");
  std::string backend = Ask(client, "SELECT pg_backend_pid()");
  Pq admin = sandbox.Direct();
  EXPECT_TRUE(Eventually([&] {
    return Ask(admin, absl::StrCat("SELECT count(*) FROM pg_stat_activity WHERE pid = ", backend,
                                   " AND state = 'idle' AND query LIKE '/* multigres: %'")) == "1";
  }));
  std::int64_t lost = sandbox.pool().counters().discarded;
  int pid = 0;
  ASSERT_TRUE(absl::SimpleAtoi(backend, &pid) && pid > 1);
  ASSERT_EQ(::kill(pid, SIGKILL), 0);
  ASSERT_TRUE(Eventually([&] { return sandbox.pool().counters().discarded > lost; }));
  EXPECT_EQ(Ask(client, "SHOW work_mem"), "7MB");
  EXPECT_NE(Ask(client, "SELECT pg_backend_pid()"), backend);
  EXPECT_EQ(PQsslInUse(client.get()), 1);
  EXPECT_EQ(PQsslInUse(sandbox.Connect("sslmode=disable").get()), 0);
}

TEST_F(GatewayTest, GracefulStop_TellsClientsAndLeavesNoRecord) {
  GatewaySandbox sandbox;
  Pq client = sandbox.Connect();
  ASSERT_EQ(PQstatus(client.get()), CONNECTION_OK);
  absl::Time begin = absl::Now();
  sandbox.StopGateway(0);
  EXPECT_LT(absl::Now() - begin, absl::Seconds(5));
  EXPECT_EQ(Code(client, "SELECT 1"), "57P01");
}

}  // namespace
}  // namespace mg::tests
