#include "components/multipooler/manager/rpc_error.h"

#include <grpcpp/support/status.h>

#include <optional>
#include <string>

#include "common/pgsql/connection.h"
#include "common/rpc/rpc.h"
#include "common/rpc/trailers.h"
#include "common/status/status.h"
#include "google/rpc/status.pb.h"
#include "mtrpc.pb.h"

namespace mg::multipooler {
namespace {

constexpr std::size_t kMaxDiagnosticText = 300;  // of PostgreSQL's detail and hint; its message is ours, or part of it

grpc::Status Make(const absl::Status& status, const std::optional<pgsql::Diagnostic>& diagnostic,
                  const std::optional<ErrorDetail>& detail, const rpc::TextRoom& room) {
  // Three times: each reader of upstream's looks at another one.
  const std::string message = rpc::Shorten(status.message(), room.message);
  mtrpc::RPCError error;
  error.set_message(message);
  error.set_code(static_cast<mtrpc::Code>(status.code()));
  if (diagnostic.has_value()) {
    query::PgDiagnostic* out = error.mutable_pg_diagnostic();
    out->set_message_type('E');
    out->set_severity(diagnostic->severity);
    out->set_code(diagnostic->sqlstate);
    out->set_message(rpc::Shorten(diagnostic->message, room.message));
    out->set_detail(rpc::Shorten(diagnostic->detail, kMaxDiagnosticText));
    out->set_hint(rpc::Shorten(diagnostic->hint, kMaxDiagnosticText));
  }
  google::rpc::Status details;
  details.set_code(static_cast<int>(status.code()));
  details.set_message(message);
  details.add_details()->PackFrom(error);
  // Ours beside upstream's: the stable reason and the hint, without which a caller could only guess by the code.
  google::rpc::Status own;
  std::optional<ErrorDetail> kept = detail;
  if (kept.has_value() && room.log_tail == 0) {
    kept->log_tail.clear();
  }
  if (kept.has_value() && own.ParseFromString(rpc::ToGrpc(MakeError(status.code(), "", *kept)).error_details())) {
    details.mutable_details()->MergeFrom(own.details());
  }
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), message, details.SerializeAsString());
}

}  // namespace

grpc::Status ToRpcError(const absl::Status& status) {
  if (status.ok()) {
    return grpc::Status::OK;
  }
  return rpc::FitIntoTrailers([&status, diagnostic = pgsql::DiagnosticOf(status), detail = DetailOf(status)](
                                  const rpc::TextRoom& room) { return Make(status, diagnostic, detail, room); });
}

}  // namespace mg::multipooler
