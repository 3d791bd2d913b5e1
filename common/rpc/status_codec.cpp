#include <grpcpp/support/status.h>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"
#include "common/text/utf8.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace mg::rpc {
namespace {

constexpr char kDomain[] = "multigres.dev";
// A peer refuses a call whose headers are over 8 KiB, details (in base64) and message included.
constexpr size_t kMaxMessage = 1000;
constexpr size_t kMaxLogTail = 3000;

std::string Shorten(absl::string_view text) {
  return text::ToValidUtf8(text.size() <= kMaxMessage ? text : text.substr(0, kMaxMessage));
}

/// The last lines, as many as fit.
std::string JoinTail(const std::vector<std::string>& lines) {
  size_t first = lines.size();
  for (size_t size = 0; first > 0; --first) {
    size += lines[first - 1].size() + 1;
    if (size > kMaxLogTail) {
      break;
    }
  }
  return text::ToValidUtf8(absl::StrJoin(lines.begin() + static_cast<std::ptrdiff_t>(first), lines.end(), "\n"));
}

}  // namespace

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) {
    return grpc::Status::OK;
  }
  std::string message = Shorten(status.message());
  auto code = static_cast<grpc::StatusCode>(status.code());
  std::optional<ErrorDetail> detail = DetailOf(status);
  if (!detail) {
    return grpc::Status(code, message);
  }
  google::rpc::ErrorInfo info;
  info.set_reason(detail->reason);
  info.set_domain(kDomain);
  auto& metadata = *info.mutable_metadata();
  if (!detail->hint.empty()) {
    metadata["hint"] = Shorten(detail->hint);
  }
  if (!detail->subject.empty()) {
    metadata["subject"] = Shorten(detail->subject);
  }
  if (!detail->log_tail.empty()) {
    metadata["log_tail"] = JoinTail(detail->log_tail);
  }
  google::rpc::Status wire;
  wire.set_code(static_cast<int>(code));
  wire.set_message(message);
  wire.add_details()->PackFrom(info);
  return grpc::Status(code, message, wire.SerializeAsString());
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
