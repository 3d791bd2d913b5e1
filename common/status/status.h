/// Errors as values: absl::Status with a payload that says the stable reason, the component at fault, its last lines
/// and what to do next. A message is "what failed: why", lower case, without a trailing dot; the hint is never part of
/// it. Everything here may be called from any thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace mg {

/// What an error carries beyond its code and message.
struct ErrorDetail {
  std::string reason;                 ///< stable upper-case word for programs, such as PORT_IN_USE
  std::string hint;                   ///< what to do next, one sentence
  std::string subject;                ///< the component at fault, such as multipooler/zone1
  std::vector<std::string> log_tail;  ///< its last lines, oldest first
};

/// An error with a detail.
absl::Status MakeError(absl::StatusCode code, absl::string_view message, ErrorDetail detail = {});

/// The detail that `status` carries, if any.
std::optional<ErrorDetail> DetailOf(const absl::Status& status);

/// The same error with `prefix: ` before its message; code and detail are kept. OK stays OK.
absl::Status WithContext(const absl::Status& status, absl::string_view prefix);

/// The error for a failed system call: "<what>: <strerror>". The code is chosen from errno (ENOENT: NOT_FOUND, EACCES
/// and EPERM: PERMISSION_DENIED, EEXIST: ALREADY_EXISTS, ENOSPC and EMFILE: RESOURCE_EXHAUSTED, EAGAIN: UNAVAILABLE,
/// else INTERNAL); ENOSPC and EDQUOT have the reason DISK_FULL.
absl::Status ErrnoStatus(int error_number, absl::string_view what);

}  // namespace mg

#define MG_STATUS_CONCAT_INNER(a, b) a##b
#define MG_STATUS_CONCAT(a, b) MG_STATUS_CONCAT_INNER(a, b)

/// Returns from the current function when the expression is an error.
#define MG_RETURN_IF_ERROR(expression)                            \
  do {                                                            \
    if (absl::Status mg_status = (expression); !mg_status.ok()) { \
      return mg_status;                                           \
    }                                                             \
  } while (false)

#define MG_ASSIGN_OR_RETURN_IMPL(name, target, expression) \
  auto name = (expression);                                \
  if (!name.ok()) {                                        \
    return name.status();                                  \
  }                                                        \
  target = *std::move(name)

/// `MG_ASSIGN_OR_RETURN(auto x, F())`: x is the value of F, or the current function returns F's error.
#define MG_ASSIGN_OR_RETURN(target, expression) \
  MG_ASSIGN_OR_RETURN_IMPL(MG_STATUS_CONCAT(mg_status_or_, __LINE__), target, expression)
