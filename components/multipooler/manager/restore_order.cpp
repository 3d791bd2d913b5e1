#include "components/multipooler/manager/restore_order.h"

#include <google/protobuf/util/json_util.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "common/fs/fs.h"
#include "common/status/status.h"

namespace mg::multipooler {
namespace {

using multigres::pooler::v1::ResetForRestoreRequest;

std::string File(const Config& config) { return JoinPath(config.pooler_dir, "restore.json"); }

}  // namespace

absl::Status WriteRestoreOrder(const Config& config, const ResetForRestoreRequest& order) {
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(order, &json).ok()) {
    return absl::InternalError("the order of a restore cannot be written as JSON");
  }
  return WriteFileAtomically(File(config), json + "\n", 0600);
}

absl::StatusOr<std::optional<ResetForRestoreRequest>> ReadRestoreOrder(const Config& config) {
  absl::StatusOr<std::string> json = ReadFile(File(config));
  if (absl::IsNotFound(json.status())) {
    return std::optional<ResetForRestoreRequest>();
  }
  MG_RETURN_IF_ERROR(json.status());
  ResetForRestoreRequest order;
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  if (!google::protobuf::util::JsonStringToMessage(*json, &order, options).ok()) {
    return absl::DataLossError(absl::StrCat(File(config), " cannot be understood"));
  }
  return std::optional<ResetForRestoreRequest>(std::move(order));
}

absl::Status RemoveRestoreOrder(const Config& config) { return RemoveTree(File(config)); }

}  // namespace mg::multipooler
