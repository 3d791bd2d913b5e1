/// What a promoted server needs so that standbys of every earlier timeline can follow it. Blocking; any thread.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace mg::multipooler {

/// A server that archives keeps the last segment of the timeline that it left under the name `.partial` only. A standby
/// that is one timeline further back, and left it in the same segment, is served from just that file: PostgreSQL tells
/// it that the segment has been removed (walsender reads the end of a timeline from the segment of the next one). So
/// the file gets its name back, beside the other one, and is marked as archived. Nothing is done where two timelines
/// did not end in one segment. `owner` as for ChangeOwner. Errors: of the file system.
absl::Status KeepLeftSegments(const std::string& data_directory, const std::string& owner);

}  // namespace mg::multipooler
