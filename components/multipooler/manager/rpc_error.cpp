#include "components/multipooler/manager/rpc_error.h"

#include <grpcpp/support/status.h>

#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/pgsql/connection.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"
#include "google/rpc/status.pb.h"
#include "mtrpc.pb.h"

namespace mg::multipooler {
namespace {

constexpr std::size_t kMaxMessage = 8192 - 512;  // gRPC's default limit of trailing metadata, less room for the rest
constexpr std::size_t kRoomForLines = 500;       // a longer message leaves none for a log's last lines

}  // namespace

grpc::Status ToRpcError(const absl::Status& status) {
  if (status.ok()) {
    return grpc::Status::OK;
  }
  std::string message(status.message());
  if (message.size() > kMaxMessage) {
    message = absl::StrCat(message.substr(0, kMaxMessage), "… (cut)");
  }
  mtrpc::RPCError error;
  error.set_message(message);
  error.set_code(static_cast<mtrpc::Code>(status.code()));
  if (std::optional<pgsql::Diagnostic> diagnostic = pgsql::DiagnosticOf(status); diagnostic.has_value()) {
    query::PgDiagnostic* out = error.mutable_pg_diagnostic();
    out->set_message_type('E');
    out->set_severity(diagnostic->severity);
    out->set_code(diagnostic->sqlstate);
    out->set_message(diagnostic->message);
    out->set_detail(diagnostic->detail);
    out->set_hint(diagnostic->hint);
  }
  google::rpc::Status details;
  details.set_code(static_cast<int>(status.code()));
  details.set_message(message);
  details.add_details()->PackFrom(error);
  // Ours beside upstream's: the stable reason and the hint, without which a caller could only guess by the code.
  google::rpc::Status own;
  std::optional<ErrorDetail> detail = DetailOf(status);
  if (detail.has_value() && message.size() > kRoomForLines) {
    detail->log_tail.clear();
  }
  if (detail.has_value() && own.ParseFromString(rpc::ToGrpc(MakeError(status.code(), "", *detail)).error_details())) {
    details.mutable_details()->MergeFrom(own.details());
  }
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), message, details.SerializeAsString());
}

}  // namespace mg::multipooler
