#include "common/rpc/grpc_log.h"

#include <grpc/support/log.h>

#include "absl/strings/str_cat.h"
#include "common/log/log.h"

namespace mg::rpc {
namespace {

void Log(gpr_log_func_args* record) {
  absl::string_view file(record->file);
  std::string place = absl::StrCat(file.substr(file.rfind('/') + 1), ":", record->line);
  if (record->severity == GPR_LOG_SEVERITY_ERROR) {
    log::Warn(record->message, {{"grpc", place}});
  } else {
    log::Debug(record->message, {{"grpc", place}});
  }
}

}  // namespace

void LogGrpcsWords() { ::gpr_set_log_function(Log); }

}  // namespace mg::rpc
