#include <grpcpp/support/status.h>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/rpc/rpc.h"
#include "common/rpc/trailers.h"
#include "common/status/status.h"
#include "common/text/utf8.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace mg::rpc {
namespace {

constexpr char kDomain[] = "multigres.dev";
// Each is a sentence or a name, and none of ours is longer.
constexpr size_t kMaxHint = 600;
constexpr size_t kMaxSubject = 200;
constexpr size_t kMaxReason = 100;

/// The last lines, as many as fit.
std::string JoinTail(const std::vector<std::string>& lines, size_t room) {
  size_t first = lines.size();
  for (size_t size = 0; first > 0; --first) {
    size += lines[first - 1].size() + 1;
    if (size > room) {
      break;
    }
  }
  return text::ToValidUtf8(absl::StrJoin(lines.begin() + static_cast<std::ptrdiff_t>(first), lines.end(), "\n"));
}

grpc::Status Make(const absl::Status& status, const std::optional<ErrorDetail>& detail, const TextRoom& room) {
  std::string message = Shorten(status.message(), room.message);
  auto code = static_cast<grpc::StatusCode>(status.code());
  if (!detail) {
    return grpc::Status(code, message);
  }
  google::rpc::ErrorInfo info;
  info.set_reason(Shorten(detail->reason, kMaxReason));
  info.set_domain(kDomain);
  auto& metadata = *info.mutable_metadata();
  if (!detail->hint.empty()) {
    metadata["hint"] = Shorten(detail->hint, kMaxHint);
  }
  if (!detail->subject.empty()) {
    metadata["subject"] = Shorten(detail->subject, kMaxSubject);
  }
  if (std::string tail = JoinTail(detail->log_tail, room.log_tail); !tail.empty()) {
    metadata["log_tail"] = std::move(tail);
  }
  google::rpc::Status wire;
  wire.set_code(static_cast<int>(code));
  wire.set_message(message);
  wire.add_details()->PackFrom(info);
  return grpc::Status(code, message, wire.SerializeAsString());
}

}  // namespace

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) {
    return grpc::Status::OK;
  }
  return FitIntoTrailers(
      [&status, detail = DetailOf(status)](const TextRoom& room) { return Make(status, detail, room); });
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) {
    return absl::OkStatus();
  }
  auto code = static_cast<absl::StatusCode>(status.error_code());
  google::rpc::Status wire;
  if (!status.error_details().empty() && wire.ParseFromString(status.error_details())) {
    for (const auto& any : wire.details()) {
      google::rpc::ErrorInfo info;
      if (!any.UnpackTo(&info)) {
        continue;
      }
      auto value = [&](const char* key) {
        auto it = info.metadata().find(key);
        return it == info.metadata().end() ? std::string() : it->second;
      };
      ErrorDetail detail = {.reason = info.reason(), .hint = value("hint"), .subject = value("subject")};
      if (std::string tail = value("log_tail"); !tail.empty()) {
        detail.log_tail = absl::StrSplit(tail, '\n');
      }
      return MakeError(code, status.error_message(), std::move(detail));
    }
  }
  return absl::Status(code, status.error_message());
}

std::string EncodeStatus(const absl::Status& status) {
  google::rpc::Status wire;
  grpc::Status converted = ToGrpc(status);
  if (converted.error_details().empty() || !wire.ParseFromString(converted.error_details())) {
    wire.set_code(static_cast<int>(converted.error_code()));
    wire.set_message(converted.error_message());
  }
  return wire.SerializeAsString();
}

absl::Status DecodeStatus(const std::string& bytes) {
  google::rpc::Status wire;
  if (!wire.ParseFromString(bytes)) {
    return absl::DataLossError("not a status");
  }
  return FromGrpc(grpc::Status(static_cast<grpc::StatusCode>(wire.code()), wire.message(), bytes));
}

}  // namespace mg::rpc
