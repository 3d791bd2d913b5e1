#include "common/status/status.h"

#include <cerrno>
#include <cstring>

#include "absl/strings/cord.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace mg {
namespace {

constexpr char kPayload[] = "multigres.ErrorDetail";

absl::StatusCode CodeOfErrno(int error_number) {
  switch (error_number) {
    case ENOENT:
      return absl::StatusCode::kNotFound;
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::StatusCode::kPermissionDenied;
    case EEXIST:
      return absl::StatusCode::kAlreadyExists;
    case ENOSPC:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EDQUOT:
      return absl::StatusCode::kResourceExhausted;
    case EAGAIN:
    case ECONNREFUSED:
    case ECONNRESET:
      return absl::StatusCode::kUnavailable;
    case ETIMEDOUT:
      return absl::StatusCode::kDeadlineExceeded;
    default:
      return absl::StatusCode::kInternal;
  }
}

}  // namespace

absl::Status MakeError(absl::StatusCode code, absl::string_view message, ErrorDetail detail) {
  absl::Status status(code, message);
  std::vector<std::string> fields = {detail.reason, detail.hint, detail.subject};
  fields.insert(fields.end(), detail.log_tail.begin(), detail.log_tail.end());
  status.SetPayload(kPayload, absl::Cord(absl::StrJoin(fields, "\n", [](std::string* out, const std::string& field) {
                      absl::StrAppend(out, absl::CEscape(field));
                    })));
  return status;
}

std::optional<ErrorDetail> DetailOf(const absl::Status& status) {
  absl::optional<absl::Cord> payload = status.GetPayload(kPayload);
  if (!payload.has_value()) {
    return std::nullopt;
  }
  std::vector<std::string> fields;
  std::string text(*payload);
  for (absl::string_view escaped : absl::StrSplit(text, '\n')) {
    std::string field;
    if (!absl::CUnescape(escaped, &field)) {
      return std::nullopt;
    }
    fields.push_back(std::move(field));
  }
  if (fields.size() < 3) {
    return std::nullopt;
  }
  ErrorDetail detail{fields[0], fields[1], fields[2], {}};
  detail.log_tail.assign(fields.begin() + 3, fields.end());
  return detail;
}

absl::Status WithContext(const absl::Status& status, absl::string_view prefix) {
  if (status.ok()) {
    return status;
  }
  absl::Status result(status.code(), absl::StrCat(prefix, ": ", status.message()));
  status.ForEachPayload(
      [&result](absl::string_view url, const absl::Cord& payload) { result.SetPayload(url, payload); });
  return result;
}

absl::Status ErrnoStatus(int error_number, absl::string_view what) {
  if (error_number == ENOSPC || error_number == EDQUOT) {
    // A limit of the machine that its owner can do something about at once, unlike the others of this code.
    return MakeError(CodeOfErrno(error_number), absl::StrCat(what, ": ", std::strerror(error_number)),
                     {.reason = "DISK_FULL"});
  }
  if (error_number == ENOENT) {
    // It is a path that was not found, and no name of a list.
    return MakeError(CodeOfErrno(error_number), absl::StrCat(what, ": ", std::strerror(error_number)),
                     {.reason = "FILE_NOT_FOUND"});
  }
  return absl::Status(CodeOfErrno(error_number), absl::StrCat(what, ": ", std::strerror(error_number)));
}

}  // namespace mg
