// What comes before a restore, while the present data still serves: the archive gets all WAL up to now, and the seed
// fills a new data directory from the backup and replays it to the wished moment. Only what has been done so is
// trusted with the place of the present data.
#include <cerrno>
#include <cstdio>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/consensus/position.h"
#include "common/fs/fs.h"
#include "common/log/log.h"
#include "common/rpc/proto_time.h"
#include "common/status/status.h"
#include "components/multipooler/backup/archive.h"
#include "components/multipooler/backup/rehearsal.h"
#include "components/multipooler/backup/repository.h"
#include "components/multipooler/manager/backup_server.h"
#include "components/multipooler/manager/leaving_flag.h"
#include "components/multipooler/manager/manager.h"
#include "components/multipooler/manager/postgres_settings.h"
#include "components/multipooler/manager/restore_order.h"

namespace mg::multipooler {
namespace {

namespace v1 = multigres::pooler::v1;

constexpr absl::Duration kArchiveLimit = absl::Seconds(30);
constexpr absl::Duration kListLimit = absl::Seconds(30);
constexpr absl::Duration kFillLimit = absl::Hours(12);

backup::RestoreRequest RequestOf(const Config& config, const v1::ResetForRestoreRequest& order) {
  backup::RestoreRequest request{
      .backup_id = order.backup_id(), .standby = order.standby(), .directory = FreshDirectory(config)};
  if (order.has_target_time()) {
    request.target_time = rpc::ToTime(order.target_time());
  }
  return request;
}

}  // namespace

// A recovery to a moment ends at the first commit behind it: so there is one, whatever clients do.
absl::StatusOr<v1::ResetForRestoreResponse> Manager::ArchiveNow(absl::Time deadline) {
  v1::ResetForRestoreResponse response;
  if (!Snapshot().leading) {
    return response;
  }
  MG_ASSIGN_OR_RETURN(std::unique_ptr<backup::Repository> repository, OpenRepository());
  MG_RETURN_IF_ERROR(backup::WriteArchiveScript(repository->path(), config_.run_as));  // an older one may be stuck
  deadline = std::min(deadline, absl::Now() + kArchiveLimit);
  MG_ASSIGN_OR_RETURN(ConnectionPtr connection, Connect(deadline));
  // No client is told of it, so it waits for no standby.
  MG_RETURN_IF_ERROR(connection->Execute("SET synchronous_commit = local", deadline).status());
  MG_ASSIGN_OR_RETURN(pgsql::Result before, connection->Execute("SELECT pg_current_wal_insert_lsn()", deadline));
  MG_RETURN_IF_ERROR(connection->Execute("SELECT pg_current_xact_id()", deadline).status());
  MG_ASSIGN_OR_RETURN(pgsql::Result ended, connection->Execute("SELECT pg_walfile_name(pg_switch_wal())", deadline));
  MG_RETURN_IF_ERROR(WaitForArchive(*connection, ended.Text(0, 0), deadline));
  log::Info("all WAL up to now is archived", {{"segment", ended.Text(0, 0)}});
  response.set_archived_lsn(before.Text(0, 0));
  response.set_done(true);
  return response;
}

std::string Manager::ArchiveFailsAt() const {
  ManagerState state = Snapshot();
  return state.connected && state.view.has_value() ? state.view->archive_fails_at : "";
}

absl::Status Manager::FillFresh(const v1::ResetForRestoreRequest& order, const std::string& timeline,
                                const std::atomic<bool>* cancelled) {
  MG_ASSIGN_OR_RETURN(std::unique_ptr<backup::Repository> repository, OpenRepository());
  MG_RETURN_IF_ERROR(RemovePreparedOrder(config_));
  MG_RETURN_IF_ERROR(RemoveTree(FreshDirectory(config_)));
  MG_RETURN_IF_ERROR(MakeDirectories(config_.pooler_dir, 0711));
  backup::RestoreRequest request = RequestOf(config_, order);
  request.timeline = timeline;
  return WithContext(repository->Restore(request, absl::Now() + kFillLimit, cancelled), "restore");
}

absl::StatusOr<std::vector<std::string>> Manager::WaysTo(const v1::ResetForRestoreRequest& order) {
  const absl::Time deadline = absl::Now() + kListLimit;
  MG_ASSIGN_OR_RETURN(std::unique_ptr<backup::Repository> repository, OpenRepository());
  MG_ASSIGN_OR_RETURN(multipoolermanagerdata::BackupMetadata found, repository->Find(order.backup_id(), deadline));
  return repository->WaysTo(found, WishOf(order), deadline);
}

// Fills the new directory and recovers it, on the first timeline that leads to the wished moment.
absl::Status Manager::FillAndRehearse(const v1::ResetForRestoreRequest& order, absl::Time deadline,
                                      const std::atomic<bool>* cancelled) {
  MG_ASSIGN_OR_RETURN(std::vector<std::string> ways, WaysTo(order));
  absl::Status status;
  for (const std::string& timeline : ways) {
    MG_RETURN_IF_ERROR(FillFresh(order, timeline, cancelled));
    backup::RestoreRequest request = RequestOf(config_, order);
    // Of another timeline's end nothing is known.
    request.reach_lsn = timeline == "latest" ? order.reach_lsn() : "";
    status = backup::Rehearse(request, ServerOf(config_), deadline, cancelled);
    if (!backup::EndedBeforeTarget(status)) {
      break;
    }
    log::Info("the log ends before the wished moment", {{"timeline", timeline}});
  }
  return WithContext(status, absl::StrCat("recovery from backup ", order.backup_id(), " fails"));
}

absl::StatusOr<v1::ResetForRestoreResponse> Manager::PrepareRestore(const v1::ResetForRestoreRequest& order,
                                                                    absl::Time deadline,
                                                                    const std::function<bool()>& left) {
  v1::ResetForRestoreResponse response;
  ManagerState state = Snapshot();
  if (!state.claim.has_claimer_id() || !consensus::SameNode(state.claim.claimer_id(), config_.id)) {
    return response;
  }
  std::unique_lock<std::mutex> alone(prepare_mutex_, std::try_to_lock);
  if (!alone.owns_lock()) {
    return absl::AbortedError("another restore is being prepared");
  }
  absl::Time begun = absl::Now();
  log::Info("a restore is prepared beside the present data", {{"backup", order.backup_id()}});
  LeavingFlag cancelled(left, &stop_);
  absl::Status status = FillAndRehearse(order, deadline, cancelled.get());
  if (status.ok()) {
    status = WritePreparedOrder(config_, order);
  }
  if (!status.ok()) {
    log::Error("the restore cannot be done; the present data stays", {{"error", status}});
    if (absl::Status removed = RemoveTree(FreshDirectory(config_)); !removed.ok()) {
      log::Warn("could not remove what was restored", {{"error", removed}});
    }
    return status;
  }
  log::Info("the restore is prepared", {{"took", absl::FormatDuration(absl::Now() - begun)}});
  response.set_done(true);
  return response;
}

absl::Status Manager::RestoreData(const v1::ResetForRestoreRequest& order) {
  std::unique_lock<std::mutex> alone(prepare_mutex_);
  std::string fresh = FreshDirectory(config_);
  MG_ASSIGN_OR_RETURN(bool prepared, IsPrepared(config_, order));
  if (!prepared || !Exists(fresh)) {
    MG_ASSIGN_OR_RETURN(std::vector<std::string> ways, WaysTo(order));
    MG_RETURN_IF_ERROR(FillFresh(order, ways.front(), &stop_));
  }
  MG_RETURN_IF_ERROR(RemoveTree(config_.data_directory));
  if (rename(fresh.c_str(), config_.data_directory.c_str()) != 0) {
    return ErrnoStatus(errno, absl::StrCat("rename ", fresh, " to ", config_.data_directory));
  }
  MG_RETURN_IF_ERROR(RemovePreparedOrder(config_));
  log::Info("data restored", {{"backup", order.backup_id()}, {"with", backup::EngineName(order.backup_id())}});
  return absl::OkStatus();
}

}  // namespace mg::multipooler
