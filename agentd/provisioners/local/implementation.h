/// Which program implements each component: the file's choice, or `auto`. Pure; what it needs to know of the machine
/// comes as MachineFacts (agentd/provisioners/local/machine.h gathers them).
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "common/config/cluster_config.h"

namespace mg::local {

/// What runs as a component.
struct Implementation {
  std::string word;     ///< builtin, upstream, debian, or the path that the file gives
  std::string program;  ///< absolute path
  std::string version;  ///< where known
  bool is_builtin = false;

  bool operator==(const Implementation&) const = default;
};
using Implementations = std::map<std::string, Implementation>;  ///< by kind; postgres has no program here

/// What was found on this machine.
struct MachineFacts {
  bool root = false;
  std::string etcd, etcd_version;               ///< empty: not found
  int postgres_major = 0;                       ///< newest installation; 0: none
  std::string postgres_version, postgres_bin;   ///< of the newest installation
  std::string pgbackrest_version;               ///< empty: not installed
  std::map<std::string, std::string> builtin;   ///< our programs by kind; absent: not installed
  std::map<std::string, std::string> upstream;  ///< other programs of these names on PATH, by kind
};

/// `auto` takes upstream's programs when all that they need is there: PostgreSQL 17, pgBackRest 2.57 or newer, not
/// root; multigateway, multipooler and multiorch only together (they talk to each other differently than ours do).
/// FAILED_PRECONDITION, reason PROGRAM_MISSING; INVALID_ARGUMENT for a choice that does not go together.
absl::StatusOr<Implementations> ChooseImplementations(const std::map<std::string, config::Implementation>& wishes,
                                                      const MachineFacts& facts);

/// `a` is at least version `b`, compared number by number.
bool VersionAtLeast(const std::string& a, const std::string& b);

}  // namespace mg::local
