/// gRPC by TLS, by multiadmin: who has which role by certificate, and certificates that are renewed while it runs.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "agentd/provisioners/local/certificates.h"
#include "common/fs/fs.h"
#include "multigres/admin/v1/identity.grpc.pb.h"
#include "tests/integration/child_process.h"
#include "tests/integration/pgctld_sandbox.h"

namespace mg::tests {
namespace {

namespace v1 = multigres::admin::v1;

class ServenvCertificatesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/mg-certificates-XXXXXX";
    directory_ = ::mkdtemp(name);
    // Two authorities; what the server has is in a third directory.
    for (const char* authority : {"old", "new"}) {
      ASSERT_TRUE(local::EnsureCertificates(PathOf(authority)).ok());
    }
    ASSERT_TRUE(MakeDirectories(PathOf("used"), 0700).ok());
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(directory_).ok()); }

  std::string PathOf(const std::string& name) const { return absl::StrCat(directory_, "/", name); }
  std::string Text(const std::string& name) const { return *ReadFile(PathOf(name)); }

  /// The server's certificate and key are those of `authority` from now on.
  void Use(const std::string& authority) {
    for (const char* file : {"/pgbackrest.key", "/pgbackrest.crt"}) {
      ASSERT_TRUE(WriteFileAtomically(PathOf(absl::StrCat("used", file)), Text(authority + file), 0600).ok());
    }
  }

  std::vector<std::string> Argv(const std::vector<std::string>& more) const {
    std::vector<std::string> argv = {LibexecProgram("multiadmin"),
                                     "--topo-global-server-addresses=127.0.0.1:1",
                                     "--topo-global-root=/x",
                                     absl::StrCat("--grpc-port=", port_),
                                     absl::StrCat("--http-port=", FreePort()),
                                     "--service-map=grpc-multiadmin",
                                     "--grpc-cert=" + PathOf("used/pgbackrest.crt"),
                                     "--grpc-key=" + PathOf("used/pgbackrest.key")};
    argv.insert(argv.end(), more.begin(), more.end());
    return argv;
  }

  /// One call over a connection of its own, trusting `authority`; `own`: shows the certificate of that authority.
  grpc::Status WhoAmI(const std::string& authority, const std::string& own, v1::WhoAmIResponse* response) const {
    grpc::SslCredentialsOptions ssl;
    ssl.pem_root_certs = Text(authority + "/ca.crt");
    if (!own.empty()) {
      ssl.pem_cert_chain = Text(own + "/pgbackrest.crt");
      ssl.pem_private_key = Text(own + "/pgbackrest.key");
    }
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    auto channel = grpc::CreateCustomChannel(absl::StrCat("localhost:", port_), grpc::SslCredentials(ssl), arguments);
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(10)));
    return v1::IdentityService::NewStub(channel)->WhoAmI(&context, {}, response);
  }
  bool Answers(const std::string& authority) const {
    v1::WhoAmIResponse response;
    return WhoAmI(authority, "", &response).ok();
  }

  std::string directory_;
  int port_ = FreePort();
};

TEST_F(ServenvCertificatesTest, RenewedFiles_AreUsedForNewConnections) {
  Use("old");
  ChildProcess process(Argv({"--auth=none"}), PathOf("log"));
  ASSERT_TRUE(Eventually([&] { return Answers("old"); })) << Text("log");
  EXPECT_FALSE(Answers("new"));
  Use("new");
  EXPECT_TRUE(Answers("new")) << Text("log");
  EXPECT_FALSE(Answers("old"));
}

TEST_F(ServenvCertificatesTest, RenewedFiles_ThatCannotBeUsed_LeaveWhatWasGood) {
  Use("old");
  ChildProcess process(Argv({"--auth=none"}), PathOf("log"));
  ASSERT_TRUE(Eventually([&] { return Answers("old"); })) << Text("log");
  auto put = [&](const char* file, const std::string& text) {
    ASSERT_TRUE(WriteFileAtomically(PathOf(file), text, 0600).ok());
    EXPECT_TRUE(Answers("old")) << "after " << file << "\n" << Text("log");
    EXPECT_NE(Text("log").find("a renewed certificate cannot be used"), std::string::npos) << Text("log");
  };
  put("used/pgbackrest.crt", "no certificate");
  // In the middle of a renewal: the certificate is new, its key is not yet.
  put("used/pgbackrest.crt", Text("new/pgbackrest.crt"));
  put("used/pgbackrest.key", "");
  Use("new");
  EXPECT_TRUE(Answers("new")) << Text("log");
}

TEST_F(ServenvCertificatesTest, ClientCertificate_GivesTheRoleOfItsName) {
  Use("old");
  ChildProcess process(Argv({"--grpc-ca=" + PathOf("old/ca.crt"), "--auth-certificate-roles=pgbackrest=operator"}),
                       PathOf("log"));
  v1::WhoAmIResponse response;
  ASSERT_TRUE(Eventually([&] { return WhoAmI("old", "old", &response).ok(); })) << Text("log");
  EXPECT_EQ(response.name(), "pgbackrest");
  EXPECT_EQ(response.role(), v1::ROLE_OPERATOR);
  EXPECT_EQ(response.method(), v1::AUTH_METHOD_CERTIFICATE);
  EXPECT_FALSE(WhoAmI("old", "", &response).ok()) << "without a certificate";
  EXPECT_FALSE(WhoAmI("old", "new", &response).ok()) << "with one of another authority";
}

TEST_F(ServenvCertificatesTest, FileThatIsMissing_IsAnErrorAtTheStart) {
  ChildProcess process(Argv({"--auth=none"}), PathOf("log"));
  EXPECT_EQ(process.Wait(), 1);
  EXPECT_NE(Text("log").find("used/pgbackrest.key"), std::string::npos) << Text("log");
}

}  // namespace
}  // namespace mg::tests
