/// Facts about this machine: programs and their versions, users and where they may go, memory, disk. Any thread;
/// versions are asked of a program once per file that it is.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agentd/provisioners/local/implementation.h"
#include "common/pginstall/pginstall.h"

namespace mg::local {

class Machine {
 public:
  /// `libexec_dir` holds the shim and our components.
  Machine(std::string libexec_dir, unsigned uid) : libexec_dir_(std::move(libexec_dir)), root_(uid == 0) {}

  MachineFacts Facts();
  const std::string& libexec_dir() const { return libexec_dir_; }

 private:
  void FindPostgres(MachineFacts* facts);
  std::string VersionOf(const std::string& program, const std::vector<std::string>& arguments);

  const std::string libexec_dir_;
  const bool root_;
  std::mutex mutex_;
  std::map<std::string, std::string> versions_;  ///< by path, size and time of the file
  pginstall::Installation postgres_;
  std::string postgres_stamp_;
};

/// A user of the operating system, with all groups.
struct OsUser {
  std::string name;
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;
};
/// NOT_FOUND when there is none of that name.
absl::StatusOr<OsUser> FindUser(const std::string& name);
/// The first directory on the way to `path`, itself included, that the user may not pass through (by mode bits); empty:
/// the way is free. What does not exist yet is not in the way.
std::string BlockedAt(const std::string& path, const OsUser& user);

/// Memory that could be used without swapping, in bytes.
std::uint64_t AvailableMemory();
/// Bytes that this user may still write where `path` is or would be; the nearest existing parent decides.
std::uint64_t FreeDisk(const std::string& path);
/// The nearest existing directory on the way to `path`.
std::string NearestExisting(const std::string& path);

}  // namespace mg::local
