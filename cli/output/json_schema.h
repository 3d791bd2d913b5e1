/// JSON Schemas (draft 2020-12) of what ToJson prints, from the messages' own descriptors. Pure.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace mg::cli {

/// The schema of a message by its full name, with its comment-free description `title`. NOT_FOUND when the program has
/// no such message. `all_fields`: every field that ToJson always prints is required; ToJsonLine prints set fields only.
absl::StatusOr<std::string> JsonSchema(const std::string& message, const std::string& title, bool all_fields);

}  // namespace mg::cli
