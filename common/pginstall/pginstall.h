/// The PostgreSQL installations of this machine. Majors 14 to 17 are supported. Any thread; blocking (reads
/// directories, runs `postgres --version` once per installation).
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace mg::pginstall {

inline constexpr int kOldestMajor = 14;
inline constexpr int kNewestMajor = 17;

struct Installation {
  int major = 0;
  std::string version;  ///< 15.20
  std::string bin_dir;  ///< directory of postgres, initdb, pg_basebackup …
  std::string Program(const std::string& name) const { return bin_dir + "/" + name; }
};

/// All usable installations, newest first: the one on PATH, and /usr/lib/postgresql/*/bin. Unsupported majors are left
/// out.
std::vector<Installation> List();
/// NOT_FOUND with a hint when there is none (of that major).
absl::StatusOr<Installation> Newest();
absl::StatusOr<Installation> OfMajor(int major);
/// The installation that a data directory needs (its PG_VERSION). NOT_FOUND when the directory is no data directory, or
/// when its major is not installed.
absl::StatusOr<Installation> ForDataDirectory(const std::string& data_dir);
/// The one for the data directory if it has data, else `major`, or the newest for 0.
absl::StatusOr<Installation> Choose(const std::string& data_dir, int major);

}  // namespace mg::pginstall
