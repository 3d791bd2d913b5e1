/// The shard's rule in PostgreSQL: schema `multigres`, tables current_rule and rule_history, written in two phases.
/// Facts: manager-rpcs sections 10 and 10.3. Free functions on a connection that the caller owns; blocking.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "clustermetadata.pb.h"
#include "common/pgsql/connection.h"

namespace mg::multipooler {

/// Creates the schema, all its tables and the first row: rule {0,1}, no leader, no cohort. One transaction; there
/// already is success and changes nothing. To be called before synchronous names exist.
absl::Status CreateRuleSchema(pgsql::Connection& connection, const clustermetadata::DurabilityPolicy& policy,
                              const std::string& creator, absl::Time deadline);

/// Decision and, when there is one, undecided proposal. NOT_FOUND without the schema or its row.
absl::StatusOr<clustermetadata::RulePosition> ReadRule(pgsql::Connection& connection, absl::Time deadline);

/// What goes into the history beside the rule itself.
struct RuleEvent {
  std::string type;       ///< "promotion" or "replication_config"
  std::string operation;  ///< COHORT_ADD …; empty: NULL
  std::string reason;
  std::vector<std::string> accepted_members;  ///< who was recruited, as <cell>_<name>
  bool outgoing_is_lost = false;              ///< not stored: the rule need not be durable by the outgoing one's policy
};

/// Phase one: writes `rule` as the proposal, provided that the decision is still `expected` and no proposal is there.
/// ABORTED ("rule conflict") otherwise, or when somebody else holds the row. When it returns OK the commit has waited
/// for the synchronous standbys in force; an interrupted wait is DATA_LOSS: the proposal is there and may not be
/// durable.
absl::Status ProposeRule(pgsql::Connection& connection, const clustermetadata::RuleNumber& expected,
                         const clustermetadata::ShardRule& rule, const RuleEvent& event, absl::Time deadline);

/// Phase two: makes the proposal `number` the decision. Same errors.
absl::Status DecideRule(pgsql::Connection& connection, const clustermetadata::RuleNumber& number, absl::Time deadline);

}  // namespace mg::multipooler
