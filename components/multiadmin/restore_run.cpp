#include "components/multiadmin/restore_run.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/consensus/position.h"
#include "common/log/log.h"
#include "common/rpc/proto_time.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"
#include "components/multiadmin/label.h"
#include "multigres/pooler/v1/backup.grpc.pb.h"

namespace mg::multiadmin {
namespace {

namespace v1 = multigres::admin::v1;
namespace pooler = multigres::pooler::v1;
namespace prov = multigres::provisioner::v1;
using clustermetadata::Multipooler;

constexpr absl::Duration kCheckLimit = absl::Seconds(10);
constexpr absl::Duration kArchiveLimit = absl::Seconds(40);
constexpr absl::Duration kPrepareLimit = absl::Hours(12);
constexpr absl::Duration kResetLimit = absl::Seconds(90);
constexpr absl::Duration kOutcomeLimit = absl::Hours(12);
constexpr absl::Duration kOutcomeRound = absl::Seconds(20);
constexpr absl::Duration kServeLimit = absl::Hours(1);  // a standby that was restored catches up
constexpr absl::Duration kPutBackLimit = absl::Minutes(2);

std::string Text(absl::Time time) { return absl::FormatTime("%Y-%m-%dT%H:%M:%E*SZ", time, absl::UTCTimeZone()); }

// The complete backups that ended before `target`, newest first.
absl::StatusOr<std::vector<std::string>> CompleteBefore(const ::multiadmin::GetBackupsResponse& all,
                                                        absl::Time target) {
  const ::multiadmin::BackupInfo* oldest = nullptr;
  std::vector<std::string> found;
  for (const ::multiadmin::BackupInfo& backup : all.backups()) {  // newest first
    if (backup.status() != ::multiadmin::BACKUP_STATUS_COMPLETE) {
      continue;
    }
    if (rpc::ToTime(backup.stop_timestamp()) <= target) {
      found.push_back(backup.backup_id());
    }
    oldest = &backup;
  }
  if (oldest == nullptr) {
    return MakeError(absl::StatusCode::kNotFound, "there is no complete backup",
                     {.reason = "NO_BACKUP", .hint = "multigres backup create makes one"});
  }
  if (found.empty()) {
    return MakeError(absl::StatusCode::kFailedPrecondition,
                     absl::StrCat("no backup is as old as ", Text(target), ": the oldest, ", oldest->backup_id(),
                                  ", ended at ", Text(rpc::ToTime(oldest->stop_timestamp()))),
                     {.reason = "BACKUP_TOO_NEW", .hint = "choose a time after that, or another backup's by its name"});
  }
  return found;
}

}  // namespace

// Calls one of a pooler's RPCs so that Cancel and Leave end it.
template <typename Call>
absl::Status RestoreRun::Ask(absl::Time deadline, Call call) {
  grpc::ClientContext context;
  rpc::SetDeadline(&context, deadline);
  {
    std::lock_guard lock(mutex_);
    MG_RETURN_IF_ERROR(Gone());
    calls_.insert(&context);
  }
  grpc::Status status = call(&context);
  std::lock_guard lock(mutex_);
  calls_.erase(&context);
  MG_RETURN_IF_ERROR(Gone());
  return rpc::FromGrpc(status);
}

// Under the lock.
absl::Status RestoreRun::Gone() {
  if (cancelled_) {
    return absl::CancelledError("the restore was called off");
  }
  return left_ ? absl::UnavailableError("multiadmin is stopping") : absl::OkStatus();
}

bool RestoreRun::Cancel() {
  std::lock_guard lock(mutex_);
  if (begun_) {
    return false;
  }
  cancelled_ = true;
  for (grpc::ClientContext* call : calls_) {
    call->TryCancel();
  }
  return true;
}

void RestoreRun::Leave() {
  std::lock_guard lock(mutex_);
  left_ = true;
  for (grpc::ClientContext* call : calls_) {
    call->TryCancel();
  }
  changed_.notify_all();
}

absl::Status RestoreRun::Step(const std::string& id, const std::string& detail,
                              const std::function<absl::Status(std::string* detail, bool* skipped)>& act) {
  absl::Time begun = absl::Now();
  auto tell = [&](prov::StepState state, const std::string& text) {
    prov::StepProgress step;
    step.set_id(id);
    step.set_group(id);
    step.set_state(state);
    step.set_detail(text);
    rpc::SetDuration(absl::Now() - begun, step.mutable_elapsed());
    news_(step);
  };
  tell(prov::STEP_STATE_RUNNING, detail);
  std::string end = detail;
  bool skipped = false;
  absl::Status status = act(&end, &skipped);
  tell(!status.ok() ? prov::STEP_STATE_FAILED : skipped ? prov::STEP_STATE_SKIPPED : prov::STEP_STATE_DONE, end);
  return status;
}

RestoreRun::Answer RestoreRun::Reset(const Multipooler& target, const Order& order, absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(std::string address, topology::AddressOf(target, "grpc"));
  auto stub = pooler::PoolerBackupService::NewStub(dialer_.Dial(address));
  pooler::ResetForRestoreResponse response;
  MG_RETURN_IF_ERROR(
      Ask(deadline, [&](grpc::ClientContext* context) { return stub->ResetForRestore(context, order, &response); }));
  return response;
}

std::vector<RestoreRun::Answer> RestoreRun::AskAll(const Order& order, absl::Time deadline) {
  std::vector<Answer> answers(poolers_.size(), absl::UnknownError("not asked"));
  std::vector<std::thread> threads;
  threads.reserve(poolers_.size());
  for (std::size_t i = 0; i < poolers_.size(); ++i) {
    threads.emplace_back([&, i] { answers[i] = Reset(poolers_[i], order, deadline); });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  return answers;
}

// What takes nothing out of service. Which of the poolers did what not all of them are to do.
absl::StatusOr<std::optional<std::size_t>> RestoreRun::AskFirst(const Order& order, absl::Time deadline) {
  std::vector<Answer> answers = AskAll(order, deadline);
  std::optional<std::size_t> done;
  for (std::size_t i = 0; i < poolers_.size(); ++i) {
    if (absl::IsCancelled(answers[i].status())) {
      std::lock_guard lock(mutex_);
      if (cancelled_) {
        return MakeError(absl::StatusCode::kCancelled, "the restore was called off; the data is as before",
                         {.reason = "CANCELLED", .hint = "repeat the command when it shall go on"});
      }
    }
    if (!answers[i].ok()) {
      absl::Status told =
          WithContext(answers[i].status(),
                      absl::StrCat("nothing was done, the data is as before: pooler '", Label(poolers_[i].id()), "'"));
      // One with a reason has chosen its code.
      return absl::IsNotFound(told) || DetailOf(told).has_value() ? told
                                                                  : absl::FailedPreconditionError(told.message());
    }
    if (answers[i]->done()) {
      done = i;
      archived_lsn_ = answers[i]->archived_lsn();
    }
    terms_used_ = std::max(terms_used_, answers[i]->highest_term());
  }
  return done;
}

absl::Status RestoreRun::Choose(Order* order, absl::Time deadline) {
  const clustermetadata::ShardKey& shard = request_.shard_key();
  MG_ASSIGN_OR_RETURN(poolers_, backups_->Poolers(shard.database(), shard.table_group(), deadline));
  if (request_.has_standby()) {
    std::erase_if(poolers_, [&](const Multipooler& p) { return !consensus::SameNode(p.id(), request_.standby()); });
  }
  if (poolers_.empty()) {
    return absl::NotFoundError(request_.has_standby()
                                   ? absl::StrCat("pooler '", Label(request_.standby()), "' is not one of the shard")
                                   : absl::StrCat("shard ", topology::ShardKeyString(shard), " has no poolers"));
  }
  order->set_backup_id(request_.backup_id());
  order->set_standby(request_.has_standby());
  absl::Time target = request_.has_target_time() ? rpc::ToTime(request_.target_time()) : absl::InfiniteFuture();
  if (request_.has_target_time()) {
    *order->mutable_target_time() = request_.target_time();
    if (target > absl::Now()) {
      return absl::InvalidArgumentError(absl::StrCat("the wished time, ", Text(target), ", is yet to come"));
    }
  }
  auto check = [&](const Order& what) {
    Order question = what;
    question.set_check_only(true);
    return AskFirst(question, std::min(deadline, absl::Now() + kCheckLimit)).status();
  };
  auto leads_elsewhere = [](const absl::Status& checked) {
    return DetailOf(checked).value_or(ErrorDetail{}).reason == "BACKUP_OF_ANOTHER_TIMELINE";
  };
  Order newest = *order;
  newest.set_newest_timeline(true);
  if (!order->backup_id().empty()) {
    absl::Status checked = check(*order);
    // Asked for by its name it gives what it holds; that this is not what is there now should be known.
    leads_back_ = checked.ok() && !request_.has_target_time() && leads_elsewhere(check(newest));
    return checked;
  }
  *order = newest;
  ::multiadmin::GetBackupsRequest question;
  question.set_database(shard.database());
  question.set_table_group(shard.table_group());
  MG_ASSIGN_OR_RETURN(::multiadmin::GetBackupsResponse all, backups_->List(question, deadline));
  MG_ASSIGN_OR_RETURN(std::vector<std::string> candidates, CompleteBefore(all, target));
  for (const std::string& candidate : candidates) {
    order->set_backup_id(candidate);
    absl::Status checked = check(*order);
    // The present data, or that of the wished time, may have come from an older one.
    if (!leads_elsewhere(checked)) {
      return checked;
    }
  }
  return MakeError(
      absl::StatusCode::kFailedPrecondition,
      request_.has_target_time() ? "no backup leads to the data of that time"
                                 : "no backup leads to the present data: restores have left their timelines",
      {.reason = "BACKUP_OF_ANOTHER_TIMELINE",
       .hint = "make a new backup: multigres backup create; by its name an older one gives what it holds"});
}

absl::Status RestoreRun::Prepare(Order order, absl::Time deadline) {
  absl::Time asked = absl::Now();
  order.set_archive_now(true);
  MG_RETURN_IF_ERROR(Step("archive", "all that was written up to now", [&](std::string* detail, bool* skipped) {
    auto archived = AskFirst(order, std::min(deadline, asked + kArchiveLimit));
    if (archived.ok() && !archived->has_value()) {
      *skipped = true;
      *detail = "no pooler leads: what is in the archive has to do";
      log::Warn(*detail, {{"shard", topology::ShardKeyString(request_.shard_key())}});
    }
    return archived.status();
  }));
  order.set_archive_now(false);
  order.set_reach_lsn(archived_lsn_);
  order.set_prepare(true);
  return Step("rehearse", absl::StrCat("backup ", order.backup_id(), " is recovered beside the present data"),
              [&](std::string*, bool*) -> absl::Status {
                MG_ASSIGN_OR_RETURN(auto prepared, AskFirst(order, std::min(deadline, asked + kPrepareLimit)));
                if (!prepared.has_value()) {
                  return absl::FailedPreconditionError("nothing was done: no pooler of the shard is its seed");
                }
                decider_ = *prepared;
                return absl::Now() > deadline ? absl::DeadlineExceededError(
                                                    "nothing was done: the time was up before the log was replayed")
                                              : absl::OkStatus();
              });
}

// Begun, it is finished, whether a caller waits or not.
absl::Status RestoreRun::SetAside(const Order& order) {
  {
    std::lock_guard lock(mutex_);
    MG_RETURN_IF_ERROR(Gone());
    begun_ = true;
  }
  log::Warn("restore begins", {{"shard", topology::ShardKeyString(request_.shard_key())},
                               {"restore", order.restore_id()},
                               {"backup", order.backup_id()},
                               {"standby", request_.has_standby() ? Label(request_.standby()) : ""}});
  std::vector<Answer> answers = AskAll(order, absl::Now() + kResetLimit);
  std::string failures;
  for (std::size_t i = 0; i < poolers_.size(); ++i) {
    if (!answers[i].ok()) {
      absl::StrAppend(&failures, failures.empty() ? "" : "; ", Label(poolers_[i].id()), ": ",
                      answers[i].status().message());
      continue;
    }
    response_.set_engine(answers[i]->engine());
    if (!answers[i]->kept_directory().empty()) {
      v1::KeptDirectory* kept = response_.add_kept();
      *kept->mutable_pooler_id() = poolers_[i].id();
      kept->set_path(answers[i]->kept_directory());
    }
  }
  return failures.empty()
             ? absl::OkStatus()
             : absl::AbortedError(absl::StrCat("not every pooler has set its data aside; say it again: ", failures));
}

absl::StatusOr<pooler::GetRestoreOutcomeResponse> RestoreRun::AwaitOutcome(const std::string& restore_id) {
  MG_ASSIGN_OR_RETURN(std::string address, topology::AddressOf(poolers_[decider_], "grpc"));
  auto stub = pooler::PoolerBackupService::NewStub(dialer_.Dial(address));
  pooler::GetRestoreOutcomeRequest question;
  question.set_restore_id(restore_id);
  question.set_wait(true);
  const absl::Time end = absl::Now() + kOutcomeLimit;
  while (absl::Now() < end) {
    pooler::GetRestoreOutcomeResponse answer;
    absl::Status asked = Ask(absl::Now() + kOutcomeRound, [&](grpc::ClientContext* context) {
      context->set_wait_for_ready(true);  // it may be started anew meanwhile
      return stub->GetRestoreOutcome(context, question, &answer);
    });
    if (asked.ok() && answer.outcome() != pooler::RESTORE_OUTCOME_UNSPECIFIED) {
      return answer;
    }
    if (!asked.ok() && !absl::IsDeadlineExceeded(asked) && !absl::IsUnavailable(asked)) {
      return asked;
    }
    std::lock_guard lock(mutex_);
    MG_RETURN_IF_ERROR(Gone());
  }
  return absl::DeadlineExceededError("the new data is not there yet; the poolers go on by themselves");
}

absl::StatusOr<clustermetadata::ID> RestoreRun::AwaitServing(absl::Duration limit) {
  std::optional<clustermetadata::ID> found;
  auto watch = topology_->WatchPoolers([&](const std::vector<Multipooler>& poolers) {
    std::lock_guard lock(mutex_);
    for (const Multipooler& candidate : poolers) {
      if (topology::ShardKeyString(candidate.shard_key()) == topology::ShardKeyString(request_.shard_key()) &&
          candidate.serving_status() == clustermetadata::SERVING &&
          (request_.has_standby() ? consensus::SameNode(candidate.id(), request_.standby())
                                  : candidate.routing_state().role() == clustermetadata::ROUTING_ROLE_PRIMARY)) {
        found = candidate.id();
      }
    }
    changed_.notify_all();
  });
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, absl::ToChronoTime(absl::Now() + limit), [&] { return left_ || found.has_value(); });
  absl::Status gone = Gone();
  lock.unlock();
  watch.reset();
  MG_RETURN_IF_ERROR(gone);
  if (!found.has_value()) {
    return absl::DeadlineExceededError(request_.has_standby() ? "the standby does not serve yet; it goes on by itself"
                                                              : "the shard has no primary yet; it goes on by itself");
  }
  return *found;
}

absl::Status RestoreRun::PutBack(const pooler::GetRestoreOutcomeResponse& outcome) {
  absl::Status back = Step("put-back", "the new data failed; the former data", [&](std::string* detail, bool*) {
    auto serving = AwaitServing(kPutBackLimit);
    if (serving.ok()) {
      *detail = absl::StrCat("the former data serves again in ", serving->cell());
    }
    return serving.status();
  });
  const bool damaged = outcome.error_reason() == "BACKUP_DAMAGED";
  return MakeError(
      damaged ? absl::StatusCode::kDataLoss : absl::StatusCode::kAborted,
      absl::StrCat(
          "the restore failed when the new data was ", damaged ? "made" : "started", ": ", outcome.reason(),
          back.ok() ? "; the former data serves again" : "; the former data is put back, and does not serve yet"),
      {.reason = damaged ? "BACKUP_DAMAGED" : "RESTORE_FAILED",
       .hint = !back.ok() ? "multigres status shows what is missing"
               : damaged  ? "restore another one: multigres backup list, multigres backup verify"
                          : "multigres logs, with the pooler's name, says more"});
}

absl::StatusOr<v1::RestoreBackupResponse> RestoreRun::Act(absl::Time deadline) {
  Order order;
  MG_RETURN_IF_ERROR(Step("check", "every pooler can", [&](std::string* detail, bool*) {
    absl::Status chosen = Choose(&order, deadline);
    if (!order.backup_id().empty()) {
      *detail = absl::StrCat(
          poolers_.size(), poolers_.size() == 1 ? " pooler" : " poolers", " can, from backup ", order.backup_id(),
          leads_back_ ? ", which does not lead to the present data: a restore has left its timeline" : "");
    }
    return chosen;
  }));
  if (!request_.has_standby()) {
    MG_RETURN_IF_ERROR(Prepare(order, deadline));
  }
  order.set_terms_used(terms_used_);
  order.set_restore_id(absl::StrFormat("%016x%016x", absl::Uniform<std::uint64_t>(absl::BitGen()),
                                       absl::Uniform<std::uint64_t>(absl::BitGen())));
  response_.set_backup_id(order.backup_id());
  absl::Time begun = absl::Now();
  MG_RETURN_IF_ERROR(
      Step("set-aside", "the present data is stopped, and kept", [&](std::string*, bool*) { return SetAside(order); }));
  pooler::GetRestoreOutcomeResponse outcome;
  const std::string& cell = poolers_[decider_].id().cell();
  absl::Status begin = Step("start", absl::StrCat("the new data in ", cell), [&](std::string*, bool*) -> absl::Status {
    MG_ASSIGN_OR_RETURN(outcome, AwaitOutcome(order.restore_id()));
    return outcome.outcome() == pooler::RESTORE_OUTCOME_PUT_BACK ? absl::AbortedError(outcome.reason())
                                                                 : absl::OkStatus();
  });
  if (outcome.outcome() == pooler::RESTORE_OUTCOME_PUT_BACK) {
    return PutBack(outcome);
  }
  MG_RETURN_IF_ERROR(begin);
  MG_RETURN_IF_ERROR(Step(
      "serve", request_.has_standby() ? "the standby" : "a primary", [&](std::string* detail, bool*) -> absl::Status {
        MG_ASSIGN_OR_RETURN(clustermetadata::ID serving, AwaitServing(kServeLimit));
        *detail = absl::StrCat(request_.has_standby() ? "the standby" : "a primary", " in ", serving.cell());
        if (!request_.has_standby()) {
          *response_.mutable_leader_id() = serving;
        }
        return absl::OkStatus();
      }));
  rpc::SetDuration(absl::Now() - begun, response_.mutable_duration());
  return response_;
}

}  // namespace mg::multiadmin
