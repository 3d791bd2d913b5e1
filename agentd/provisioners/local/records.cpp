#include "agentd/provisioners/local/records.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agentd/provisioners/local/layout.h"
#include "agentd/store/component_name.h"
#include "clustermetadata.pb.h"
#include "common/etcd/etcd_client.h"
#include "common/fs/fs.h"
#include "common/status/status.h"

namespace mg::local {

namespace {

constexpr char kDefaultPolicy[] = "AT_LEAST_2";
constexpr char kMultiCellPolicy[] = "MULTI_CELL_AT_LEAST_2";
constexpr char kLocalPolicy[] = "AT_LEAST_1";

clustermetadata::DurabilityPolicy PolicyOf(const std::string& wished, size_t cells) {
  clustermetadata::DurabilityPolicy policy;
  policy.set_policy_version(1);
  policy.set_quorum_type(clustermetadata::QUORUM_TYPE_AT_LEAST_N);
  if (cells == 1) {
    policy.set_policy_name(kLocalPolicy);
    policy.set_required_count(1);
    policy.set_description("a commit is durable on its own node; there is only one");
    return policy;
  }
  policy.set_policy_name(wished.empty() ? kDefaultPolicy : wished);
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

std::string DatabasePrefix(const Model& model, const std::string& database) {
  return absl::StrCat(model.input.config.global_topo_root, "/databases/", database, "/");
}

std::string RootOf(const config::CellConfig& cell) {
  return cell.topo_root.empty() ? absl::StrCat("/multigres/", cell.name) : cell.topo_root;
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
  std::string key = absl::StrCat(DatabasePrefix(model, wanted.name()), "Database");
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

absl::StatusOr<bool> WriteDatabase(const Model& model, const std::string& name, const std::vector<std::string>& cells,
                                   const std::string& policy, const std::string& backups, etcd::Client* client,
                                   absl::Time deadline) {
  clustermetadata::Database record;
  record.set_name(name);
  record.mutable_cells()->Add(cells.begin(), cells.end());
  *record.mutable_bootstrap_durability_policy() = PolicyOf(policy, cells.size());
  record.mutable_backup_location()->mutable_filesystem()->set_path(backups);
  absl::StatusOr<std::int64_t> created =
      client->Create(absl::StrCat(DatabasePrefix(model, name), "Database"), record.SerializeAsString(), deadline);
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
  const std::string& policy = model.input.config.durability_policy;
  std::vector<std::string> databases = {model.input.config.database};
  const std::string backups = BackupsOf(model.input);
  MG_ASSIGN_OR_RETURN(bool changed, WriteDatabase(model, databases[0], names, policy, backups, client.get(), deadline));
  written |= changed;
  for (const LaterDatabase& later : model.input.databases) {
    if (!later.leaving) {
      MG_ASSIGN_OR_RETURN(changed, WriteDatabase(model, later.name, later.cells,
                                                 later.durability_policy.empty() ? policy : later.durability_policy,
                                                 JoinPath(backups, later.backup_directory), client.get(), deadline));
      written |= changed;
      databases.push_back(later.name);
    }
  }
  return StepOutcome{
      .skipped = !written,
      .detail = absl::StrCat("cells ", absl::StrJoin(names, " "),
                             databases.size() > 1 ? " · databases " : " · database ", absl::StrJoin(databases, " "))};
}

absl::Status RemoveDatabaseRecords(const Model& model, absl::Time deadline) {
  std::unique_ptr<etcd::Client> client = Dial(model);
  std::vector<std::string> prefixes = {DatabasePrefix(model, model.input.config.database)};
  for (const config::CellConfig& cell : model.input.config.cells) {
    for (const char* kind : {"poolers/", "gateways/", "orchs/"}) {
      prefixes.push_back(absl::StrCat(RootOf(cell), "/", kind));
    }
  }
  for (const std::string& prefix : prefixes) {
    MG_RETURN_IF_ERROR(DeletePrefix(prefix, client.get(), deadline));
  }
  return absl::OkStatus();
}

absl::Status RemoveLaterDatabaseRecords(const Model& model, const std::string& database, absl::Time deadline) {
  std::unique_ptr<etcd::Client> client = Dial(model);
  for (const config::CellConfig& cell : model.input.config.cells) {
    MG_ASSIGN_OR_RETURN(etcd::RangeResult found, client->GetPrefix(absl::StrCat(RootOf(cell), "/poolers/"),
                                                                   /*keys_only=*/false, deadline));
    for (const etcd::KeyValue& entry : found.entries) {
      clustermetadata::Multipooler pooler;
      if (pooler.ParseFromString(entry.value) && pooler.shard_key().database() == database) {
        absl::Status status = client->Delete(entry.key, deadline);
        if (!status.ok() && !absl::IsNotFound(status)) {
          return status;
        }
      }
    }
  }
  return DeletePrefix(DatabasePrefix(model, database), client.get(), deadline);
}

absl::Status CheckPolicy(const std::string& policy, size_t cells) {
  if (!policy.empty() && policy != kDefaultPolicy && policy != kMultiCellPolicy && policy != kLocalPolicy) {
    return MakeError(absl::StatusCode::kInvalidArgument, absl::StrCat("'", policy, "' is no durability policy"),
                     {.reason = "BAD_POLICY", .hint = absl::StrCat("use ", kDefaultPolicy, " or ", kMultiCellPolicy)});
  }
  bool alone = cells == 1;
  if (!policy.empty() && alone != (policy == kLocalPolicy)) {
    return MakeError(
        absl::StatusCode::kInvalidArgument,
        alone ? absl::StrCat("one cell cannot keep ", policy) : absl::StrCat(kLocalPolicy, " is for one cell alone"),
        {.reason = "BAD_POLICY", .hint = alone ? "give it two cells, or no policy" : "leave the policy out"});
  }
  return absl::OkStatus();
}

absl::Status RemoveCellRecords(const Model& model, const std::string& cell, absl::Time deadline) {
  std::unique_ptr<etcd::Client> client = Dial(model);
  for (const config::CellConfig& config : model.input.config.cells) {
    if (config.name == cell) {
      for (const char* kind : {"poolers/", "gateways/", "orchs/"}) {
        MG_RETURN_IF_ERROR(DeletePrefix(absl::StrCat(RootOf(config), "/", kind), client.get(), deadline));
      }
    }
  }
  absl::Status status = client->Delete(CellKey(model, cell), deadline);
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

}  // namespace mg::local
