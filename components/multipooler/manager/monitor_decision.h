/// What the pooler's monitor does next, as a pure function of what it sees.
#pragma once

#include <string>

#include "clustermetadata.pb.h"
#include "components/multipooler/manager/pgctld_client.h"

namespace mg::multipooler {

/// Everything that the decision rests on.
struct Observation {
  PgState postgres = PgState::kUnreachable;  ///< as pgctld says; not asked (kRunning) while a connection works
  bool connected = false;                    ///< PostgreSQL answers
  bool in_recovery = true;                   ///< valid when connected, as the next three
  bool has_rule = false;
  clustermetadata::RulePosition rule;
  bool leading = false;  ///< advertised as the writable leader
  /// PostgreSQL died while it led under this rule, which it has not tried to go on with since; {0,0}: no.
  clustermetadata::RuleNumber died_leading;
  /// That rule's policy asks for no other node, or too few of its members were there for anybody else to be appointed.
  bool irreplaceable = false;
  bool in_place_overdue = false;        ///< it went on in place, and nobody has confirmed that for too long
  std::int64_t promised_term = 0;       ///< rules of lower terms are revoked
  bool newer_leader_elsewhere = false;  ///< another pooler advertises itself under a higher rule
  bool bootstrap_unfinished = false;    ///< the bootstrap's sentinel is there
  bool rewind_unfinished = false;       ///< the rewind's sentinel is there
  bool restarts_enabled = true;
  bool claimed_as_seed = false;  ///< the shard's claim names this pooler
  bool has_source = false;       ///< a leader, or an initialised seed, to copy from
  bool restore_waits = false;    ///< the former data is aside for a restore of the shard, whose end is not known here
  bool put_back_unfinished = false;  ///< it failed, and the former data has not all been put back
  bool stalled = false;  ///< a standby whose leader is known, from which it has received nothing for a while
  /// The data does not start, or is of no use when it does, as several tries have shown.
  bool unusable = false;
  bool leader_elsewhere = false;  ///< another node leads under a rule that this node has not revoked
  clustermetadata::ID self;
};

enum class MonitorAction {
  kNothing,
  kBootstrap,     ///< from nothing: wipe, initdb, start as primary, write rule {0,1}
  kClone,         ///< base backup from the source
  kStart,         ///< start existing data, as a standby
  kRestart,       ///< start it as the leader that it was
  kResume,        ///< this PostgreSQL leads under its own rule; only the pooler was away
  kDemote,        ///< it is writable without the right to be
  kAwaitRestore,  ///< ask the others what has become of the restore
  kPutBack,       ///< go on with bringing the former data back
  kReplace,       ///< put data that is of no use aside, for a copy of the leader's
  kFollow,        ///< look why it does not stream, and rewind or copy where it cannot without
};

MonitorAction DecideMonitorAction(const Observation& seen);

std::string ToString(MonitorAction action);

}  // namespace mg::multipooler
