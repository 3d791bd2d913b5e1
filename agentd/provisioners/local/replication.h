/// Who leads, and who follows: what the poolers' Status RPCs say together. The judging part is pure.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>

#include "absl/time/time.h"
#include "agentd/provisioners/local/component_rpc.h"
#include "agentd/provisioners/local/model.h"

namespace mg::local {

/// One pooler's view of its PostgreSQL.
struct MemberState {
  std::string role = "unknown";  ///< primary, standby, unknown (also: replaced, and has not heard of it)
  std::string lsn;               ///< write position, or what was received
  std::optional<bool> streaming;
  bool drained = false;  ///< taken out of service by a person
  std::optional<std::int64_t> lag_bytes;
  std::optional<double> lag_seconds;
};

struct ReplicationState {
  std::map<std::string, MemberState> members;  ///< by cell; only those that answered
  std::string leader_cell;                     ///< empty: none, or more than one
  std::string problem;                         ///< why it is not one leader with every other streaming; empty: it is
  std::string component;                       ///< at fault, when there is a problem
  std::string summary;                         ///< "postgres/zone2 leads, 2 stream", when there is none
  std::string stalled;                         ///< that the leader has no quorum, for people; empty: it has
};

using PoolerAnswers = std::map<std::string, absl::StatusOr<multipoolermanagerdata::StatusResponse>>;  ///< by cell

/// Of one database; empty: the default one.
ReplicationState JudgeReplication(const PoolerAnswers& answers, const std::string& database = "");
ReplicationState AskReplication(const Model& model, ComponentRpc* rpc, absl::Time deadline,
                                const std::string& database = "");

/// The PostgreSQL that leads, of every database that has one: names of components.
std::set<std::string> LeadersOf(const Model& model, ComponentRpc* rpc, absl::Time deadline);

/// PostgreSQL's X/Y as a number; nothing when it is none.
std::optional<std::uint64_t> ParseLsn(const std::string& text);

}  // namespace mg::local
