/// Readiness of components: the questions that a spec's Probe stands for, asked of many at once. Any thread; blocking.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "agentd/provisioners/local/component_rpc.h"
#include "agentd/provisioners/local/specs.h"

namespace mg::local {

/// What a component answered.
struct ProbeResult {
  absl::Status ready = absl::UnavailableError("not asked");  ///< the message says why it is not
  multipoolermanagerdata::StatusResponse multipooler;
  std::string archive_fails_at;  ///< of a PostgreSQL: the segment of WAL that it cannot archive; empty: none
};

/// Whether one component has started: HTTP, a listener on every port, the Status RPC of pgctld and multipooler, a
/// start-up packet to PostgreSQL.
absl::Status ProbeStart(const v1::ComponentSpec& spec, ComponentRpc* rpc, absl::Time deadline);

/// Asks all of a running cluster now, at once, by kept connections where there are any. PostgreSQL is asked by its
/// cell's multipooler, whose `postgres_ready` is an answer of this moment; by a start-up packet only where the pooler
/// has none, for half a second beyond the deadline if need be. Results are in the order of `specs`.
std::vector<ProbeResult> ProbeAll(const std::vector<const v1::ComponentSpec*>& specs, ComponentRpc* rpc,
                                  absl::Time deadline);

/// What one cheap question to each shows: any answer is a sign of life, the right one means that it is ready.
struct LifeSign {
  absl::Status ready;
  bool alive = true;
};
/// Asks the liveness probes of all at once, one connection each.
std::vector<LifeSign> AskForLife(const std::vector<const v1::ComponentSpec*>& specs, absl::Time deadline);

/// SELECT 1 through one gateway, logged in as a client would be.
struct Login {
  int port = 0;
  std::string user, password, database;
};
absl::Status SelectOne(const Login& login, absl::Time deadline);

}  // namespace mg::local
