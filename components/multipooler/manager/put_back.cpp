// The end of a restore: the new data is there, or it failed and everybody has again what he had. The shard's seed
// decides, once, on disk; the others ask it, and wait for the answer before they copy from anybody: who copied from a
// seed that has its former data again would lose what only the others had.
#include <grpcpp/grpcpp.h>

#include <cerrno>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/consensus/position.h"
#include "common/fs/fs.h"
#include "common/log/log.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"
#include "components/multipooler/manager/manager.h"
#include "components/multipooler/manager/restore_order.h"
#include "multigres/pooler/v1/backup.grpc.pb.h"

namespace mg::multipooler {
namespace {

namespace v1 = multigres::pooler::v1;

constexpr absl::Duration kStopLimit = absl::Seconds(30);
// As long as a stop may have to wait for it.
constexpr absl::Duration kAskLimit = absl::Seconds(1);

}  // namespace

v1::GetRestoreOutcomeResponse Manager::RestoreOutcome(const v1::GetRestoreOutcomeRequest& request,
                                                      absl::Time deadline) const {
  return request.wait() ? restores_.Await(request.restore_id(), deadline) : restores_.Get(request.restore_id());
}

absl::Status Manager::EndRestore(const v1::ResetForRestoreRequest& order) {
  v1::GetRestoreOutcomeResponse outcome;
  outcome.set_restore_id(order.restore_id());
  outcome.set_outcome(v1::RESTORE_OUTCOME_DONE);
  MG_RETURN_IF_ERROR(restores_.Decide(std::move(outcome)));
  return RemoveRestoreOrder(config_);
}

bool Manager::MustPutBack(const v1::ResetForRestoreRequest& order) const {
  return restores_.Get(order.restore_id()).outcome() == v1::RESTORE_OUTCOME_PUT_BACK;
}

absl::Status Manager::PutBack(const v1::ResetForRestoreRequest& order, const absl::Status& failure) {
  const std::string reason(failure.message());
  if (order.restore_id().empty()) {
    return absl::InternalError(reason);
  }
  log::Error("the restore failed; the former data is put back", {{"error", reason}, {"restore", order.restore_id()}});
  v1::GetRestoreOutcomeResponse outcome;
  outcome.set_restore_id(order.restore_id());
  outcome.set_outcome(v1::RESTORE_OUTCOME_PUT_BACK);
  outcome.set_reason(reason);
  outcome.set_error_reason(DetailOf(failure).value_or(ErrorDetail{}).reason);
  MG_RETURN_IF_ERROR(restores_.Decide(std::move(outcome)));
  return FinishPutBack();
}

// Each step may have been done by a pooler that died after it. The promises come before the data: without them it
// could follow whom it must not.
absl::Status Manager::FinishPutBack() {
  MG_ASSIGN_OR_RETURN(auto order, ReadRestoreOrder(config_));
  if (!order.has_value()) {
    return absl::OkStatus();
  }
  watched_ = nullptr;
  DropControl();
  PgState postgres = pgctld_.Status(kAskLimit).state;
  if (postgres == PgState::kUnreachable) {
    return absl::UnavailableError("pgctld does not answer, so PostgreSQL cannot be stopped");
  }
  const std::string kept = KeptDirectory(config_);
  if (Exists(kept)) {
    if (postgres == PgState::kRunning) {
      MG_RETURN_IF_ERROR(pgctld_.Stop("immediate", kStopLimit));
    }
    MG_RETURN_IF_ERROR(RemoveTree(config_.data_directory));
    if (!order->standby()) {
      MG_ASSIGN_OR_RETURN(std::unique_ptr<PromiseStore> promises, PromiseStore::Open(KeptPromises(config_)));
      MG_RETURN_IF_ERROR(promises_->Put(promises->Get()));
    }
    MG_RETURN_IF_ERROR(RemoveTree(BootstrapSentinel(config_)));
    if (rename(kept.c_str(), config_.data_directory.c_str()) != 0) {
      return ErrnoStatus(errno, absl::StrCat("put ", kept, " back"));
    }
  }
  MG_RETURN_IF_ERROR(RemovePreparedOrder(config_));
  MG_RETURN_IF_ERROR(RemoveTree(FreshDirectory(config_)));
  MG_RETURN_IF_ERROR(RemoveRestoreOrder(config_));
  MG_RETURN_IF_ERROR(RemoveTree(KeptPromises(config_)));
  log::Info("the former data is back", {{"restore", order->restore_id()}});
  Change([](ManagerState& state) {
    state.connected = false;
    state.view.reset();
    state.postgres = PgState::kStopped;
  });
  return absl::OkStatus();
}

absl::StatusOr<v1::GetRestoreOutcomeResponse> Manager::AskForOutcome(
    const clustermetadata::ID& member, const v1::GetRestoreOutcomeRequest& question) const {
  for (const clustermetadata::Multipooler& pooler : Snapshot().poolers) {
    if (!consensus::SameNode(pooler.id(), member)) {
      continue;
    }
    MG_ASSIGN_OR_RETURN(std::string address, topology::AddressOf(pooler, "grpc"));
    auto stub = v1::PoolerBackupService::NewStub(config_.peers.Dial(address));
    grpc::ClientContext context;
    rpc::SetDeadline(&context, absl::Now() + kAskLimit);
    v1::GetRestoreOutcomeResponse answer;
    MG_RETURN_IF_ERROR(rpc::FromGrpc(stub->GetRestoreOutcome(&context, question, &answer)));
    return answer;
  }
  return absl::NotFoundError("it has no record in the topology");
}

// The seed knows it first, and is asked first, for as long as one question may take; then those that have heard of it.
absl::Status Manager::AwaitRestore() {
  MG_ASSIGN_OR_RETURN(auto order, ReadRestoreOrder(config_));
  if (!order.has_value()) {
    return absl::OkStatus();
  }
  clustermetadata::ShardInitClaim claim = Snapshot().claim;
  std::vector<clustermetadata::ID> members = {claim.claimer_id()};
  members.insert(members.end(), claim.cohort_members().begin(), claim.cohort_members().end());
  absl::Status status = absl::UnavailableError("there is nobody to ask what has become of the restore");
  v1::GetRestoreOutcomeRequest question;
  question.set_restore_id(order->restore_id());
  question.set_wait(true);
  for (const clustermetadata::ID& member : members) {
    if (consensus::SameNode(member, config_.id) || stop_) {
      continue;
    }
    absl::StatusOr<v1::GetRestoreOutcomeResponse> answer = AskForOutcome(member, question);
    question.set_wait(false);
    if (!answer.ok()) {
      status = status.ok() ? status
                           : WithContext(answer.status(), absl::StrCat("cannot ask ", topology::IdString(member),
                                                                       " what has become of the restore"));
      continue;
    }
    status = absl::OkStatus();
    if (answer->outcome() == v1::RESTORE_OUTCOME_PUT_BACK) {
      return PutBack(*order,
                     MakeError(absl::StatusCode::kInternal, answer->reason(), {.reason = answer->error_reason()}));
    }
    if (answer->outcome() == v1::RESTORE_OUTCOME_DONE) {
      return EndRestore(*order);
    }
  }
  return status;
}

}  // namespace mg::multipooler
