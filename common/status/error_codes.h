/// Every error's stable word, its usual cause and what to do: one table, from which docs/errors.md is made and from
/// which an error without words of its own gets them. Whoever uses a new reason adds it here (tests/lint compares).
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace mg {

struct ErrorCode {
  absl::string_view reason;  ///< stable upper-case word; that of the canonical code where an error has no own one
  absl::StatusCode code;     ///< decides the exit status
  absl::string_view why;     ///< the usual cause: one sentence, lower case, without a dot
  absl::string_view next;    ///< what to do: one sentence, likewise
};

/// All of them, by reason.
const std::vector<ErrorCode>& ErrorCodes();

/// The entry of this error's reason, else that of its canonical code. `status` is not OK.
const ErrorCode& ErrorCodeOf(const absl::Status& status);

/// The program's exit status for an error: its reason's, else its canonical code's. OK is 0.
int ExitCodeOf(const absl::Status& status);

}  // namespace mg
