/// Text of unknown origin (log lines, messages of other programs) made fit for places that demand UTF-8, such as
/// protobuf strings and JSON. Any thread.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace mg::text {

/// `text` with every byte that is not part of valid UTF-8 replaced by U+FFFD.
std::string ToValidUtf8(absl::string_view text);

}  // namespace mg::text
