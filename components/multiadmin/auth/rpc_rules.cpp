#include "components/multiadmin/auth/rpc_rules.h"

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace mg::multiadmin {
namespace {

constexpr absl::Duration kLong = absl::Hours(12);
constexpr Role kViewer = multigres::admin::v1::ROLE_VIEWER;
constexpr Role kOperator = multigres::admin::v1::ROLE_OPERATOR;
constexpr Role kAdmin = multigres::admin::v1::ROLE_ADMIN;

}  // namespace

const std::vector<RpcRule>& RpcRules() {
  static const auto* const kRules = new std::vector<RpcRule>{
      {"/multiadmin.MultiadminService/GetCell", kViewer, "one cell"},
      {"/multiadmin.MultiadminService/GetCellNames", kViewer, "the names of all cells"},
      {"/multiadmin.MultiadminService/GetDatabase", kViewer, "one database"},
      {"/multiadmin.MultiadminService/GetDatabaseNames", kViewer, "the names of all databases"},
      {"/multiadmin.MultiadminService/GetGateways", kViewer, "gateways"},
      {"/multiadmin.MultiadminService/GetPoolers", kViewer, "poolers"},
      {"/multiadmin.MultiadminService/GetOrchs", kViewer, "orchs"},
      {"/multiadmin.MultiadminService/GetPoolerStatus", kViewer, "the status of one pooler, asked of it"},
      {"/multiadmin.MultiadminService/GetGatewayQueries", kViewer, "query statistics of one gateway"},
      {"/multiadmin.MultiadminService/GetGatewayConsolidator", kViewer, "prepared statements of one gateway"},
      {"/multiadmin.MultiadminService/GetBackups", kViewer, "the backups that there are"},
      {"/multiadmin.MultiadminService/GetBackupJobStatus", kViewer, "how far a backup is"},
      {"/multiadmin.MultiadminService/Backup", kOperator, "make a backup"},
      {"/multiadmin.MultiadminService/ExpireBackups", kOperator, "remove old backups", kLong},
      {"/multiadmin.MultiadminService/VerifyBackups", kOperator, "check backups", kLong},
      {"/multiadmin.MultiadminService/SetPostgresRestartsEnabled", kOperator,
       "whether a pooler starts its PostgreSQL again"},
      {"/multiadmin.MultiadminService/SwitchPrimary", kOperator, "ask a primary to hand over"},
      {"/multiadmin.MultiadminService/ApplyCertifiedRuleChange", kAdmin, "install a rule by hand"},
      {"/multigres.admin.v1.BackupService/WaitBackupJob", kViewer, "how a backup ended, once it has", kLong},
      {"/multigres.admin.v1.BackupService/RestoreBackup", kAdmin, "replace data by that of a backup", kLong},
      {"/multigres.admin.v1.BackupService/RunRestore", kAdmin, "the same, with news of its steps", kLong},
      {"/multigres.admin.v1.BackupService/CancelRestore", kAdmin, "call a restore off before it replaces data"},
      {"/multigres.admin.v1.ShardService/ChangeRule", kAdmin, "change a rule under its quorum"},
      {"/multigres.admin.v1.ShardService/DrainPooler", kOperator, "take a pooler out of service"},
      {"/multigres.admin.v1.ShardService/UndrainPooler", kOperator, "take a pooler back into service"},
      {"/multigres.admin.v1.ShardService/SwitchPrimary", kOperator, "switch to a wished primary, and wait for it"},
      {"/multigres.admin.v1.TopologyService/WatchTopology", kViewer, "the topology as a stream"},
      {"/multigres.admin.v1.TopologyService/ListTableGroups", kViewer, "table groups"},
      {"/multigres.admin.v1.TopologyService/ListShards", kViewer, "shards"},
      {"/multigres.admin.v1.TopologyService/GetPoolerStatuses", kViewer, "what many poolers say of themselves"},
      {"/multigres.admin.v1.DatabaseService/ListDatabases", kViewer, "databases with their poolers and primaries"},
      {"/multigres.admin.v1.DatabaseService/PlanDeleteDatabase", kViewer, "what a deletion would take away"},
      {"/multigres.admin.v1.DatabaseService/CreateDatabase", kAdmin, "make a database, with its servers", kLong},
      {"/multigres.admin.v1.DatabaseService/DeleteDatabase", kAdmin, "end a database, with its servers", kLong},
      {"/multigres.admin.v1.CellService/ListCells", kViewer, "all cells with what is in them"},
      {"/multigres.admin.v1.CellService/GetCell", kViewer, "one cell with what is in it"},
      {"/multigres.admin.v1.CellService/CreateCell", kAdmin, "create a cell"},
      {"/multigres.admin.v1.CellService/UpdateCell", kAdmin, "change a cell"},
      {"/multigres.admin.v1.CellService/DeleteCell", kAdmin, "delete a cell"},
      {"/multigres.admin.v1.IdentityService/WhoAmI", kViewer, "who the caller is, and what it may call"},
      {"/multigres.admin.v1.TokenService/CreateToken", kAdmin, "create a token"},
      {"/multigres.admin.v1.TokenService/ListTokens", kAdmin, "all tokens, without secrets"},
      {"/multigres.admin.v1.TokenService/RevokeToken", kAdmin, "end a token"},
  };
  return *kRules;
}

const RpcRule* FindRule(absl::string_view method) {
  static const auto* const kByMethod = [] {
    auto* map = new absl::flat_hash_map<absl::string_view, const RpcRule*>();
    for (const RpcRule& rule : RpcRules()) {
      map->emplace(rule.method, &rule);
    }
    return map;
  }();
  auto it = kByMethod->find(method);
  return it == kByMethod->end() ? nullptr : it->second;
}

std::string RulesAsMarkdown() {
  std::string text =
      "# The Admin API\n\n"
      "Made by `multiadmin --print-rpc-rules` from the table that multiadmin itself obeys; a test compares.\n\n"
      "Every RPC is there over gRPC, and with JSON as `POST /<service>/<method>` on the HTTP port (the Connect "
      "protocol's "
      "unary form); those of `multiadmin.MultiadminService` also at upstream's REST routes below `/api/v1/`. Streams "
      "are "
      "gRPC only. A caller shows a token as `authorization: Bearer mgt_…`, or a client certificate; "
      "[security.md](security.md) has the rest. Without either only `/live`, `/ready` and the gRPC health service "
      "answer; reflection and build information need a viewer.\n\n"
      "| RPC | does | viewer | operator | admin | in the audit log |\n| --- | --- | --- | --- | --- | --- |\n";
  for (const RpcRule& rule : RpcRules()) {
    std::vector<std::string> parts = absl::StrSplit(rule.method, '/');
    absl::StrAppend(&text, "| `", parts[1], "/", parts[2], "` | ", rule.does);
    for (Role role : {kViewer, kOperator, kAdmin}) {
      absl::StrAppend(&text, " | ", role >= rule.role ? "yes" : "no");
    }
    absl::StrAppend(&text, " | ", rule.audited() ? "yes" : "refusals", " |\n");
  }
  return text;
}

}  // namespace mg::multiadmin
