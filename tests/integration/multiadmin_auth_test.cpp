/// Who may call what: every role with every RPC, over gRPC and HTTP; tokens, cells, and what is no request.
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/client_unary_call.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <sys/socket.h>

#include <fstream>
#include <random>
#include <sstream>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "common/admin_token/admin_token.h"
#include "common/etcd/etcd_client.h"
#include "common/fs/fs.h"
#include "components/multiadmin/auth/rpc_rules.h"
#include "multigres/admin/v1/cell.grpc.pb.h"
#include "multigres/admin/v1/database.grpc.pb.h"
#include "multigres/admin/v1/identity.grpc.pb.h"
#include "multigres/admin/v1/topology.grpc.pb.h"
#include "multigres/adminstore/v1/stored_token.pb.h"
#include "multigres/provisioner/v1/provisioner.grpc.pb.h"
#include "tests/integration/multiadmin_sandbox.h"
#include "tests/integration/pgctld_sandbox.h"

namespace mg::tests {
namespace {

namespace v1 = multigres::admin::v1;
constexpr char kTokens[] = "/multigres/global/multigres-admin/tokens/";

absl::Time Soon() { return absl::Now() + absl::Seconds(20); }

/// An agent whose operations fail, as they do: by the last message of a stream that ends well.
class FailingProvisioner final : public multigres::provisioner::v1::ProvisionerService::Service {
 public:
  using Writer = grpc::ServerWriter<multigres::provisioner::v1::ProvisionProgress>;
  grpc::Status ProvisionDatabase(grpc::ServerContext*, const multigres::provisioner::v1::ProvisionDatabaseRequest*,
                                 Writer* writer) override {
    multigres::provisioner::v1::ProvisionProgress news;
    news.mutable_result()->mutable_failure()->set_code(grpc::StatusCode::INVALID_ARGUMENT);
    news.mutable_result()->mutable_failure()->set_message("a name that is taken");
    writer->Write(news);
    return grpc::Status::OK;
  }
};

class MultiadminAuthTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (!EtcdSandbox::Possible()) {
      return;
    }
    absl::StatusOr<admin_token::Token> token = admin_token::Make();
    ASSERT_TRUE(token.ok());
    char directory[] = "/tmp/multiadmin-auth-XXXXXX";
    ASSERT_NE(mkdtemp(directory), nullptr);
    directory_ = directory;
    local_ = token->text;
    ASSERT_TRUE(WriteFileAtomically(absl::StrCat(directory_, "/token"), local_ + "\n", 0600).ok());
    provisioner_ = new FailingProvisioner;
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(provisioner_);
    provisioner_server_ = builder.BuildAndStart().release();
    sandbox_ = new MultiadminSandbox({absl::StrCat("--provisioner=127.0.0.1:", port),
                                      absl::StrCat("--auth-token-file=", directory_, "/token"),
                                      absl::StrCat("--audit-log-dir=", directory_, "/audit")});
  }
  static void TearDownTestSuite() {
    delete sandbox_;
    sandbox_ = nullptr;
    delete provisioner_server_;
    delete provisioner_;
    provisioner_server_ = nullptr;
    provisioner_ = nullptr;
    if (!directory_.empty()) {
      EXPECT_TRUE(RemoveTree(directory_).ok());
    }
  }
  void SetUp() override {
    if (sandbox_ == nullptr) {
      GTEST_SKIP() << "no etcd";
    }
  }

  /// One call without types; an empty token: none.
  static grpc::Status Call(const std::string& method, const std::string& token, const std::string& bytes = "") {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(Soon()));
    if (!token.empty()) {
      context.AddMetadata("authorization", "Bearer " + token);
    }
    grpc::Slice slice(bytes);
    grpc::ByteBuffer request(&slice, 1), response;
    return grpc::internal::BlockingUnaryCall(
        sandbox_->channel().get(), grpc::internal::RpcMethod(method.c_str(), grpc::internal::RpcMethod::NORMAL_RPC),
        &context, request, &response);
  }

  /// The stream's first step, or its status.
  static grpc::Status Watch(const std::string& token) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(Soon()));
    if (!token.empty()) {
      context.AddMetadata("authorization", "Bearer " + token);
    }
    auto stream = v1::TopologyService::NewStub(sandbox_->channel())->WatchTopology(&context, {});
    v1::WatchTopologyResponse step;
    if (stream->Read(&step)) {
      EXPECT_TRUE(step.snapshot());
      context.TryCancel();
      stream->Finish();
      return grpc::Status::OK;
    }
    return stream->Finish();
  }

  static httplib::Result Post(const std::string& path, const std::string& token, const std::string& body = "{}") {
    httplib::Client client("127.0.0.1", sandbox_->http_port());
    client.set_read_timeout(20);
    httplib::Headers headers;
    if (!token.empty()) {
      headers.emplace("Authorization", "Bearer " + token);
    }
    return client.Post(path, headers, body, "application/json");
  }

  /// What reflection answers when it is asked for the names of the services; and how the call ended.
  static std::pair<std::string, grpc::Status> Services(const std::string& token) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(Soon()));
    if (!token.empty()) {
      context.AddMetadata("authorization", "Bearer " + token);
    }
    grpc::internal::RpcMethod method("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                                     grpc::internal::RpcMethod::BIDI_STREAMING);
    std::unique_ptr<grpc::ClientReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer>> stream(
        grpc::internal::ClientReaderWriterFactory<grpc::ByteBuffer, grpc::ByteBuffer>::Create(sandbox_->channel().get(),
                                                                                              method, &context));
    grpc::Slice slice("\x3a\x01*");  // ServerReflectionRequest{list_services: "*"}
    stream->WriteLast(grpc::ByteBuffer(&slice, 1), grpc::WriteOptions());
    std::string answer;
    for (grpc::ByteBuffer in; stream->Read(&in);) {
      std::vector<grpc::Slice> parts;
      EXPECT_TRUE(in.Dump(&parts).ok());
      for (const grpc::Slice& part : parts) {
        answer.append(reinterpret_cast<const char*>(part.begin()), part.size());
      }
    }
    return {answer, stream->Finish()};
  }

  template <typename Service, typename Request, typename Response>
  static grpc::Status Typed(grpc::Status (Service::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                            const Request& request, Response* response, const std::string& token = local_) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(Soon()));
    context.AddMetadata("authorization", "Bearer " + token);
    auto stub = Service::NewStub(sandbox_->channel());
    return (stub.get()->*method)(&context, request, response);
  }

  static std::string NewToken(const std::string& name, v1::Role role) {
    v1::CreateTokenRequest request;
    request.set_name(name);
    request.set_role(role);
    v1::CreateTokenResponse response;
    grpc::Status status = Typed<v1::TokenService>(&v1::TokenService::Stub::CreateToken, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.secret();
  }

  static std::string AuditLog() {
    std::ifstream file(absl::StrCat(directory_, "/audit/current.log"));
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }

  static MultiadminSandbox* sandbox_;
  static FailingProvisioner* provisioner_;
  static grpc::Server* provisioner_server_;
  static std::string local_, directory_;
};

FailingProvisioner* MultiadminAuthTest::provisioner_ = nullptr;
grpc::Server* MultiadminAuthTest::provisioner_server_ = nullptr;

MultiadminSandbox* MultiadminAuthTest::sandbox_ = nullptr;
std::string MultiadminAuthTest::local_, MultiadminAuthTest::directory_;

TEST_F(MultiadminAuthTest, EveryRoleWithEveryRpc_OverGrpcAndHttp) {
  std::map<v1::Role, std::string> tokens;
  for (v1::Role role : {v1::ROLE_VIEWER, v1::ROLE_OPERATOR, v1::ROLE_ADMIN}) {
    tokens[role] = NewToken(absl::StrCat("matrix-", static_cast<int>(role)), role);
  }
  for (const multiadmin::RpcRule& rule : multiadmin::RpcRules()) {
    std::string method(rule.method);
    bool stream = absl::EndsWith(method, "/WatchTopology");
    for (const auto& [role, token] : tokens) {
      grpc::Status told = stream ? Watch(token) : Call(method, token);
      bool refused = told.error_code() == grpc::StatusCode::PERMISSION_DENIED;
      EXPECT_EQ(refused, role < rule.role)
          << method << " as " << multiadmin::RoleWord(role) << ": " << told.error_message();
      EXPECT_NE(told.error_code(), grpc::StatusCode::UNAUTHENTICATED) << method;
      httplib::Result http = Post(method, token);
      ASSERT_TRUE(http) << method;
      EXPECT_EQ(http->status == 403, role < rule.role) << method << " over HTTP: " << http->status << http->body;
      EXPECT_NE(http->status, 401) << method;
    }
    grpc::Status nobody = stream ? Watch("") : Call(method, "");
    EXPECT_TRUE(nobody.error_code() == grpc::StatusCode::UNAUTHENTICATED ||
                nobody.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED)
        << method << ": " << nobody.error_code() << " " << nobody.error_message();
    httplib::Result http = Post(method, "");
    ASSERT_TRUE(http) << method;
    EXPECT_TRUE(http->status == 401 || http->status == 429) << method << ": " << http->status;
  }
  Post("/multigres.admin.v1.CellService/DeleteCell", tokens[v1::ROLE_VIEWER], R"({"name":"refused-cell"})");
  std::string audit = AuditLog();
  EXPECT_TRUE(absl::StrContains(audit, "refused-cell")) << "a refused call's record says on what";
  EXPECT_TRUE(absl::StrContains(audit, "\"caller\":\"matrix-1\",\"role\":\"viewer\"")) << audit.substr(0, 2000);
  EXPECT_TRUE(absl::StrContains(audit, "\"outcome\":\"PERMISSION_DENIED\""));
}

TEST_F(MultiadminAuthTest, StreamWhoseLastMessageIsAFailure_IsAuditedAsOne) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(Soon()));
  context.AddMetadata("authorization", "Bearer " + local_);
  v1::CreateDatabaseRequest request;
  request.set_name("taken");
  auto stream = v1::DatabaseService::NewStub(sandbox_->channel())->CreateDatabase(&context, request);
  v1::CreateDatabaseResponse news;
  while (stream->Read(&news)) {
  }
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(news.progress().result().failure().message(), "a name that is taken");
  std::string audit = AuditLog();
  const size_t beginning = audit.find("taken\\\"");
  ASSERT_NE(beginning, std::string::npos);
  const size_t second = audit.find('\n', beginning);
  EXPECT_TRUE(absl::StrContains(audit.substr(beginning, second - beginning), "\"outcome\":\"BEGUN\"")) << audit;
  const size_t record = audit.find("taken\\\"", second);
  ASSERT_NE(record, std::string::npos);
  std::string rest = audit.substr(record, audit.find('\n', record) - record);
  EXPECT_TRUE(absl::StrContains(rest, "\"outcome\":\"INVALID_ARGUMENT\",\"error\":\"a name that is taken\"")) << rest;
}

TEST_F(MultiadminAuthTest, WithoutAToken_OnlyHealthAnswers) {
  httplib::Client client("127.0.0.1", sandbox_->http_port());
  for (const char* path : {"/live", "/ready"}) {
    EXPECT_EQ(client.Get(path)->status, 200) << path;
  }
  for (const char* path : {"/", "/config", "/version", "/services", "/proxy/pool/zone1/p1/", "/api/v1/cells"}) {
    int status = client.Get(path)->status;
    EXPECT_TRUE(status == 401 || status == 429) << path << " " << status;
  }
  httplib::Headers known = {{"Authorization", "Bearer " + local_}};
  for (const char* path : {"/", "/config", "/version", "/services", "/api/v1/cells"}) {
    EXPECT_EQ(client.Get(path, known)->status, 200) << path;
  }
  auto refused = [](const grpc::Status& status) {
    return status.error_code() == grpc::StatusCode::UNAUTHENTICATED ||
           status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED;
  };
  EXPECT_TRUE(Call("/grpc.health.v1.Health/Check", "").ok());
  EXPECT_TRUE(refused(Call("/serviceinfo.ServiceInfo/GetBuildInfo", "")));
  EXPECT_TRUE(Call("/serviceinfo.ServiceInfo/GetBuildInfo", local_).ok());
  auto [silent, without] = Services("");
  EXPECT_TRUE(refused(without)) << without.error_message();
  EXPECT_FALSE(absl::StrContains(silent, "Service")) << silent;
  auto [names, with] = Services(local_);
  EXPECT_TRUE(with.ok()) << with.error_message();
  EXPECT_TRUE(absl::StrContains(names, "multigres.admin.v1.CellService")) << names;
  // Well-formed, and of another cluster: nobody here knows it.
  absl::StatusOr<admin_token::Token> foreign = admin_token::Make();
  ASSERT_TRUE(foreign.ok());
  EXPECT_TRUE(refused(Call("/multigres.admin.v1.IdentityService/WhoAmI", foreign->text)));
  EXPECT_EQ(client.Get("/proxy/pool/zone1/nobody/", known)->status, 404);
  EXPECT_EQ(client.Get("/proxy/pool/zone1", known)->status, 400);
  EXPECT_EQ(client.Get("/proxy/what/zone1/p1/", known)->status, 404);
  EXPECT_EQ(client.Get("/proxy/admin/global/multiadmin/live", known)->status, 200);
  EXPECT_EQ(client.Options("/api/v1/cells")->status, 204);
}

TEST_F(MultiadminAuthTest, Tokens_AreStoredHashedListedAndRevokedAtOnce) {
  std::string secret = NewToken("short-lived", v1::ROLE_VIEWER);
  EXPECT_TRUE(Call("/multigres.admin.v1.IdentityService/WhoAmI", secret).ok());
  std::unique_ptr<etcd::Client> etcd = etcd::Client::Create({sandbox_->global_address()});
  absl::StatusOr<etcd::KeyValue> stored = etcd->Get(absl::StrCat(kTokens, "short-lived"), Soon());
  ASSERT_TRUE(stored.ok());
  EXPECT_FALSE(absl::StrContains(stored->value, secret.substr(13)));

  v1::CreateTokenRequest again;
  again.set_name("short-lived");
  again.set_role(v1::ROLE_VIEWER);
  v1::CreateTokenResponse none;
  EXPECT_EQ(Typed<v1::TokenService>(&v1::TokenService::Stub::CreateToken, again, &none).error_code(),
            grpc::StatusCode::ALREADY_EXISTS);
  // The audit log has callers by name: no second one is to have the name of the server's own token.
  again.set_name("local");
  EXPECT_EQ(Typed<v1::TokenService>(&v1::TokenService::Stub::CreateToken, again, &none).error_code(),
            grpc::StatusCode::ALREADY_EXISTS);
  v1::ListTokensResponse list;
  ASSERT_TRUE(Typed<v1::TokenService>(&v1::TokenService::Stub::ListTokens, v1::ListTokensRequest(), &list).ok());
  bool found = false, own = false;
  for (const v1::Token& token : list.tokens()) {
    own |= token.from_file() && token.has_last_used_at();
    found |= token.name() == "short-lived" && token.created_by() == "local" && token.has_last_used_at();
  }
  EXPECT_TRUE(found && own) << list.ShortDebugString();

  v1::RevokeTokenRequest revoke;
  revoke.set_token("short-lived");
  v1::RevokeTokenResponse revoked;
  ASSERT_TRUE(Typed<v1::TokenService>(&v1::TokenService::Stub::RevokeToken, revoke, &revoked).ok());
  EXPECT_FALSE(Call("/multigres.admin.v1.IdentityService/WhoAmI", secret).ok());
  EXPECT_EQ(Typed<v1::TokenService>(&v1::TokenService::Stub::RevokeToken, revoke, &revoked).error_code(),
            grpc::StatusCode::NOT_FOUND);
  revoke.set_token("local");
  EXPECT_EQ(Typed<v1::TokenService>(&v1::TokenService::Stub::RevokeToken, revoke, &revoked).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_FALSE(absl::StrContains(AuditLog(), secret.substr(13))) << "a secret is in the audit log";
}

TEST_F(MultiadminAuthTest, Stream_EndsWithTheTokenThatItWasBegunWith) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(Soon()));
  context.AddMetadata("authorization", "Bearer " + NewToken("streams", v1::ROLE_VIEWER));
  auto stream = v1::TopologyService::NewStub(sandbox_->channel())->WatchTopology(&context, {});
  v1::WatchTopologyResponse step;
  ASSERT_TRUE(stream->Read(&step));
  v1::RevokeTokenRequest revoke;
  revoke.set_token("streams");
  v1::RevokeTokenResponse revoked;
  ASSERT_TRUE(Typed<v1::TokenService>(&v1::TokenService::Stub::RevokeToken, revoke, &revoked).ok());
  v1::CreateCellRequest cell;
  cell.mutable_cell()->set_name("unseen");
  v1::CreateCellResponse created;
  ASSERT_TRUE(Typed<v1::CellService>(&v1::CellService::Stub::CreateCell, cell, &created).ok());
  while (stream->Read(&step)) {
    EXPECT_EQ(step.ShortDebugString().find("unseen"), std::string::npos);
  }
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED);
  v1::DeleteCellRequest gone;
  gone.set_name("unseen");
  v1::DeleteCellResponse deleted;
  EXPECT_TRUE(Typed<v1::CellService>(&v1::CellService::Stub::DeleteCell, gone, &deleted).ok());
}

TEST_F(MultiadminAuthTest, TokenThatExpired_IsRefusedWithTheReason) {
  absl::StatusOr<admin_token::Token> token = admin_token::Make();
  ASSERT_TRUE(token.ok());
  multigres::adminstore::v1::StoredToken stored;
  stored.mutable_token()->set_id(token->id);
  stored.mutable_token()->set_name("old");
  stored.mutable_token()->set_role(v1::ROLE_ADMIN);
  stored.mutable_token()->mutable_expires_at()->set_seconds(absl::ToUnixSeconds(absl::Now()) - 1);
  stored.set_secret_sha256(admin_token::Hash(token->text));
  std::unique_ptr<etcd::Client> etcd = etcd::Client::Create({sandbox_->global_address()});
  ASSERT_TRUE(etcd->Put(absl::StrCat(kTokens, "old"), stored.SerializeAsString(), Soon()).ok());
  NewToken("after-old", v1::ROLE_VIEWER);  // once this is known there, the other is too: revisions come in order
  grpc::Status told = Call("/multigres.admin.v1.IdentityService/WhoAmI", token->text);
  EXPECT_TRUE(told.error_message() == "token 'old' has expired" ||
              told.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED)
      << told.error_message();
}

TEST_F(MultiadminAuthTest, FloodOfFailures_IsLimitedAndKeepsNoGoodTokenOut) {
  int limited = 0;
  for (int i = 0; i < 60; ++i) {
    // Another cluster's token, and what is none.
    grpc::Status told =
        Call("/multigres.admin.v1.IdentityService/WhoAmI", i % 2 == 0 ? admin_token::Make()->text : "x");
    EXPECT_FALSE(told.ok());
    limited += told.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED ? 1 : 0;
  }
  EXPECT_GT(limited, 20);
  EXPECT_EQ(Post("/multigres.admin.v1.IdentityService/WhoAmI", "x")->status, 429);
  EXPECT_TRUE(Call("/multigres.admin.v1.IdentityService/WhoAmI", local_).ok());
}

TEST_F(MultiadminAuthTest, Cells_AreMadeChangedAndDeletedByVersion) {
  using Cells = v1::CellService;
  v1::CreateCellRequest create;
  v1::CreateCellResponse created;
  for (const char* bad : {"", "a_b", "global", "-x", "a/b", "a\r\nX-Evil: 1", "../x", "\xff"}) {
    create.mutable_cell()->set_name(bad);
    EXPECT_NE(Typed<Cells>(&Cells::Stub::CreateCell, create, &created).error_code(), grpc::StatusCode::OK) << bad;
  }
  create.mutable_cell()->set_name("zone9");
  create.mutable_cell()->add_server_addresses("no port");
  EXPECT_EQ(Typed<Cells>(&Cells::Stub::CreateCell, create, &created).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  create.mutable_cell()->clear_server_addresses();
  create.mutable_cell()->set_root("/multigres/global/cells");
  EXPECT_EQ(Typed<Cells>(&Cells::Stub::CreateCell, create, &created).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  // What two cells keep in one etcd must not mix; zone2 has an etcd of its own.
  for (const char* root : {"/multigres", "/multigres/zone1", "/multigres/zone1/x", "/multigres/zone3/deep/er"}) {
    create.mutable_cell()->set_root(root);
    EXPECT_EQ(Typed<Cells>(&Cells::Stub::CreateCell, create, &created).error_code(), grpc::StatusCode::INVALID_ARGUMENT)
        << root;
  }
  // By another name it is the same etcd.
  auto by_name = [](const std::string& address) { return absl::StrReplaceAll(address, {{"127.0.0.1", "localhost"}}); };
  create.mutable_cell()->set_root("/multigres/zone1/x");
  create.mutable_cell()->add_server_addresses(by_name(sandbox_->global_address()));
  grpc::Status met = Typed<Cells>(&Cells::Stub::CreateCell, create, &created);
  EXPECT_EQ(met.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_TRUE(absl::StrContains(met.error_message(), "in the same etcd")) << met.error_message();
  create.mutable_cell()->set_server_addresses(0, by_name(sandbox_->zone2().address()));
  EXPECT_TRUE(Typed<Cells>(&Cells::Stub::CreateCell, create, &created).ok());
  v1::DeleteCellRequest apart;
  apart.set_name("zone9");
  v1::DeleteCellResponse apart_gone;
  EXPECT_TRUE(Typed<Cells>(&Cells::Stub::DeleteCell, apart, &apart_gone).ok());
  create.mutable_cell()->clear_server_addresses();
  create.mutable_cell()->clear_root();
  ASSERT_TRUE(Typed<Cells>(&Cells::Stub::CreateCell, create, &created).ok());
  EXPECT_EQ(created.cell().cell().root(), "/multigres/zone9");
  EXPECT_EQ(Typed<Cells>(&Cells::Stub::CreateCell, create, &created).error_code(), grpc::StatusCode::ALREADY_EXISTS);
  v1::GetCellRequest get;
  get.set_name("zone9");
  v1::GetCellResponse got;
  ASSERT_TRUE(Typed<Cells>(&Cells::Stub::GetCell, get, &got).ok()) << "its own write is read back at once";
  EXPECT_EQ(got.cell().version(), created.cell().version());

  v1::UpdateCellRequest update;
  v1::UpdateCellResponse updated;
  update.mutable_cell()->set_name("zone9");
  update.mutable_cell()->set_root("/multigres/nine");
  update.set_version(created.cell().version() - 1);
  EXPECT_EQ(Typed<Cells>(&Cells::Stub::UpdateCell, update, &updated).error_code(), grpc::StatusCode::ABORTED);
  update.set_version(created.cell().version());
  ASSERT_TRUE(Typed<Cells>(&Cells::Stub::UpdateCell, update, &updated).ok());
  EXPECT_GT(updated.cell().version(), created.cell().version());

  v1::DeleteCellRequest remove;
  v1::DeleteCellResponse removed;
  remove.set_name("zone9");
  remove.set_version(created.cell().version());
  EXPECT_EQ(Typed<Cells>(&Cells::Stub::DeleteCell, remove, &removed).error_code(), grpc::StatusCode::ABORTED);
  remove.set_version(updated.cell().version());
  ASSERT_TRUE(Typed<Cells>(&Cells::Stub::DeleteCell, remove, &removed).ok());
  EXPECT_EQ(Typed<Cells>(&Cells::Stub::GetCell, get, &got).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(MultiadminAuthTest, CellInWhichSomethingLives_IsDeletedOnlyWhenDrained) {
  using Cells = v1::CellService;
  v1::DeleteCellRequest remove;
  v1::DeleteCellResponse removed;
  remove.set_name("zone3");
  grpc::Status told = Typed<Cells>(&Cells::Stub::DeleteCell, remove, &removed);
  EXPECT_EQ(told.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_TRUE(absl::StrContains(told.error_message(), "multigateway-zone3-g")) << told.error_message();
  // Nobody answers at these records' addresses: what has crashed for good may be forgotten.
  remove.set_forget_silent(true);
  told = Typed<Cells>(&Cells::Stub::DeleteCell, remove, &removed);
  ASSERT_TRUE(told.ok()) << told.error_message();
  absl::StatusOr<topology::Versioned<clustermetadata::Database>> database =
      sandbox_->topology().GetDatabase("postgres", Soon());
  ASSERT_TRUE(database.ok());
  EXPECT_EQ(database->record.cells_size(), 2) << "the database no longer lists it";
  remove.set_name("zone1");  // its pooler answers
  told = Typed<Cells>(&Cells::Stub::DeleteCell, remove, &removed);
  EXPECT_EQ(told.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_TRUE(absl::StrContains(told.error_message(), "multipooler-zone1-p1")) << told.error_message();
}

TEST_F(MultiadminAuthTest, WhatIsNoRequest_IsRefusedAndHarmsNothing) {
  std::mt19937 random(7);
  for (const multiadmin::RpcRule& rule : multiadmin::RpcRules()) {
    std::string method(rule.method);
    if (absl::EndsWith(method, "/WatchTopology")) {
      continue;
    }
    for (int i = 0; i < 4; ++i) {
      std::string bytes(random() % 200 + 1, '\0');
      for (char& c : bytes) {
        c = static_cast<char>(random());
      }
      Call(method, local_, bytes);
      httplib::Result http = Post(method, local_, bytes);
      ASSERT_TRUE(http) << method;
      EXPECT_NE(http->status, 500) << method << http->body;
    }
    // Streams are gRPC's alone, whatever is asked.
    bool streams = absl::EndsWith(method, "/CreateDatabase") || absl::EndsWith(method, "/DeleteDatabase") ||
                   absl::EndsWith(method, "/RunRestore");
    EXPECT_EQ(Post(method, local_, "{\"name\": ")->status, streams ? 501 : 400) << method;
    EXPECT_EQ(Post(method, local_, std::string(5000, '['))->status, streams ? 501 : 400) << method;
  }
  // Line ends and other control characters in any value: refused, or kept as they are, and never a line of their own.
  for (const char* body : {R"({"cell": {"name": "a\r\nb"}})", R"({"cell": {"name": "crlf", "root": "/x\r\n/y"}})",
                           R"({"cell": {"name": "crlf", "serverAddresses": ["127.0.0.1:1\r\nX: y"]}})",
                           R"({"cell": {"name": "a\u0000b"}})"}) {
    EXPECT_EQ(Post("/multigres.admin.v1.CellService/CreateCell", local_, body)->status, 400) << body;
  }
  EXPECT_EQ(Post("/multigres.admin.v1.TokenService/CreateToken", local_, R"({"name": "a\r\nb", "role": "ROLE_VIEWER"})")
                ->status,
            400);
  EXPECT_EQ(Post("/multiadmin.MultiadminService/GetCell", local_, R"({"name": "a\r\nSet-Cookie: x"})")->status, 404);
  v1::ListCellsResponse cells;
  ASSERT_TRUE(Typed<v1::CellService>(&v1::CellService::Stub::ListCells, v1::ListCellsRequest(), &cells).ok());
  for (const auto& cell : cells.cells()) {
    EXPECT_NE(cell.cell().name(), "crlf");
  }
  EXPECT_EQ(Post("/multigres.admin.v1.CellService/CreateCell", local_, std::string(5 << 20, 'x'))->status, 413);
  EXPECT_EQ(Call("/multigres.admin.v1.CellService/CreateCell", local_, std::string(17 << 20, 'x')).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(Post("/multigres.admin.v1.CellService/NoSuchThing", local_)->status, 501);
  EXPECT_TRUE(Call("/multigres.admin.v1.IdentityService/WhoAmI", local_).ok());
}

/// Of a process, in MiB; it holds what is its alone.
double PrivateMemory(int pid) {
  std::ifstream rollup(absl::StrCat("/proc/", pid, "/smaps_rollup"));
  std::string word;
  double kib = 0, all = 0;
  while (rollup >> word) {
    if (absl::StartsWith(word, "Private_") && rollup >> kib) {
      all += kib;
    }
  }
  return all / 1024;
}

TEST_F(MultiadminAuthTest, FloodOfLongRequestsFromNobody_CostsLittleMemory) {
  const std::string body(15 << 20, 'x');
  const double before = PrivateMemory(sandbox_->process().pid());
  std::vector<std::thread> callers;
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([&] {
      for (int round = 0; round < 4; ++round) {
        EXPECT_FALSE(Call("/multiadmin.MultiadminService/GetCell", "", body).ok());
      }
    });
  }
  for (std::thread& caller : callers) {
    caller.join();
  }
  EXPECT_LT(PrivateMemory(sandbox_->process().pid()) - before, 64);
  EXPECT_TRUE(Call("/multigres.admin.v1.IdentityService/WhoAmI", local_).ok());
}

TEST_F(MultiadminAuthTest, ThoseWhoDawdle_KeepNobodyOut) {
  std::vector<UniqueFd> open;
  for (int i = 0; i < 400; ++i) {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(sandbox_->http_port()));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    (void)::send(fd.get(), "GET /live HT", 12, MSG_NOSIGNAL);
    open.push_back(std::move(fd));
  }
  httplib::Client client("127.0.0.1", sandbox_->http_port());
  client.set_read_timeout(5);
  httplib::Result result = client.Get("/live");
  ASSERT_TRUE(result) << httplib::to_string(result.error());
  EXPECT_EQ(result->status, 200);
}

}  // namespace
}  // namespace mg::tests
