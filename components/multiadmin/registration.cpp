#include "components/multiadmin/registration.h"

#include "common/status/status.h"
#include "components/multiadmin/identity.h"
#include "components/multiadmin/pooler_statuses.h"
#include "components/multiadmin/shards.h"

namespace mg::multiadmin {
namespace {

namespace v1 = multigres::admin::v1;

/// Before the caller's deadline, so that what is known reaches it.
constexpr absl::Duration kTimeToAnswer = absl::Milliseconds(200);

void RegisterUpstream(Methods* methods, Admin* admin) {
  const std::string service = "/multiadmin.MultiadminService/";
  methods->Add<pb::GetCellRequest, pb::GetCellResponse>(
      service + "GetCell", [admin](const auto& r, CallContext* c) { return admin->GetCell(r, c->deadline); });
  methods->Add<pb::GetCellNamesRequest, pb::GetCellNamesResponse>(
      service + "GetCellNames", [admin](const auto&, CallContext* c) { return admin->GetCellNames(c->deadline); });
  methods->Add<pb::GetDatabaseRequest, pb::GetDatabaseResponse>(
      service + "GetDatabase", [admin](const auto& r, CallContext* c) { return admin->GetDatabase(r, c->deadline); });
  methods->Add<pb::GetDatabaseNamesRequest, pb::GetDatabaseNamesResponse>(
      service + "GetDatabaseNames",
      [admin](const auto&, CallContext* c) { return admin->GetDatabaseNames(c->deadline); });
  methods->Add<pb::GetGatewaysRequest, pb::GetGatewaysResponse>(
      service + "GetGateways",
      [admin](const auto& r, CallContext* c) { return admin->GetGateways(r, c->deadline, &c->errors); });
  methods->Add<pb::GetPoolersRequest, pb::GetPoolersResponse>(
      service + "GetPoolers",
      [admin](const auto& r, CallContext* c) { return admin->GetPoolers(r, c->deadline, &c->errors); });
  methods->Add<pb::GetOrchsRequest, pb::GetOrchsResponse>(service + "GetOrchs", [admin](const auto& r, CallContext* c) {
    return admin->GetOrchs(r, c->deadline, &c->errors);
  });
  methods->Add<pb::GetPoolerStatusRequest, pb::GetPoolerStatusResponse>(
      service + "GetPoolerStatus",
      [admin](const auto& r, CallContext* c) { return admin->GetPoolerStatus(r, c->deadline); });
  methods->Add<pb::SetPostgresRestartsEnabledRequest, pb::SetPostgresRestartsEnabledResponse>(
      service + "SetPostgresRestartsEnabled",
      [admin](const auto& r, CallContext* c) { return admin->SetRestarts(r, c->deadline); });
  methods->Add<pb::GetGatewayQueriesRequest, pb::GetGatewayQueriesResponse>(
      service + "GetGatewayQueries",
      [admin](const auto& r, CallContext* c) { return admin->GetGatewayQueries(r, c->deadline); });
  methods->Add<pb::GetGatewayConsolidatorRequest, pb::GetGatewayConsolidatorResponse>(
      service + "GetGatewayConsolidator",
      [admin](const auto& r, CallContext* c) { return admin->GetGatewayConsolidator(r, c->deadline); });
  methods->Add<pb::SwitchPrimaryRequest, pb::SwitchPrimaryResponse>(
      service + "SwitchPrimary",
      [admin](const auto& r, CallContext* c) { return admin->SwitchPrimary(r, c->deadline); });
}

void RegisterBackups(Methods* methods, Backups* backups, Restores* restores) {
  const std::string service = "/multiadmin.MultiadminService/";
  methods->Add<pb::BackupRequest, pb::BackupResponse>(
      service + "Backup", [backups](const auto& r, CallContext* c) { return backups->Backup(r, c->deadline); });
  methods->Add<pb::GetBackupJobStatusRequest, pb::GetBackupJobStatusResponse>(
      service + "GetBackupJobStatus",
      [backups](const auto& r, CallContext* c) { return backups->JobStatus(r, c->deadline); });
  methods->Add<pb::GetBackupsRequest, pb::GetBackupsResponse>(
      service + "GetBackups", [backups](const auto& r, CallContext* c) { return backups->List(r, c->deadline); });
  methods->Add<pb::ExpireBackupsRequest, pb::ExpireBackupsResponse>(
      service + "ExpireBackups", [backups](const auto& r, CallContext* c) { return backups->Expire(r, *c); });
  methods->Add<pb::VerifyBackupsRequest, pb::VerifyBackupsResponse>(
      service + "VerifyBackups", [backups](const auto& r, CallContext* c) { return backups->Verify(r, *c); });
  methods->Add<v1::RestoreBackupRequest, v1::RestoreBackupResponse>(
      "/multigres.admin.v1.BackupService/RestoreBackup",
      [restores](const auto& r, CallContext* c) { return restores->Restore(r, c->deadline); });
  methods->Add<v1::CancelRestoreRequest, v1::CancelRestoreResponse>(
      "/multigres.admin.v1.BackupService/CancelRestore",
      [restores](const auto& r, CallContext*) { return restores->Cancel(r); });
  methods->Add<v1::WaitBackupJobRequest, v1::WaitBackupJobResponse>(
      "/multigres.admin.v1.BackupService/WaitBackupJob",
      [backups](const auto& r, CallContext* c) -> absl::StatusOr<v1::WaitBackupJobResponse> {
        v1::WaitBackupJobResponse response;
        MG_ASSIGN_OR_RETURN(*response.mutable_job(), backups->AwaitJob(r.job(), c->deadline - kTimeToAnswer));
        return response;
      });
}

void RegisterTopology(Methods* methods, Admin* admin, Cells* cells, TopologyCache* cache) {
  methods->Add<pb::ApplyCertifiedRuleChangeRequest, pb::ApplyCertifiedRuleChangeResponse>(
      "/multiadmin.MultiadminService/ApplyCertifiedRuleChange",
      [admin](const auto& r, CallContext* c) { return admin->ApplyCertifiedRuleChange(r, c->deadline); });
  methods->Add<v1::ChangeRuleRequest, v1::ChangeRuleResponse>(
      "/multigres.admin.v1.ShardService/ChangeRule",
      [admin](const auto& r, CallContext* c) { return admin->ChangeRule(r, c->deadline); });
  methods->Add<v1::SwitchPrimaryRequest, v1::SwitchPrimaryResponse>(
      "/multigres.admin.v1.ShardService/SwitchPrimary",
      [admin](const auto& r, CallContext* c) { return admin->SwitchPrimaryTo(r, c->deadline); });
  methods->Add<v1::DrainPoolerRequest, v1::DrainPoolerResponse>(
      "/multigres.admin.v1.ShardService/DrainPooler",
      [admin](const auto& r, CallContext* c) { return admin->DrainPooler(r, c->deadline); });
  methods->Add<v1::UndrainPoolerRequest, v1::UndrainPoolerResponse>(
      "/multigres.admin.v1.ShardService/UndrainPooler",
      [admin](const auto& r, CallContext* c) { return admin->UndrainPooler(r, c->deadline); });
  const std::string topology = "/multigres.admin.v1.TopologyService/";
  methods->Add<v1::ListTableGroupsRequest, v1::ListTableGroupsResponse>(
      topology + "ListTableGroups",
      [cache](const auto& r, CallContext* c) -> absl::StatusOr<v1::ListTableGroupsResponse> {
        MG_ASSIGN_OR_RETURN(auto view, cache->Get(c->deadline));
        return ListTableGroups(*view, r);
      });
  methods->Add<v1::ListShardsRequest, v1::ListShardsResponse>(
      topology + "ListShards", [cache](const auto& r, CallContext* c) -> absl::StatusOr<v1::ListShardsResponse> {
        if (r.database().empty() && !r.table_group().empty()) {
          return absl::InvalidArgumentError("a table group needs its database");
        }
        MG_ASSIGN_OR_RETURN(auto view, cache->Get(c->deadline));
        return ListShards(*view, r);
      });
  methods->Add<v1::GetPoolerStatusesRequest, v1::GetPoolerStatusesResponse>(
      topology + "GetPoolerStatuses",
      [admin](const auto& r, CallContext* c) { return GetPoolerStatuses(admin, r, c->deadline); });
  const std::string cell = "/multigres.admin.v1.CellService/";
  methods->Add<v1::ListCellsRequest, v1::ListCellsResponse>(
      cell + "ListCells", [cells](const auto&, CallContext* c) { return cells->List(c->deadline); });
  methods->Add<v1::GetCellRequest, v1::GetCellResponse>(
      cell + "GetCell", [cells](const auto& r, CallContext* c) { return cells->Get(r.name(), c->deadline); });
  methods->Add<v1::CreateCellRequest, v1::CreateCellResponse>(
      cell + "CreateCell", [cells](const auto& r, CallContext* c) { return cells->Create(r, c->deadline); });
  methods->Add<v1::UpdateCellRequest, v1::UpdateCellResponse>(
      cell + "UpdateCell", [cells](const auto& r, CallContext* c) { return cells->Update(r, c->deadline); });
  methods->Add<v1::DeleteCellRequest, v1::DeleteCellResponse>(
      cell + "DeleteCell", [cells](const auto& r, CallContext* c) { return cells->Delete(r, c->deadline); });
}

void RegisterIdentity(Methods* methods, TokenStore* tokens) {
  methods->Add<v1::WhoAmIRequest, v1::WhoAmIResponse>(
      "/multigres.admin.v1.IdentityService/WhoAmI",
      [](const auto&, CallContext* c) -> absl::StatusOr<v1::WhoAmIResponse> { return WhoAmI(c->caller); });
  const std::string token = "/multigres.admin.v1.TokenService/";
  methods->Add<v1::CreateTokenRequest, v1::CreateTokenResponse>(
      token + "CreateToken", [tokens](const auto& r, CallContext* c) { return CreateToken(tokens, r, *c); });
  methods->Add<v1::ListTokensRequest, v1::ListTokensResponse>(
      token + "ListTokens", [tokens](const auto&, CallContext* c) { return ListTokens(tokens, c->deadline); });
  methods->Add<v1::RevokeTokenRequest, v1::RevokeTokenResponse>(
      token + "RevokeToken", [tokens](const auto& r, CallContext* c) { return RevokeToken(tokens, r, c->deadline); });
}

void RegisterDatabases(Methods* methods, Databases* databases) {
  const std::string service = "/multigres.admin.v1.DatabaseService/";
  methods->Add<v1::PlanDeleteDatabaseRequest, v1::PlanDeleteDatabaseResponse>(
      service + "PlanDeleteDatabase",
      [databases](const auto& r, CallContext* c) { return databases->PlanDelete(r, c->deadline); });
  methods->Add<v1::ListDatabasesRequest, v1::ListDatabasesResponse>(
      service + "ListDatabases",
      [databases](const auto&, CallContext* c) { return databases->List(c->deadline, &c->errors); });
}

}  // namespace

void RegisterMethods(Methods* methods, Admin* admin, Backups* backups, Restores* restores, Cells* cells,
                     TopologyCache* cache, TokenStore* tokens, Databases* databases) {
  RegisterUpstream(methods, admin);
  RegisterBackups(methods, backups, restores);
  RegisterTopology(methods, admin, cells, cache);
  RegisterIdentity(methods, tokens);
  RegisterDatabases(methods, databases);
}

}  // namespace mg::multiadmin
