#include "components/multipooler/manager/restore_order.h"

#include <google/protobuf/util/json_util.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/fs/fs.h"
#include "common/status/status.h"

namespace mg::multipooler {
namespace {

using multigres::pooler::v1::ResetForRestoreRequest;

std::string File(const Config& config) { return JoinPath(config.pooler_dir, "restore.json"); }
std::string PreparedFile(const Config& config) { return JoinPath(config.pooler_dir, "restore-prepared.json"); }

absl::Status Write(const std::string& path, const ResetForRestoreRequest& order) {
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(order, &json).ok()) {
    return absl::InternalError("the order of a restore cannot be written as JSON");
  }
  return WriteFileAtomically(path, json + "\n", 0600);
}

absl::StatusOr<std::optional<ResetForRestoreRequest>> Read(const std::string& path) {
  absl::StatusOr<std::string> json = ReadFile(path);
  if (absl::IsNotFound(json.status())) {
    return std::optional<ResetForRestoreRequest>();
  }
  MG_RETURN_IF_ERROR(json.status());
  ResetForRestoreRequest order;
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  if (!google::protobuf::util::JsonStringToMessage(*json, &order, options).ok()) {
    return absl::DataLossError(absl::StrCat(path, " cannot be understood"));
  }
  return std::optional<ResetForRestoreRequest>(std::move(order));
}

}  // namespace

absl::Status WriteRestoreOrder(const Config& config, const ResetForRestoreRequest& order) {
  return Write(File(config), order);
}

absl::StatusOr<std::optional<ResetForRestoreRequest>> ReadRestoreOrder(const Config& config) {
  return Read(File(config));
}

absl::Status RemoveRestoreOrder(const Config& config) { return RemoveTree(File(config)); }

absl::Status WritePreparedOrder(const Config& config, const ResetForRestoreRequest& order) {
  return Write(PreparedFile(config), order);
}

absl::StatusOr<bool> IsPrepared(const Config& config, const ResetForRestoreRequest& order) {
  MG_ASSIGN_OR_RETURN(std::optional<ResetForRestoreRequest> prepared, Read(PreparedFile(config)));
  return prepared.has_value() && prepared->backup_id() == order.backup_id() && prepared->standby() == order.standby() &&
         prepared->has_target_time() == order.has_target_time() &&
         prepared->target_time().seconds() == order.target_time().seconds() &&
         prepared->target_time().nanos() == order.target_time().nanos();
}

absl::Status RemovePreparedOrder(const Config& config) { return RemoveTree(PreparedFile(config)); }

}  // namespace mg::multipooler
