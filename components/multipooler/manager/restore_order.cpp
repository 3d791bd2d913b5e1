#include "components/multipooler/manager/restore_order.h"

#include <google/protobuf/util/json_util.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/fs/fs.h"
#include "common/rpc/proto_time.h"
#include "common/status/status.h"
#include "components/multipooler/backup/timelines.h"

namespace mg::multipooler {
namespace {

using multigres::pooler::v1::ResetForRestoreRequest;

std::string File(const Config& config) { return JoinPath(config.pooler_dir, "restore.json"); }
std::string PreparedFile(const Config& config) { return JoinPath(config.pooler_dir, "restore-prepared.json"); }

absl::Status Write(const std::string& path, const google::protobuf::Message& message) {
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(message, &json).ok()) {
    return absl::InternalError(absl::StrCat(path, " cannot be written as JSON"));
  }
  return WriteFileAtomically(path, json + "\n", 0600);
}

template <typename Message>
absl::StatusOr<std::optional<Message>> Read(const std::string& path) {
  absl::StatusOr<std::string> json = ReadFile(path);
  if (absl::IsNotFound(json.status())) {
    return std::optional<Message>();
  }
  MG_RETURN_IF_ERROR(json.status());
  Message message;
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  if (!google::protobuf::util::JsonStringToMessage(*json, &message, options).ok()) {
    return absl::DataLossError(absl::StrCat(path, " cannot be understood"));
  }
  return std::optional<Message>(std::move(message));
}

}  // namespace

std::string KeptDirectory(const Config& config) { return config.data_directory + ".before-restore"; }

std::string FreshDirectory(const Config& config) { return config.data_directory + ".restored"; }

std::string KeptPromises(const Config& config) { return JoinPath(config.pooler_dir, "promises-before-restore.json"); }

backup::Wish WishOf(const ResetForRestoreRequest& order) {
  // A standby follows its leader, whose timeline is the newest.
  const bool moment = order.has_target_time() && !order.standby();
  return {.time = moment ? rpc::ToTime(order.target_time()) : absl::InfiniteFuture(),
          .newest = order.newest_timeline() || order.standby()};
}

absl::Status WriteRestoreOrder(const Config& config, const ResetForRestoreRequest& order) {
  return Write(File(config), order);
}

absl::StatusOr<std::optional<ResetForRestoreRequest>> ReadRestoreOrder(const Config& config) {
  return Read<ResetForRestoreRequest>(File(config));
}

absl::Status RemoveRestoreOrder(const Config& config) { return RemoveTree(File(config)); }

absl::Status WritePreparedOrder(const Config& config, const ResetForRestoreRequest& order) {
  return Write(PreparedFile(config), order);
}

absl::StatusOr<bool> IsPrepared(const Config& config, const ResetForRestoreRequest& order) {
  MG_ASSIGN_OR_RETURN(std::optional<ResetForRestoreRequest> prepared,
                      Read<ResetForRestoreRequest>(PreparedFile(config)));
  return prepared.has_value() && prepared->backup_id() == order.backup_id() && prepared->standby() == order.standby() &&
         prepared->has_target_time() == order.has_target_time() &&
         prepared->target_time().seconds() == order.target_time().seconds() &&
         prepared->target_time().nanos() == order.target_time().nanos();
}

absl::Status RemovePreparedOrder(const Config& config) { return RemoveTree(PreparedFile(config)); }

RestoreLedger::RestoreLedger(const Config& config) : path_(JoinPath(config.pooler_dir, "restore-outcome.json")) {}

absl::Status RestoreLedger::Load() {
  MG_ASSIGN_OR_RETURN(std::optional<Outcome> read, Read<Outcome>(path_));
  std::lock_guard lock(mutex_);
  latest_ = read.value_or(Outcome());
  return absl::OkStatus();
}

absl::Status RestoreLedger::Decide(Outcome outcome) {
  std::lock_guard lock(mutex_);
  if (outcome.restore_id().empty()) {
    return absl::OkStatus();  // nobody asks for it
  }
  MG_RETURN_IF_ERROR(Write(path_, outcome));
  latest_ = std::move(outcome);
  changed_.notify_all();
  return absl::OkStatus();
}

RestoreLedger::Outcome RestoreLedger::GetLocked(const std::string& restore_id) const {
  Outcome outcome;
  outcome.set_restore_id(restore_id);
  return !restore_id.empty() && latest_.restore_id() == restore_id ? latest_ : outcome;
}

RestoreLedger::Outcome RestoreLedger::Get(const std::string& restore_id) const {
  std::lock_guard lock(mutex_);
  return GetLocked(restore_id);
}

RestoreLedger::Outcome RestoreLedger::Await(const std::string& restore_id, absl::Time deadline) const {
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, absl::ToChronoTime(deadline), [&] {
    return stopped_ || GetLocked(restore_id).outcome() != multigres::pooler::v1::RESTORE_OUTCOME_UNSPECIFIED;
  });
  return GetLocked(restore_id);
}

void RestoreLedger::Stop() {
  std::lock_guard lock(mutex_);
  stopped_ = true;
  changed_.notify_all();
}

}  // namespace mg::multipooler
