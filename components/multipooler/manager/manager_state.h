/// What the manager knows at one moment, and its projections: the RPC status, the topology record, what may be served.
/// Values and pure functions.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "clustermetadata.pb.h"
#include "components/multipooler/manager/config.h"
#include "components/multipooler/manager/pgctld_client.h"
#include "components/multipooler/manager/postgres_view.h"
#include "components/multipooler/manager/serving_state.h"
#include "multipoolermanagerdata.pb.h"

namespace mg::multipooler {

struct ManagerState {
  // PostgreSQL.
  PgState postgres = PgState::kUnreachable;
  bool connected = false;            ///< it answers SQL
  std::optional<PostgresView> view;  ///< the last one read; old when not connected
  bool initialized = false;          ///< data and rule were seen once
  multipoolermanagerdata::PostgresAction action = multipoolermanagerdata::POSTGRES_ACTION_UNSPECIFIED;
  absl::Time action_since;

  // Consensus.
  bool leading = false;  ///< the writable leader under `leading_rule`
  bool promoting = false;
  bool quorum_lost = false;  ///< leading, and nobody confirms its log: somebody else may lead by now
  clustermetadata::RuleNumber leading_rule;
  /// PostgreSQL died while it led under this rule; {0,0}: it did not, or has been started since.
  clustermetadata::RuleNumber died_leading;
  /// PostgreSQL has crashed since it was last seen to lead: what it shows now may be on no standby.
  bool crashed = false;
  clustermetadata::ReplicationPrimary replication_primary;
  bool suspected_divergence = false;
  /// Segment that PostgreSQL, which does not answer yet, needs and was told to be gone; empty: none is known.
  std::string missing_segment;
  std::optional<clustermetadata::LeadershipStatus> leadership;

  // Orders from outside.
  bool restarts_enabled = true;
  bool draining = false;       ///< leading, and about to hand the lead over: nothing new is begun
  bool handing_over = false;   ///< PostgreSQL goes down in order: nobody may act before it has sent all that it wrote
  bool sealed = false;         ///< handed over: standbys have everything, and PostgreSQL is on its way to be one
  bool drain_pending = false;  ///< about to be drained: no new reads
  bool drained = false;        ///< out of service as a standby, and the last choice for a leader
  std::string drain_reason;
  bool manually_stopped = false;  ///< StopReplication: no automatic re-pointing, not eligible for the cohort
  bool stopping = false;
  bool stopped = false;  ///< PostgreSQL is down for good; the record says SHUTDOWN

  clustermetadata::PoolerLifecycleStatus lifecycle = clustermetadata::LIFECYCLE_STARTING;
  std::string lifecycle_reason;
  absl::Time lifecycle_since;

  // The topology.
  clustermetadata::ShardInitClaim claim;
  std::vector<clustermetadata::Multipooler> poolers;
};

multipoolermanagerdata::StatusResponse BuildStatus(const Config& config, const ManagerState& state,
                                                   const clustermetadata::ConsensusPromises& promises);

clustermetadata::ConsensusStatus BuildConsensusStatus(const Config& config, const ManagerState& state,
                                                      const clustermetadata::ConsensusPromises& promises);

clustermetadata::Multipooler BuildRecord(const Config& config, const ManagerState& state);

Serving ServingOf(const ManagerState& state);

/// Whom a node without data copies from: the leader with the highest rule, else the claim's seed once it is
/// initialised.
std::optional<clustermetadata::Multipooler> CloneSource(const Config& config, const ManagerState& state);

}  // namespace mg::multipooler
