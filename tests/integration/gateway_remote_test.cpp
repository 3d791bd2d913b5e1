/// A pooler on another machine: PostgreSQL connections and credentials by mutual TLS.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "absl/strings/str_cat.h"
#include "tests/integration/gateway_sandbox.h"
#include "tests/integration/pgctld_sandbox.h"

namespace mg::tests {
namespace {

class GatewayRemoteTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!GatewaySandbox::Possible()) {
      GTEST_SKIP() << "no PostgreSQL or etcd";
    }
  }
};

TEST_F(GatewayRemoteTest, PoolerElsewhere_ServesByMutualTls) {
  GatewaySandbox sandbox({.gateways = 2, .elsewhere = true});
  Pq client = sandbox.Connect();
  ASSERT_EQ(PQstatus(client.get()), CONNECTION_OK) << PQerrorMessage(client.get());
  EXPECT_EQ(Ask(client, "select 41 + 1"), "42");
  // More than any buffer on the way, both ways.
  EXPECT_EQ(Ask(client, absl::StrCat("select length('", std::string(3 << 20, 'x'), "')")), absl::StrCat(3 << 20));
  EXPECT_EQ(Ask(client, "select repeat('y', 5000000)").size(), 5000000u);
  EXPECT_NE(std::string(PQerrorMessage(sandbox.Connect("password=wrong").get())).find("password authentication failed"),
            std::string::npos);
  EXPECT_NE(std::string(PQerrorMessage(sandbox.Connect("dbname=nosuch").get())).find("does not exist"),
            std::string::npos);

  // A cancel, through the other gateway too: the client's own cancel goes to its gateway.
  std::unique_ptr<PGcancel, decltype(&PQfreeCancel)> cancel(PQgetCancel(client.get()), PQfreeCancel);
  ASSERT_EQ(PQsendQuery(client.get(), "select pg_sleep(60)"), 1);
  Pq other = sandbox.Connect("", 1);
  ASSERT_TRUE(Eventually([&] {
    return Ask(other,
               "select count(*) from pg_stat_activity where query = 'select pg_sleep(60)' and wait_event = "
               "'PgSleep'") == "1";
  }));
  char error[256] = "";
  ASSERT_EQ(PQcancel(cancel.get(), error, sizeof error), 1) << error;
  EXPECT_EQ(LastCode(client), "57014");

  // A client that vanishes leaves nothing behind on the pooler's side.
  EXPECT_EQ(Ask(client, "begin"), "BEGIN");
  EXPECT_EQ(Ask(client, "create table left_behind (a int)"), "CREATE TABLE");
  ::shutdown(PQsocket(client.get()), SHUT_RDWR);
  EXPECT_TRUE(Eventually(
      [&] { return Ask(other, "select count(*) from pg_stat_activity where state = 'idle in transaction'") == "0"; }));
  client.reset();
  other.reset();
  EXPECT_TRUE(Eventually([&] { return sandbox.pool().counters().sessions == 0; }));
}

TEST_F(GatewayRemoteTest, CertificateOfAnotherName_IsRefused) {
  GatewaySandbox sandbox({.gateway_flags = {"--buffer-window=1s"}, .elsewhere = true, .allowed_names = {"somebody"}});
  Pq client = sandbox.Connect();
  EXPECT_EQ(PQstatus(client.get()), CONNECTION_BAD);
  EXPECT_EQ(sandbox.pool().counters().opened, 0);
}

}  // namespace
}  // namespace mg::tests
