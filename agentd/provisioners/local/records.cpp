#include "agentd/provisioners/local/records.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agentd/provisioners/local/layout.h"
#include "agentd/store/component_name.h"
#include "clustermetadata.pb.h"
#include "common/etcd/etcd_client.h"
#include "common/status/status.h"

namespace mg::local {

namespace {

constexpr char kDefaultPolicy[] = "AT_LEAST_2";
constexpr char kMultiCellPolicy[] = "MULTI_CELL_AT_LEAST_2";
constexpr char kLocalPolicy[] = "AT_LEAST_1";

clustermetadata::DurabilityPolicy PolicyOf(const config::ClusterConfig& config) {
  clustermetadata::DurabilityPolicy policy;
  policy.set_policy_version(1);
  policy.set_quorum_type(clustermetadata::QUORUM_TYPE_AT_LEAST_N);
  if (config.cells.size() == 1) {
    policy.set_policy_name(kLocalPolicy);
    policy.set_required_count(1);
    policy.set_description("a commit is durable on its own node; there is only one");
    return policy;
  }
  policy.set_policy_name(config.durability_policy.empty() ? kDefaultPolicy : config.durability_policy);
  policy.set_required_count(2);
  policy.set_description("a commit is durable on two nodes");
  if (policy.policy_name() == kMultiCellPolicy) {
    policy.set_quorum_type(clustermetadata::QUORUM_TYPE_MULTI_CELL_AT_LEAST_N);
    policy.set_description("a commit is durable on nodes of two cells");
  }
  return policy;
}

std::string EtcdAddress(const Model& model) {
  return absl::StrCat("localhost:", model.input.ports.at(store::kEtcd).at("client"));
}

std::unique_ptr<etcd::Client> Dial(const Model& model) {
  return etcd::Client::Create({absl::StrCat("127.0.0.1:", model.input.ports.at(store::kEtcd).at("client"))});
}

std::string CellKey(const Model& model, const std::string& cell) {
  return absl::StrCat(model.input.config.global_topo_root, "/cells/", cell, "/Cell");
}

std::string DatabasePrefix(const Model& model) {
  return absl::StrCat(model.input.config.global_topo_root, "/databases/", model.input.config.database, "/");
}

/// True: something was written.
absl::StatusOr<bool> WriteCell(const Model& model, const config::CellConfig& cell, etcd::Client* client,
                               absl::Time deadline) {
  clustermetadata::Cell record;
  record.set_name(cell.name);
  record.add_server_addresses(EtcdAddress(model));
  record.set_root(cell.topo_root.empty() ? absl::StrCat("/multigres/", cell.name) : cell.topo_root);
  std::string key = CellKey(model, cell.name);
  absl::StatusOr<etcd::KeyValue> present = client->Get(key, deadline);
  if (absl::IsNotFound(present.status())) {
    absl::StatusOr<std::int64_t> created = client->Create(key, record.SerializeAsString(), deadline);
    if (absl::IsAlreadyExists(created.status())) {
      return false;
    }
    MG_RETURN_IF_ERROR(created.status());
    return true;
  }
  MG_RETURN_IF_ERROR(present.status());
  clustermetadata::Cell old;
  if (old.ParseFromString(present->value) && old.root() == record.root() && old.server_addresses_size() == 1 &&
      old.server_addresses(0) == record.server_addresses(0)) {
    return false;
  }
  MG_RETURN_IF_ERROR(client->PutIf(key, record.SerializeAsString(), present->mod_revision, deadline).status());
  return true;
}

/// An existing database is told of cells that came or went; nothing else of it is ours to change.
absl::StatusOr<bool> UpdateDatabaseCells(const Model& model, etcd::Client* client,
                                         const clustermetadata::Database& wanted, absl::Time deadline) {
  std::string key = absl::StrCat(DatabasePrefix(model), "Database");
  MG_ASSIGN_OR_RETURN(etcd::KeyValue present, client->Get(key, deadline));
  clustermetadata::Database record;
  if (!record.ParseFromString(present.value) ||
      std::equal(record.cells().begin(), record.cells().end(), wanted.cells().begin(), wanted.cells().end())) {
    return false;
  }
  *record.mutable_cells() = wanted.cells();
  MG_RETURN_IF_ERROR(client->PutIf(key, record.SerializeAsString(), present.mod_revision, deadline).status());
  return true;
}

absl::StatusOr<bool> WriteDatabase(const Model& model, etcd::Client* client, absl::Time deadline) {
  const config::ClusterConfig& config = model.input.config;
  clustermetadata::Database record;
  record.set_name(config.database);
  for (const config::CellConfig& cell : config.cells) {
    record.add_cells(cell.name);
  }
  *record.mutable_bootstrap_durability_policy() = PolicyOf(config);
  record.mutable_backup_location()->mutable_filesystem()->set_path(
      config.backup_path.empty() ? model.input.paths.Backups() : config.backup_path);
  absl::StatusOr<std::int64_t> created =
      client->Create(absl::StrCat(DatabasePrefix(model), "Database"), record.SerializeAsString(), deadline);
  if (absl::IsAlreadyExists(created.status())) {
    return UpdateDatabaseCells(model, client, record, deadline);
  }
  MG_RETURN_IF_ERROR(created.status());
  return true;
}

absl::Status DeletePrefix(const std::string& prefix, etcd::Client* client, absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(etcd::RangeResult found, client->GetPrefix(prefix, /*keys_only=*/true, deadline));
  for (const etcd::KeyValue& entry : found.entries) {
    absl::Status status = client->Delete(entry.key, deadline);
    if (!status.ok() && !absl::IsNotFound(status)) {
      return status;
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<StepOutcome> WriteRecords(const Model& model, absl::Time deadline) {
  std::unique_ptr<etcd::Client> client = Dial(model);
  bool written = false;
  std::vector<std::string> names;
  for (const config::CellConfig& cell : model.input.config.cells) {
    MG_ASSIGN_OR_RETURN(bool changed, WriteCell(model, cell, client.get(), deadline));
    written |= changed;
    names.push_back(cell.name);
  }
  MG_ASSIGN_OR_RETURN(bool changed, WriteDatabase(model, client.get(), deadline));
  written |= changed;
  return StepOutcome{
      .skipped = !written,
      .detail = absl::StrCat("cells ", absl::StrJoin(names, " "), " · database ", model.input.config.database)};
}

absl::Status RemoveDatabaseRecords(const Model& model, absl::Time deadline) {
  std::unique_ptr<etcd::Client> client = Dial(model);
  std::vector<std::string> prefixes = {DatabasePrefix(model)};
  for (const config::CellConfig& cell : model.input.config.cells) {
    std::string root = cell.topo_root.empty() ? absl::StrCat("/multigres/", cell.name) : cell.topo_root;
    for (const char* kind : {"poolers/", "gateways/", "orchs/"}) {
      prefixes.push_back(absl::StrCat(root, "/", kind));
    }
  }
  for (const std::string& prefix : prefixes) {
    MG_RETURN_IF_ERROR(DeletePrefix(prefix, client.get(), deadline));
  }
  return absl::OkStatus();
}

absl::Status RemoveCellRecords(const Model& model, const std::string& cell, absl::Time deadline) {
  std::unique_ptr<etcd::Client> client = Dial(model);
  for (const config::CellConfig& config : model.input.config.cells) {
    if (config.name == cell) {
      std::string root = config.topo_root.empty() ? absl::StrCat("/multigres/", cell) : config.topo_root;
      for (const char* kind : {"poolers/", "gateways/", "orchs/"}) {
        MG_RETURN_IF_ERROR(DeletePrefix(absl::StrCat(root, "/", kind), client.get(), deadline));
      }
    }
  }
  absl::Status status = client->Delete(CellKey(model, cell), deadline);
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

}  // namespace mg::local
