/// What is missing in an archive of WAL, by the names of its files: recovery takes the first segment that is not there
/// for the end of all that was written.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "components/multipooler/backup/timelines.h"

namespace mg::multipooler::backup {

/// A timeline, and the number of a segment of it.
using Segment = std::pair<int, std::uint64_t>;
using Segments = std::set<Segment>;

/// The whole segments in a directory and the ones below it, of whatever ending. `size` of a segment in bytes.
absl::StatusOr<Segments> ReadSegments(const std::string& directory, std::uint64_t size);

/// Those that are not there on the way from a backup's end to the last one of a timeline that it leads to.
std::vector<Segment> MissingAfter(const BackupEnd& backup, const Timeline& line, const Segments& present,
                                  std::uint64_t size);

/// Bytes of a segment, by the first one in a server's pg_wal; PostgreSQL's default where there is none.
std::uint64_t SegmentSize(const std::string& wal_directory);

/// As PostgreSQL calls its file.
std::string NameOf(const Segment& segment, std::uint64_t size);

}  // namespace mg::multipooler::backup
