/// What an orch knows of one shard at one moment: the topology's records and each pooler's last health snapshot.
/// Values; decisions are made on them alone.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "clustermetadata.pb.h"
#include "multipoolermanagerdata.pb.h"

namespace mg::multiorch {

struct PoolerView {
  clustermetadata::Multipooler record;
  bool connected = false;                               ///< its health stream is up and has told something
  absl::Time last_seen = absl::InfinitePast();          ///< of the last snapshot
  absl::Time unreachable_since = absl::InfinitePast();  ///< when not connected: since when
  multipoolermanagerdata::StatusResponse status;        ///< the last snapshot; empty before the first
  absl::Time last_set_primary = absl::InfinitePast();
  bool set_primary_running = false;

  const clustermetadata::ID& id() const { return record.id(); }
  const clustermetadata::PoolerPosition& position() const { return status.consensus_status().current_position(); }
};

struct ShardView {
  clustermetadata::ShardKey shard;
  clustermetadata::ID self;                        ///< this orch
  int rank = 0;                                    ///< among the orchs: the lower acts first
  absl::Duration stale_after = absl::Seconds(15);  ///< a pooler silent for longer says nothing of the present
  std::optional<clustermetadata::Database> database;
  clustermetadata::ShardInitClaim claim;      ///< without claimer_id when there is none
  std::map<std::string, PoolerView> poolers;  ///< by id text; those that have shut down are left out

  clustermetadata::ID preferred;  ///< the next leader where there is a choice, until then
  absl::Time preferred_until = absl::InfinitePast();

  /// What the other orchs have said of a leader that this one does not hear.
  struct Sight {
    clustermetadata::ID pooler;
    absl::Time at = absl::InfinitePast();
    int answered = 0;    ///< orchs
    bool heard = false;  ///< by any of them
  };
  Sight sight;
  absl::Time others_until = absl::InfinitePast();  ///< another coordinator has said that it is at work

  // How long a condition has lasted; kept by the engine from one decision to the next.
  absl::Time since_poolers = absl::InfiniteFuture();  ///< first pooler connected
  absl::Time since_quorum = absl::InfiniteFuture();   ///< a leader is wanting, and enough members are there
  absl::Time since_all = absl::InfiniteFuture();      ///< the same, and all members are there
  clustermetadata::RuleNumber since_rule;             ///< the highest rule when the two were set
  absl::Time since_founded = absl::InfiniteFuture();  ///< the seed was first seen initialised, nobody appointed yet
  absl::Time since_drained_leads = absl::InfiniteFuture();  ///< a drained node leads, and others could
  absl::Time since_claim_stuck = absl::InfiniteFuture();    ///< a claimed member has been away, nobody initialised
};

}  // namespace mg::multiorch
