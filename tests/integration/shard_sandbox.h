/// A shard with real etcd, PostgreSQL and our pgctld, multipooler and multiorch, one of each per cell, in a place of
/// its own. Every process is held by a shim as the agent would hold it; at the end none is left. One thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "clustermetadata.pb.h"
#include "common/pgsql/connection.h"
#include "common/topology/topology.h"

namespace mg::tests {

class ShardSandbox {
 public:
  explicit ShardSandbox(int cells);
  ~ShardSandbox();
  ShardSandbox(const ShardSandbox&) = delete;
  ShardSandbox& operator=(const ShardSandbox&) = delete;

  static bool Possible();
  int cells() const { return cells_; }

  /// etcd and the records that the provisioner writes.
  void StartEtcd();
  void StartPgctld(int cell);
  void StartPooler(int cell);
  void StartOrch(int cell);
  /// All of the above.
  void Up();
  /// SIGTERM to everything but etcd and waits: orchs, then poolers (which stop PostgreSQL), then pgctlds.
  void Down();
  /// Kills a process at once: "multipooler", "pgctld", "multiorch" or "postgres".
  void Kill(const std::string& kind, int cell);
  void Signal(const std::string& kind, int cell, int signal);
  void Stop(const std::string& kind, int cell);

  std::string pooler_dir(int cell) const;
  topology::Topology& topology() { return *topology_; }
  clustermetadata::Multipooler Record(int cell);
  /// The cell whose pooler's record says PRIMARY with the highest rule, once that pooler's PostgreSQL takes writes; 0:
  /// none.
  int Leader();
  /// Waits for a leader under a rule of at least `term`, with `standbys` streaming from it; its cell, 0 after the
  /// bound.
  int WaitForLeader(std::int64_t term, int standbys, absl::Duration bound = absl::Seconds(60));

  absl::StatusOr<std::unique_ptr<pgsql::Connection>> Connect(int cell);
  /// First column of the first row; the error's text when there is one.
  std::string Ask(int cell, const std::string& sql);
  /// What happened, for a failed test: the last lines of every component.
  std::string Logs() const;

 private:
  void Launch(const std::string& kind, int cell, std::vector<std::string> argv);
  std::string RunDir(const std::string& kind, int cell) const;
  int Port(const std::string& kind, int cell);

  int cells_;
  std::string directory_;
  std::map<std::string, int> ports_;
  std::unique_ptr<topology::Topology> topology_;
};

}  // namespace mg::tests
