// Backups of this pooler's shard, and the restore of its data from one. Facts: manager-rpcs section 12; unlike
// upstream's, none of it holds the action lock while it copies, so that a backup is in nobody's way.
#include <google/protobuf/util/json_util.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/consensus/position.h"
#include "common/etcd/away.h"
#include "common/fs/fs.h"
#include "common/log/log.h"
#include "common/rpc/proto_time.h"
#include "common/status/status.h"
#include "components/multipooler/backup/archive.h"
#include "components/multipooler/backup/repository.h"
#include "components/multipooler/backup/restore_settings.h"
#include "components/multipooler/manager/backup_server.h"
#include "components/multipooler/manager/base_backup.h"
#include "components/multipooler/manager/leaving_flag.h"
#include "components/multipooler/manager/manager.h"
#include "components/multipooler/manager/postgres_settings.h"
#include "components/multipooler/manager/restore_order.h"
#include "multigres/pooler/v1/backup.pb.h"

namespace mg::multipooler {
namespace {

namespace data = multipoolermanagerdata;

constexpr absl::Duration kBackupLimit = absl::Minutes(30);
constexpr absl::Duration kTopologyLimit = absl::Seconds(3);
constexpr absl::Duration kAskLimit = absl::Seconds(5);
constexpr absl::Duration kStopLimit = absl::Seconds(30);
constexpr absl::Duration kRecordLimit = absl::Seconds(5);
constexpr absl::Duration kStreamLimit = absl::Minutes(5);

// The primary, where its files can be read from here.
std::optional<backup::Primary> PrimaryOnThisMachine(const Config& config, const ManagerState& state) {
  for (const clustermetadata::Multipooler& pooler : state.poolers) {
    auto port = pooler.port_map().find("postgres");
    if (topology::ShardKeyString(pooler.shard_key()) == topology::ShardKeyString(config.shard) &&
        pooler.routing_state().role() == clustermetadata::ROUTING_ROLE_PRIMARY && port != pooler.port_map().end() &&
        pooler.hostname() == config.hostname && Exists(pooler.pg_data_dir())) {
      return backup::Primary{.data_directory = pooler.pg_data_dir(),
                             .socket_directory = JoinPath(pooler.pooler_dir(), "pg_sockets"),
                             .port = port->second};
    }
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<std::unique_ptr<backup::Repository>> Manager::OpenRepository() const {
  auto database = topology_->GetDatabase(config_.shard.database(), absl::Now() + kTopologyLimit);
  if (absl::IsUnavailable(database.status()) || absl::IsDeadlineExceeded(database.status())) {
    return etcd::TopologyAway(database.status().message());
  }
  MG_RETURN_IF_ERROR(database.status());
  const std::string& path = database->record.backup_location().filesystem().path();
  if (path.empty() || path[0] != '/') {
    return absl::FailedPreconditionError(
        absl::StrCat("database '", config_.shard.database(), "' has no backup location in a file system"));
  }
  return std::make_unique<backup::Repository>(path, config_.shard, ServerOf(config_));
}

absl::StatusOr<data::BackupResponse> Manager::Backup(const data::BackupRequest& request, absl::Time deadline) {
  ManagerState state = Snapshot();
  if (!state.connected || !state.view.has_value() || !state.initialized) {
    return absl::FailedPreconditionError("backup: PostgreSQL does not answer");
  }
  if (request.overrides_size() != 0) {
    return absl::InvalidArgumentError("backup: overrides are not taken by the built-in multipooler");
  }
  bool primary = !state.view->in_recovery;
  if (primary && !request.force_primary()) {
    return absl::FailedPreconditionError("backup: this is the primary, and force_primary is not set");
  }
  backup::TakeRequest take;
  take.type = request.type().empty() ? "full" : request.type();
  take.job_id = request.job_id().empty()
                    ? absl::StrCat(absl::FormatTime("%Y%m%d-%H%M%E6S", absl::Now(), absl::LocalTimeZone()), "_",
                                   topology::IdString(config_.id))
                    : request.job_id();
  take.shard = config_.shard;
  take.pooler_name = config_.id.name();
  take.role = primary ? clustermetadata::ROUTING_ROLE_PRIMARY : clustermetadata::ROUTING_ROLE_REPLICA;
  take.primary = PrimaryOnThisMachine(config_, state);
  MG_ASSIGN_OR_RETURN(std::unique_ptr<backup::Repository> repository, OpenRepository());
  MG_RETURN_IF_ERROR(WriteReplicationPassfile(config_));
  MG_ASSIGN_OR_RETURN(ConnectionPtr connection, Connect(absl::Now() + kAskLimit));
  MG_ASSIGN_OR_RETURN(pgsql::Result mode, connection->Execute("SHOW archive_mode", absl::Now() + kAskLimit));
  std::string archive_mode = mode.Text(0, 0);
  log::Info("backup begins", {{"job", take.job_id},
                              {"type", take.type},
                              {"with", repository->preferred(archive_mode).name()},
                              {"archive_mode", archive_mode}});
  absl::Time begun = absl::Now();
  absl::StatusOr<data::BackupMetadata> made =
      repository->Take(take, archive_mode, std::min(deadline, begun + kBackupLimit), &stop_);
  if (!made.ok()) {
    log::Error("backup failed", {{"job", take.job_id}, {"error", made.status()}});
    return WithContext(made.status(), "backup");
  }
  log::Info("backup made", {{"job", take.job_id},
                            {"backup", made->backup_id()},
                            {"bytes", made->backup_size_bytes()},
                            {"took", absl::FormatDuration(absl::Now() - begun)}});
  data::BackupResponse response;
  response.set_backup_id(made->backup_id());
  return response;
}

absl::StatusOr<data::GetBackupsResponse> Manager::GetBackups(const data::GetBackupsRequest& request,
                                                             absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(std::unique_ptr<backup::Repository> repository, OpenRepository());
  MG_ASSIGN_OR_RETURN(std::vector<data::BackupMetadata> all, repository->List(deadline));
  data::GetBackupsResponse response;
  for (data::BackupMetadata& backup : all) {
    if (request.limit() == 0 || static_cast<std::uint32_t>(response.backups_size()) < request.limit()) {
      *response.add_backups() = std::move(backup);
    }
  }
  return response;
}

absl::StatusOr<data::GetBackupByJobIdResponse> Manager::GetBackupByJobId(const data::GetBackupByJobIdRequest& request,
                                                                         absl::Time deadline) {
  if (request.job_id().empty()) {
    return absl::InvalidArgumentError("no job id");
  }
  MG_ASSIGN_OR_RETURN(std::unique_ptr<backup::Repository> repository, OpenRepository());
  MG_ASSIGN_OR_RETURN(std::vector<data::BackupMetadata> all, repository->List(deadline));
  data::GetBackupByJobIdResponse response;
  for (data::BackupMetadata& backup : all) {
    if (backup.job_id() == request.job_id()) {
      *response.mutable_backup() = std::move(backup);
      break;
    }
  }
  return response;
}

absl::StatusOr<data::ExpireBackupsResponse> Manager::ExpireBackups(const data::ExpireBackupsRequest& request,
                                                                   absl::Time deadline,
                                                                   const std::function<bool()>& left) {
  MG_ASSIGN_OR_RETURN(std::unique_ptr<backup::Repository> repository, OpenRepository());
  LeavingFlag cancelled(left, &stop_);
  std::map<std::string, std::string> overrides(request.overrides().begin(), request.overrides().end());
  MG_ASSIGN_OR_RETURN(std::vector<std::string> removed, repository->Expire(overrides, deadline, cancelled.get()));
  data::ExpireBackupsResponse response;
  for (const std::string& id : removed) {
    log::Info("backup expired", {{"backup", id}});
    response.add_expired_backup_ids(id);
  }
  return response;
}

absl::StatusOr<data::VerifyBackupsResponse> Manager::VerifyBackups(absl::Time deadline,
                                                                   const std::function<bool()>& left) {
  LeavingFlag cancelled(left, &stop_);
  MG_ASSIGN_OR_RETURN(std::unique_ptr<backup::Repository> repository, OpenRepository());
  absl::Time begun = absl::Now();
  MG_ASSIGN_OR_RETURN(std::string output, repository->Verify(deadline, cancelled.get()));
  data::VerifyBackupsResponse response;
  response.set_raw_output(std::move(output));
  rpc::SetDuration(absl::Now() - begun, response.mutable_duration());
  return response;
}

// For a new data directory, before its server's first start: archive_mode cannot be changed later without a restart.
absl::Status Manager::PrepareArchive() {
  absl::StatusOr<std::unique_ptr<backup::Repository>> repository = OpenRepository();
  if (absl::IsFailedPrecondition(repository.status())) {
    return absl::OkStatus();  // no place for backups is a choice
  }
  MG_RETURN_IF_ERROR(repository.status());
  return EditAutoConf(config_.data_directory,
                      {{"archive_mode", "always"},  // a leader that is lost may have been about to archive
                       {"archive_command", backup::ArchiveCommand((*repository)->path())}},
                      config_.run_as);
}

absl::StatusOr<multigres::pooler::v1::ResetForRestoreResponse> Manager::ResetForRestore(
    const multigres::pooler::v1::ResetForRestoreRequest& request, absl::Time deadline,
    const std::function<bool()>& left) {
  if (request.archive_now()) {
    MG_ASSIGN_OR_RETURN(multigres::pooler::v1::ResetForRestoreResponse archived, ArchiveNow(deadline));
    archived.set_highest_term(HighestTerm(Snapshot()));
    return archived;
  }
  MG_ASSIGN_OR_RETURN(std::unique_ptr<backup::Repository> repository, OpenRepository());
  MG_ASSIGN_OR_RETURN(data::BackupMetadata found, repository->Find(request.backup_id(), deadline));
  if (request.has_target_time() &&
      rpc::ToTime(request.target_time()) < absl::FromUnixSeconds(found.stop_timestamp().seconds())) {
    return MakeError(
        absl::StatusCode::kFailedPrecondition,
        absl::StrCat("the wished time is before the end of backup ", found.backup_id()),
        {.reason = "BACKUP_TOO_NEW", .hint = "take an older one: multigres backup list shows when they ended"});
  }
  MG_RETURN_IF_ERROR(repository->WaysTo(found, WishOf(request), deadline).status());
  ManagerState state = Snapshot();
  if (request.standby() && state.leading) {
    return absl::FailedPreconditionError("this is the primary; hand over first (multigres shard switch-primary)");
  }
  multigres::pooler::v1::ResetForRestoreResponse response;
  response.set_engine(backup::EngineName(found.backup_id()));
  response.set_highest_term(HighestTerm(state));
  if (request.check_only()) {
    return response;
  }
  multigres::pooler::v1::ResetForRestoreRequest order = request;
  order.set_backup_id(found.backup_id());
  if (request.prepare()) {
    MG_ASSIGN_OR_RETURN(response, PrepareRestore(order, deadline, left));
    response.set_highest_term(HighestTerm(Snapshot()));
    return response;
  }
  MG_ASSIGN_OR_RETURN(Action action, Begin(deadline));
  log::Warn("data is set aside for a restore", {{"backup", found.backup_id()}, {"standby", request.standby()}});
  state = Snapshot();
  MG_ASSIGN_OR_RETURN(auto earlier, ReadRestoreOrder(config_));  // one that was begun, and is said again
  order.set_terms_used(
      std::max({request.terms_used(), HighestTerm(state), earlier.has_value() ? earlier->terms_used() : 0}));
  MG_RETURN_IF_ERROR(WriteRestoreOrder(config_, order));
  if (request.standby() && state.view.has_value() && state.view->has_rule) {
    MG_RETURN_IF_ERROR(BlockRecruitsBelow(*state.view));
  }
  Change([](ManagerState& changing) { changing.leading = false; });
  DropControl();
  PgState postgres = pgctld_.Status(absl::Seconds(2)).state;
  if (postgres == PgState::kUnreachable) {
    return absl::UnavailableError("pgctld does not answer, so PostgreSQL cannot be stopped");
  }
  if (postgres != PgState::kNotInitialized) {
    // In order: what the primary has written last goes into the archive.
    MG_RETURN_IF_ERROR(pgctld_.Stop("fast", kStopLimit));
  }
  MG_RETURN_IF_ERROR(SetAside(earlier.has_value() && earlier->set_aside()));
  if (Exists(KeptDirectory(config_))) {
    order.set_set_aside(true);
    MG_RETURN_IF_ERROR(WriteRestoreOrder(config_, order));
    response.set_kept_directory(KeptDirectory(config_));
  }
  if (!request.standby()) {
    MG_RETURN_IF_ERROR(promises_->Put(clustermetadata::ConsensusPromises()));
  }
  Change([](ManagerState& changing) {
    changing.connected = changing.initialized = changing.suspected_divergence = false;
    changing.view.reset();
    changing.leadership.reset();
    changing.replication_primary.Clear();
    changing.postgres = PgState::kNotInitialized;
    changing.lifecycle = clustermetadata::LIFECYCLE_STARTING;
    changing.lifecycle_since = absl::Now();
  });
  MG_RETURN_IF_ERROR(publisher_.WaitWritten(std::min(deadline, absl::Now() + kRecordLimit)));
  return response;
}

std::int64_t Manager::HighestTerm(const ManagerState& state) const {
  std::int64_t term = promises_->Get().term_revocation().revoked_below_term();
  return state.view.has_value() ? std::max(term, consensus::HighestNumber(state.view->rule).coordinator_term()) : term;
}

// Terms that were in use before a restore are not used again: logs in the archive tell of their rules, and whoever
// replays one would seem to be ahead of the present leader.
absl::Status Manager::BeginAbove(std::int64_t term) {
  if (term == 0) {
    return absl::OkStatus();
  }
  clustermetadata::ConsensusPromises promises = promises_->Get();
  clustermetadata::TermRevocation* revocation = promises.mutable_term_revocation();
  revocation->set_revoked_below_term(std::max(revocation->revoked_below_term(), term));
  return promises_->Put(promises);
}

// `again`: the former data is aside already, by a restore that has not ended; what is there is only its beginning.
absl::Status Manager::SetAside(bool again) {
  if (!Exists(config_.data_directory)) {
    return absl::OkStatus();
  }
  if (again && Exists(KeptDirectory(config_))) {
    return RemoveTree(config_.data_directory);
  }
  MG_RETURN_IF_ERROR(RemoveTree(KeptDirectory(config_)));
  MG_RETURN_IF_ERROR(RemoveTree(KeptPromises(config_)));
  MG_ASSIGN_OR_RETURN(std::unique_ptr<PromiseStore> kept, PromiseStore::Open(KeptPromises(config_)));
  MG_RETURN_IF_ERROR(kept->Put(promises_->Get()));
  if (rename(config_.data_directory.c_str(), KeptDirectory(config_).c_str()) != 0) {
    return ErrnoStatus(errno, absl::StrCat("set ", config_.data_directory, " aside"));
  }
  return absl::OkStatus();
}

// On a server that was restored and has begun a timeline of its own: nothing of the former shard's rules counts any
// more.
absl::Status Manager::ForgetFormerRules(pgsql::Connection& connection, absl::Time deadline) {
  std::vector<Setting> done;
  for (const std::string& name : backup::RecoverySettings()) {
    done.emplace_back(name, std::nullopt);
  }
  MG_RETURN_IF_ERROR(ApplySettings(connection, done, deadline));
  MG_ASSIGN_OR_RETURN(
      pgsql::Result used,
      connection.Execute("SELECT greatest((SELECT max(coordinator_term) FROM multigres.rule_history), (SELECT "
                         "max(greatest(decision_coordinator_term, proposal_coordinator_term)) FROM "
                         "multigres.current_rule), 0)",
                         deadline));
  MG_RETURN_IF_ERROR(BeginAbove(used.Int(0, 0)));
  return WithContext(connection
                         .Execute("DELETE FROM multigres.current_rule; DELETE FROM multigres.rule_history; "
                                  "DELETE FROM multigres.heartbeat",
                                  deadline)
                         .status(),
                     "forget the rules of before the restore");
}

absl::Status Manager::CloneFromBackup(const multigres::pooler::v1::ResetForRestoreRequest& order,
                                      const std::string& host, int port) {
  MG_RETURN_IF_ERROR(WriteFileAtomically(ReplaySentinel(config_), "", 0600));
  MG_RETURN_IF_ERROR(RestoreData(order));
  MG_RETURN_IF_ERROR(PrepareStandby(config_, config_.data_directory, host, port));
  {
    std::lock_guard lock(mutex_);
    state_.postgres = PgState::kStopped;
  }
  MG_RETURN_IF_ERROR(StartStandby());
  // The archive gives what the primary may no longer have; once the stream runs it is of no use, and would be asked
  // first.
  absl::Time deadline = absl::Now() + kStreamLimit;
  MG_ASSIGN_OR_RETURN(ConnectionPtr connection, Control(deadline));
  absl::Status streams = WaitForStream(*connection, deadline);
  if (!streams.ok()) {
    log::Warn("the restored standby does not stream yet", {{"error", streams}});
    return EndRestore(order);
  }
  MG_RETURN_IF_ERROR(ApplySettings(*connection, {{"restore_command", std::nullopt}}, deadline));
  return EndRestore(order);
}

}  // namespace mg::multipooler
