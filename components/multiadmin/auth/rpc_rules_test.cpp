#include "components/multiadmin/auth/rpc_rules.h"

#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/admin_token/admin_token.h"
#include "common/fs/fs.h"
#include "components/multiadmin/auth/gate.h"
#include "multiadminservice.pb.h"
#include "multigres/admin/v1/backup.pb.h"
#include "multigres/admin/v1/cell.pb.h"
#include "multigres/admin/v1/database.pb.h"
#include "multigres/admin/v1/shard.pb.h"
#include "multigres/admin/v1/topology.pb.h"

namespace mg::multiadmin {
namespace {

TEST(RpcRules_, Have_ARowForEveryRpcAndNoOther) {
  std::set<std::string> declared;
  for (const google::protobuf::FileDescriptor* file :
       {::multiadmin::GetCellRequest::descriptor()->file(), multigres::admin::v1::Cell::descriptor()->file(),
        multigres::admin::v1::Token::descriptor()->file(), multigres::admin::v1::Shard::descriptor()->file(),
        multigres::admin::v1::SwitchPrimaryRequest::descriptor()->file(),
        multigres::admin::v1::RestoreBackupRequest::descriptor()->file(),
        multigres::admin::v1::ListDatabasesRequest::descriptor()->file()}) {
    for (int i = 0; i < file->service_count(); ++i) {
      for (int j = 0; j < file->service(i)->method_count(); ++j) {
        declared.insert(absl::StrCat("/", file->service(i)->full_name(), "/", file->service(i)->method(j)->name()));
      }
    }
  }
  std::set<std::string> ruled;
  for (const RpcRule& rule : RpcRules()) {
    EXPECT_TRUE(ruled.insert(std::string(rule.method)).second) << rule.method << " is there twice";
    EXPECT_EQ(FindRule(rule.method), &rule);
    EXPECT_NE(RoleWord(rule.role), "nobody") << rule.method;
  }
  EXPECT_EQ(ruled, declared);
  EXPECT_EQ(FindRule("/multiadmin.MultiadminService/getCell"), nullptr);
}

TEST(RpcRules_, GiveNoWritingRpcToViewers) {
  for (const RpcRule& rule : RpcRules()) {
    std::string name(rule.method.substr(rule.method.rfind('/') + 1));
    bool reads = absl::StartsWith(name, "Get") || absl::StartsWith(name, "List") || absl::StartsWith(name, "Wait") ||
                 absl::StartsWith(name, "Watch") || absl::StartsWith(name, "Plan") || name == "WhoAmI";
    EXPECT_TRUE(reads || rule.role > multigres::admin::v1::ROLE_VIEWER) << rule.method;
    EXPECT_TRUE(!absl::StrContains(rule.method, "TokenService") || rule.role == multigres::admin::v1::ROLE_ADMIN);
  }
}

TEST(RpcRules_, AreTheDocumentation) {
  const char* source = std::getenv("MULTIGRES_SOURCE_DIR");
  ASSERT_NE(source, nullptr);
  absl::StatusOr<std::string> page = ReadFile(absl::StrCat(source, "/docs/admin-api.md"));
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_EQ(*page, RulesAsMarkdown()) << "write it anew: multiadmin --print-rpc-rules > docs/admin-api.md";
}

TEST(AdminToken_, HasAnIdAndASecretAndIsHashed) {
  absl::StatusOr<admin_token::Token> one = admin_token::Make(), other = admin_token::Make();
  ASSERT_TRUE(one.ok() && other.ok());
  EXPECT_NE(one->text, other->text);
  EXPECT_EQ(admin_token::Id(one->text), one->id);
  EXPECT_EQ(admin_token::Hash(one->text).size(), 32u);
  EXPECT_TRUE(admin_token::SameHash(admin_token::Hash(one->text), admin_token::Hash(one->text)));
  EXPECT_FALSE(admin_token::SameHash(admin_token::Hash(one->text), admin_token::Hash(other->text)));
  for (const char* bad : {"", "mgt_", "mgt_short_x", "xyz_aaaaaaaa_0123456789012345678901234567890123456789"}) {
    EXPECT_EQ(admin_token::Id(bad), "") << bad;
  }
  for (const char* bad : {"", "a b", "a\r\nb", "a/b"}) {
    EXPECT_FALSE(admin_token::ValidateName(bad).ok()) << bad;
  }
  EXPECT_TRUE(admin_token::ValidateName("ci-1.x_y").ok());
}

TEST(FailureLimit_, LetsABurstThroughAndThenOneASecond) {
  FailureLimit limit;
  absl::Time now = absl::Now();
  int allowed = 0;
  for (int i = 0; i < 100; ++i) {
    allowed += limit.Allow("10.0.0.1", now) ? 1 : 0;
  }
  EXPECT_EQ(allowed, 20);
  EXPECT_TRUE(limit.Allow("10.0.0.2", now)) << "another address has its own";
  EXPECT_FALSE(limit.Allow("10.0.0.1", now + absl::Milliseconds(500)));
  EXPECT_TRUE(limit.Allow("10.0.0.1", now + absl::Seconds(2)));
}

TEST(Gate_, WhenNobodyIsAsked_EverybodyIsAdmin) {
  absl::StatusOr<std::unique_ptr<Audit>> audit = Audit::Open("");
  ASSERT_TRUE(audit.ok());
  Gate gate({.ask = false, .certificate_roles = {}}, nullptr, audit->get());
  absl::StatusOr<Caller> caller = gate.Admit(RpcRules()[0], {.authorization = "Bearer nonsense", .peer = "127.0.0.1"});
  ASSERT_TRUE(caller.ok());
  EXPECT_EQ(caller->role, multigres::admin::v1::ROLE_ADMIN);
}

TEST(Gate_, TakesACertificatesNameForItsRoleOnly) {
  absl::StatusOr<std::unique_ptr<Audit>> audit = Audit::Open("");
  ASSERT_TRUE(audit.ok());
  Gate gate({.ask = true, .certificate_roles = {{"grafana", multigres::admin::v1::ROLE_VIEWER}}}, nullptr,
            audit->get());
  Credentials known{.authorization = "", .certificate_names = {"x", "grafana"}, .peer = "a"};
  EXPECT_TRUE(gate.Admit(*FindRule("/multiadmin.MultiadminService/GetCell"), known).ok());
  EXPECT_TRUE(
      absl::IsPermissionDenied(gate.Admit(*FindRule("/multigres.admin.v1.CellService/DeleteCell"), known).status()));
  int asked = 0;
  auto request = [&] {
    ++asked;
    return std::string("{}");
  };
  EXPECT_TRUE(gate.Admit(*FindRule("/multiadmin.MultiadminService/GetCell"), known, request).ok());
  EXPECT_EQ(asked, 0) << "the text of a call that is let in";
  EXPECT_FALSE(gate.Admit(*FindRule("/multigres.admin.v1.CellService/DeleteCell"), known, request).ok());
  EXPECT_EQ(asked, 1) << "that of a refused one";
  Credentials unknown{.authorization = "", .certificate_names = {"grafana2"}, .peer = "a"};
  EXPECT_TRUE(absl::IsUnauthenticated(gate.Recognise(unknown).status()));
  EXPECT_TRUE(absl::IsUnauthenticated(gate.Recognise({.authorization = "Basic eA==", .peer = "a"}).status()));
}

}  // namespace
}  // namespace mg::multiadmin
