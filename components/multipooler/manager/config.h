/// Who this pooler is and where its things are; set once in main.
#pragma once

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "clustermetadata.pb.h"
#include "common/rpc/dialer.h"
#include "components/multipooler/manager/serving_state.h"

namespace mg::multipooler {

struct Config {
  clustermetadata::ID id;
  clustermetadata::ShardKey shard;
  std::string hostname;
  int grpc_port = 0;
  int http_port = 0;
  int pooler_pg_port = 0;      ///< for gateways of other machines; 0: none
  rpc::Dialer peers;           ///< to other poolers
  std::string pooler_dir;      ///< absolute
  std::string data_directory;  ///< PGDATA, absolute
  std::string pgctld_address;
  PostgresEndpoint postgres;
  std::string run_as;                      ///< user of PostgreSQL's programs; empty: this process's own
  int postgres_major = 0;                  ///< of new data; 0: the newest installed
  absl::Duration tick = absl::Seconds(1);  ///< longest time between two looks at PostgreSQL
  /// A running PostgreSQL that does not answer for so long is given up, and not led by any more.
  absl::Duration response_limit = absl::Seconds(1);
  /// A leader whose log no standby confirms for so long serves no reads either.
  absl::Duration stale_read_limit = absl::Seconds(3);
  absl::Duration heartbeat_interval = absl::Seconds(1);
  absl::Duration staleness_timeout = absl::Seconds(90);  ///< told to orchs
  absl::Duration rule_write_limit = absl::Seconds(30);   ///< for each phase of a rule write
  absl::Duration remote_operation_limit = absl::Seconds(15);
};

// Names shared with pgctld and upstream.
inline std::string PromisesFile(const Config& c) { return c.pooler_dir + "/consensus_promises.json"; }
inline std::string BootstrapSentinel(const Config& c) { return c.pooler_dir + "/.multigres-bootstrap-in-progress"; }
inline std::string RewindSentinel(const Config& c) { return c.pooler_dir + "/.multigres-rewind-in-progress"; }
/// There while the data replays an archive, and has not streamed from a leader yet.
inline std::string ReplaySentinel(const Config& c) { return c.pooler_dir + "/.multigres-replays-backup"; }
/// There while the pooler is drained; holds the reason.
inline std::string DrainMark(const Config& c) { return c.pooler_dir + "/drained"; }
/// libpq's password file of standbys; of PostgreSQL's user, 0600.
inline std::string ReplicationPassfile(const Config& c) { return c.pooler_dir + "/replication.pgpass"; }

}  // namespace mg::multipooler
