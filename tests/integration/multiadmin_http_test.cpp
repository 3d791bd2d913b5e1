/// The Admin API over HTTP: upstream's routes and error bodies, the Connect form, and the pages of every component.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <signal.h>

#include "absl/strings/str_cat.h"
#include "serviceinfoservice.grpc.pb.h"
#include "tests/integration/multiadmin_sandbox.h"

namespace mg::tests {
namespace {

constexpr char kConnect[] = "/multiadmin.MultiadminService/";

class MultiadminHttpTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { sandbox_ = EtcdSandbox::Possible() ? new MultiadminSandbox() : nullptr; }
  static void TearDownTestSuite() {
    delete sandbox_;
    sandbox_ = nullptr;
  }
  void SetUp() override {
    if (sandbox_ == nullptr) {
      GTEST_SKIP() << "no etcd";
    }
    client_ = std::make_unique<httplib::Client>("127.0.0.1", sandbox_->http_port());
    client_->set_read_timeout(20);
  }

  /// `200 body`, without the line end.
  std::string Get(const std::string& path) { return Told(client_->Get(path)); }
  std::string Post(const std::string& path, const std::string& body, const std::string& type = "application/json") {
    return Told(client_->Post(path, body, type));
  }
  static std::string Told(const httplib::Result& result) {
    if (!result) {
      return httplib::to_string(result.error());
    }
    std::string body = result->body;
    if (!body.empty() && body.back() == '\n') {
      body.pop_back();
    }
    return absl::StrCat(result->status, " ", body);
  }

  std::unique_ptr<httplib::Client> client_;
  static MultiadminSandbox* sandbox_;
};

MultiadminSandbox* MultiadminHttpTest::sandbox_ = nullptr;

TEST_F(MultiadminHttpTest, Reads) {
  EXPECT_EQ(Get("/api/v1/cells"), "200 {\"names\":[\"zone1\",\"zone2\",\"zone3\"]}");
  EXPECT_EQ(Get("/api/v1/cells/zone2"),
            absl::StrCat("200 {\"cell\":{\"name\":\"zone2\",\"serverAddresses\":[\"", sandbox_->zone2().address(),
                         "\"],\"root\":\"/multigres/zone2\"}}"));
  EXPECT_EQ(Get("/api/v1/databases"), "200 {\"names\":[\"postgres\"]}");
  EXPECT_EQ(Get("/api/v1/databases/postgres"),
            "200 {\"database\":{\"name\":\"postgres\",\"cells\":[\"zone1\",\"zone2\",\"zone3\"]}}");
  // Default values are left out, as proto3 JSON has it: SERVING is one.
  EXPECT_EQ(Get("/api/v1/poolers?cells=zone3"),
            "200 {\"poolers\":[{\"id\":{\"component\":\"MULTIPOOLER\",\"cell\":\"zone3\",\"name\":\"p3\"},"
            "\"shardKey\":{\"database\":\"postgres\",\"tableGroup\":\"default\",\"shard\":\"0-inf\"},"
            "\"hostname\":\"localhost\"}]}");
  EXPECT_EQ(Get("/api/v1/gateways?cells=zone1&cells=zone3"),
            "200 {\"gateways\":[{\"id\":{\"component\":\"MULTIGATEWAY\",\"cell\":\"zone1\",\"name\":\"g\"}},"
            "{\"id\":{\"component\":\"MULTIGATEWAY\",\"cell\":\"zone3\",\"name\":\"g\"}}]}");
  EXPECT_EQ(Get("/api/v1/orchs?cells=zone2"),
            "200 {\"orchs\":[{\"id\":{\"component\":\"MULTIORCH\",\"cell\":\"zone2\",\"name\":\"o\"}}]}");
  EXPECT_EQ(Get("/api/v1/poolers?database=other"), "200 {}");
  EXPECT_EQ(Get("/api/v1/poolers/zone1/p1/status"),
            "200 {\"status\":{\"walPosition\":\"0/3000060\",\"postgresReady\":true},"
            "\"consensusStatus\":{\"id\":{\"name\":\"p1\"}}}");
}

TEST_F(MultiadminHttpTest, ErrorBodies) {
  EXPECT_EQ(Get("/api/v1/cells/zone9"), "404 {\"code\":5,\"message\":\"cell 'zone9' not found\",\"details\":[]}");
  EXPECT_EQ(Get("/api/v1/poolers/zone1/nobody/status"),
            "404 {\"code\":5,\"message\":\"pooler 'zone1/nobody' not found\",\"details\":[]}");
  EXPECT_EQ(Get("/api/v1/poolers/zone2/p2/status").substr(0, 26), "503 {\"code\":14,\"message\":\"");
  EXPECT_EQ(Post("/api/v1/backups", "{}").substr(0, 26), "400 {\"code\":9,\"message\":\"f");
  EXPECT_EQ(Post("/api/v1/poolers/zone1/p1/postgres-restarts", "{no json").substr(0, 25),
            "400 {\"code\":3,\"message\":\"");
  EXPECT_EQ(Get("/api/v1/nothing").substr(0, 4), "404 ");
  EXPECT_EQ(Get("/api/v2/cells").substr(0, 4), "404 ");
  EXPECT_EQ(Post("/api/v1/cells", "{}"),
            "405 {\"code\":12,\"message\":\"this path does not take the method POST\",\"details\":[]}");
  const std::string large(5 << 20, 'x');
  EXPECT_EQ(Post("/api/v1/backups", large),
            "413 {\"code\":8,\"message\":\"the request cannot be read: body limit exceeded\",\"details\":[]}");
  EXPECT_EQ(Post(absl::StrCat(kConnect, "GetCell"), large),
            "413 {\"code\":\"resource_exhausted\",\"message\":\"the request cannot be read: body limit exceeded\"}");
}

TEST_F(MultiadminHttpTest, CellThatCannotBeRead_IsNamedInAHeader) {
  httplib::Result result = client_->Get("/api/v1/orchs?cells=zone1&cells=zone9%0d%0aX-Evil:%201");
  ASSERT_TRUE(result);
  EXPECT_EQ(Told(result), "200 {\"orchs\":[{\"id\":{\"component\":\"MULTIORCH\",\"cell\":\"zone1\",\"name\":\"o\"}}]}");
  EXPECT_EQ(result->get_header_value("Multigres-Partial-Cells"), "zone9??X-Evil: 1");
  EXPECT_FALSE(result->has_header("X-Evil"));

  sandbox_->zone2().Kill();
  // Until the watch of that cell has broken its last state is as good as any.
  for (absl::Time end = absl::Now() + absl::Seconds(10); absl::Now() < end;) {
    result = client_->Get("/api/v1/orchs");
    if (!result || result->has_header("Multigres-Partial-Cells")) {
      break;
    }
  }
  sandbox_->zone2().Start();
  ASSERT_TRUE(result);
  EXPECT_EQ(result->status, 200);
  EXPECT_EQ(result->get_header_value("Multigres-Partial-Cells"), "zone2");
  EXPECT_NE(result->body.find("zone3"), std::string::npos);
}

TEST_F(MultiadminHttpTest, RestartsByPost) {
  EXPECT_EQ(Post("/api/v1/poolers/zone1/p1/postgres-restarts", "{\"enabled\":true}"), "200 {}");
  EXPECT_EQ(sandbox_->restarts_enabled(), 1);
  EXPECT_EQ(Post("/api/v1/poolers/zone1/p1/postgres-restarts", ""), "200 {}");
  EXPECT_EQ(sandbox_->restarts_enabled(), 0);
}

TEST_F(MultiadminHttpTest, Connect) {
  EXPECT_EQ(Post(absl::StrCat(kConnect, "GetDatabaseNames"), "{}"), "200 {\"names\":[\"postgres\"]}");
  EXPECT_EQ(Post(absl::StrCat(kConnect, "GetCell"), "{\"name\":\"zone9\"}"),
            "404 {\"code\":\"not_found\",\"message\":\"cell 'zone9' not found\"}");
  EXPECT_EQ(Post(absl::StrCat(kConnect, "GetCell"), "{}"),
            "400 {\"code\":\"invalid_argument\",\"message\":\"cell name cannot be empty\"}");
  EXPECT_EQ(Post(absl::StrCat(kConnect, "NoSuch"), "{}").substr(0, 29), "501 {\"code\":\"unimplemented\",\"");
  EXPECT_EQ(Post(absl::StrCat(kConnect, "GetCell"), "x", "text/plain"),
            "415 {\"code\":\"invalid_argument\",\"message\":\"only application/json is understood here\"}");
  EXPECT_EQ(Get(absl::StrCat(kConnect, "GetCell")),
            "405 {\"code\":\"unimplemented\",\"message\":\"a call takes POST, not GET\"}");
  auto with = [&](const char* header, const char* value) {
    return Told(client_->Post(absl::StrCat(kConnect, "GetDatabaseNames"), {{header, value}}, "{}", "application/json"));
  };
  EXPECT_EQ(with("Connect-Protocol-Version", "1").substr(0, 3), "200");
  EXPECT_EQ(with("Connect-Timeout-Ms", "5000").substr(0, 3), "200");
  EXPECT_EQ(with("Connect-Protocol-Version", "2"),
            "400 {\"code\":\"invalid_argument\",\"message\":\"Connect-Protocol-Version must be 1\"}");
  for (const char* wrong : {"-1", "1s", "12345678901"}) {
    EXPECT_EQ(with("Connect-Timeout-Ms", wrong),
              "400 {\"code\":\"invalid_argument\",\"message\":\"Connect-Timeout-Ms is no number of milliseconds\"}");
  }
}

TEST_F(MultiadminHttpTest, PagesOfEveryComponent) {
  httplib::Result live = client_->Get("/live");
  ASSERT_TRUE(live);
  EXPECT_EQ(live->status, 200);
  EXPECT_NE(live->body.find("ok"), std::string::npos);
  EXPECT_EQ(live->get_header_value("Access-Control-Allow-Origin"), "*");
  EXPECT_EQ(Get("/ready").substr(0, 4), "200 ");
  EXPECT_NE(Get("/version").find("\"revision\":\""), std::string::npos);
  EXPECT_NE(Get("/config?format=json").find("\"service-map\":\"grpc-multiadmin\""), std::string::npos);
  EXPECT_NE(Get("/config").find("<td>service-map</td>"), std::string::npos);
  EXPECT_EQ(Get("/config?format=xml"), "200 ");
  EXPECT_NE(Get("/anything").find("Multiadmin"), std::string::npos);
  httplib::Result options = client_->Options("/api/v1/cells");
  ASSERT_TRUE(options);
  EXPECT_EQ(options->status, 204);
  EXPECT_NE(options->get_header_value("Access-Control-Allow-Methods").find("POST"), std::string::npos);
}

TEST_F(MultiadminHttpTest, BuildInfoOverGrpc) {
  auto stub = serviceinfo::ServiceInfo::NewStub(
      grpc::CreateChannel(absl::StrCat("127.0.0.1:", sandbox_->grpc_port()), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  serviceinfo::GetBuildInfoResponse response;
  ASSERT_TRUE(stub->GetBuildInfo(&context, {}, &response).ok());
  EXPECT_FALSE(response.build_info().revision().empty());
}

}  // namespace
}  // namespace mg::tests
