#include "components/multipooler/manager/rule_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/consensus/position.h"
#include "common/status/status.h"
#include "common/topology/topology.h"

namespace mg::multipooler {
namespace {

constexpr char kSchema[] = R"sql(
SET LOCAL client_min_messages = error;
CREATE SCHEMA IF NOT EXISTS multigres;
GRANT USAGE ON SCHEMA multigres TO PUBLIC;
CREATE TABLE IF NOT EXISTS multigres.current_rule (
  shard_id bytea PRIMARY KEY,
  decision_coordinator_term bigint NOT NULL,
  decision_leader_subterm bigint NOT NULL,
  leader_id text,
  coordinator_id text NOT NULL,
  cohort_members text[] NOT NULL,
  durability_policy_name text NOT NULL,
  durability_quorum_type text NOT NULL,
  durability_required_count int NOT NULL,
  created_at timestamptz NOT NULL,
  proposal_coordinator_term bigint,
  proposal_leader_subterm bigint,
  proposal_leader_id text,
  proposal_cohort_members text[],
  proposal_durability_policy_name text,
  proposal_durability_quorum_type text,
  proposal_durability_required_count int,
  proposal_created_at timestamptz);
CREATE TABLE IF NOT EXISTS multigres.rule_history (
  coordinator_term bigint NOT NULL,
  leader_subterm bigint NOT NULL,
  event_type text NOT NULL,
  leader_id text,
  coordinator_id text NOT NULL,
  wal_position text,
  accepted_members text[],
  reason text NOT NULL,
  cohort_members text[] NOT NULL,
  durability_policy_name text NOT NULL,
  durability_quorum_type text NOT NULL,
  durability_required_count int NOT NULL,
  operation text,
  decided boolean NOT NULL,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (coordinator_term, leader_subterm));
CREATE TABLE IF NOT EXISTS multigres.heartbeat (
  shard_id bytea PRIMARY KEY,
  leader_id text NOT NULL,
  ts bigint NOT NULL);
CREATE UNLOGGED TABLE IF NOT EXISTS multigres.backend_vpid (
  backend_pid integer PRIMARY KEY,
  vpid bigint NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now());
GRANT SELECT ON multigres.backend_vpid TO PUBLIC;
CREATE TABLE IF NOT EXISTS multigres.tablegroup (
  oid bigserial PRIMARY KEY,
  name text NOT NULL UNIQUE,
  type text NOT NULL);
CREATE TABLE IF NOT EXISTS multigres.tablegroup_table (
  oid bigserial PRIMARY KEY,
  tablegroup_oid bigint NOT NULL REFERENCES multigres.tablegroup,
  name text NOT NULL,
  UNIQUE (tablegroup_oid, name));
CREATE TABLE IF NOT EXISTS multigres.shard (
  oid bigserial PRIMARY KEY,
  tablegroup_oid bigint NOT NULL REFERENCES multigres.tablegroup,
  shard_name text NOT NULL,
  key_range_start bytea,
  key_range_end bytea,
  UNIQUE (tablegroup_oid, shard_name));
CREATE TABLE IF NOT EXISTS multigres.pgbackrest_repos (
  generation bigint PRIMARY KEY,
  repo_number bigint NOT NULL UNIQUE CHECK (repo_number >= 1),
  encrypted boolean NOT NULL,
  key_fingerprint text NOT NULL DEFAULT '',
  state text NOT NULL CHECK (state IN ('staged', 'seeded', 'active', 'retiring')),
  authoritative boolean NOT NULL DEFAULT false,
  version bigint NOT NULL DEFAULT 1,
  updated_at timestamptz NOT NULL DEFAULT now(),
  CHECK (encrypted = (key_fingerprint <> '')),
  CHECK (authoritative = (repo_number = 1)));
INSERT INTO multigres.tablegroup (name, type) VALUES ('default', 'unsharded') ON CONFLICT DO NOTHING;
INSERT INTO multigres.shard (tablegroup_oid, shard_name)
  SELECT oid, '0-inf' FROM multigres.tablegroup WHERE name = 'default' ON CONFLICT DO NOTHING;
)sql";

// The one row's key: upstream's byte string "0".
constexpr char kShard[] = "'0'::bytea";

constexpr char kRead[] = R"sql(
SELECT r.decision_coordinator_term, r.decision_leader_subterm, r.leader_id, r.cohort_members, r.durability_policy_name,
       r.durability_quorum_type, r.durability_required_count, r.coordinator_id,
       extract(epoch FROM r.created_at)::float8,
       r.proposal_coordinator_term, r.proposal_leader_subterm, r.proposal_leader_id, r.proposal_cohort_members,
       r.proposal_durability_policy_name, r.proposal_durability_quorum_type, r.proposal_durability_required_count,
       h.coordinator_id, extract(epoch FROM r.proposal_created_at)::float8
  FROM multigres.current_rule r
  LEFT JOIN multigres.rule_history h ON h.coordinator_term = r.proposal_coordinator_term
                                    AND h.leader_subterm = r.proposal_leader_subterm
 WHERE r.shard_id = '0'::bytea)sql";

constexpr char kPropose[] = R"sql(
WITH held AS (
  SELECT shard_id FROM multigres.current_rule
   WHERE shard_id = '0'::bytea AND decision_coordinator_term = $1::bigint AND decision_leader_subterm = $2::bigint
     AND proposal_coordinator_term IS NULL
     FOR UPDATE NOWAIT),
proposed AS (
  UPDATE multigres.current_rule r
     SET proposal_coordinator_term = $3::bigint, proposal_leader_subterm = $4::bigint, proposal_leader_id = $5,
         proposal_cohort_members = $6::text[], proposal_durability_policy_name = $7,
         proposal_durability_quorum_type = $8, proposal_durability_required_count = $9::int,
         proposal_created_at = to_timestamp($10::float8)
    FROM held WHERE r.shard_id = held.shard_id
  RETURNING r.shard_id)
INSERT INTO multigres.rule_history (coordinator_term, leader_subterm, event_type, leader_id, coordinator_id,
       wal_position, accepted_members, reason, cohort_members, durability_policy_name, durability_quorum_type,
       durability_required_count, operation, decided, created_at)
SELECT $3::bigint, $4::bigint, $11, $5, $12, pg_current_wal_lsn()::text, $13::text[], $14, $6::text[], $7, $8, $9::int,
       $15, false, to_timestamp($10::float8)
  FROM proposed)sql";

constexpr char kDecide[] = R"sql(
WITH held AS (
  SELECT r.shard_id, h.coordinator_id
    FROM multigres.current_rule r
    JOIN multigres.rule_history h ON h.coordinator_term = r.proposal_coordinator_term
                                 AND h.leader_subterm = r.proposal_leader_subterm
   WHERE r.shard_id = '0'::bytea AND r.proposal_coordinator_term = $1::bigint
     AND r.proposal_leader_subterm = $2::bigint
     FOR UPDATE OF r NOWAIT),
decided AS (
  UPDATE multigres.current_rule r
     SET decision_coordinator_term = proposal_coordinator_term, decision_leader_subterm = proposal_leader_subterm,
         leader_id = proposal_leader_id, coordinator_id = held.coordinator_id,
         cohort_members = proposal_cohort_members, durability_policy_name = proposal_durability_policy_name,
         durability_quorum_type = proposal_durability_quorum_type,
         durability_required_count = proposal_durability_required_count, created_at = proposal_created_at,
         proposal_coordinator_term = NULL, proposal_leader_subterm = NULL, proposal_leader_id = NULL,
         proposal_cohort_members = NULL, proposal_durability_policy_name = NULL,
         proposal_durability_quorum_type = NULL, proposal_durability_required_count = NULL,
         proposal_created_at = NULL
    FROM held WHERE r.shard_id = held.shard_id
  RETURNING r.shard_id)
UPDATE multigres.rule_history
   SET decided = true
  FROM decided
 WHERE coordinator_term = $1::bigint AND leader_subterm = $2::bigint)sql";

std::vector<std::string> Names(const google::protobuf::RepeatedPtrField<clustermetadata::ID>& ids) {
  std::vector<std::string> names;
  for (const clustermetadata::ID& id : ids) {
    names.push_back(topology::ClusterIdString(id));
  }
  return names;
}

void SetTime(double seconds, google::protobuf::Timestamp* time) {
  auto whole = static_cast<std::int64_t>(seconds);
  time->set_seconds(whole);
  time->set_nanos(static_cast<int>((seconds - static_cast<double>(whole)) * 1e6) * 1000);
}

// Columns from `c` on: term, subterm, leader, cohort, policy name, type, count, coordinator, time.
absl::Status ParseRule(const pgsql::Result& row, int c, clustermetadata::ShardRule* rule) {
  *rule->mutable_rule_number() = consensus::MakeRuleNumber(row.Int(0, c), row.Int(0, c + 1));
  if (!row.Text(0, c + 2).empty()) {
    MG_ASSIGN_OR_RETURN(*rule->mutable_leader_id(), topology::ParseClusterId(row.Text(0, c + 2)));
  }
  for (const std::string& member : row.TextArray(0, c + 3)) {
    MG_ASSIGN_OR_RETURN(*rule->add_cohort_members(), topology::ParseClusterId(member));
  }
  clustermetadata::DurabilityPolicy* policy = rule->mutable_durability_policy();
  policy->set_policy_name(row.Text(0, c + 4));
  clustermetadata::QuorumType type = clustermetadata::QUORUM_TYPE_UNKNOWN;
  if (!clustermetadata::QuorumType_Parse(row.Text(0, c + 5), &type)) {
    return absl::DataLossError(absl::StrCat("unknown quorum type \"", row.Text(0, c + 5), "\" in the rule"));
  }
  policy->set_quorum_type(type);
  policy->set_required_count(static_cast<int>(row.Int(0, c + 6)));
  if (!row.Text(0, c + 7).empty()) {
    MG_ASSIGN_OR_RETURN(*rule->mutable_coordinator_id(), topology::ParseClusterId(row.Text(0, c + 7)));
    // The row that a pooler writes at initialisation has the pooler itself as coordinator.
    if (rule->rule_number().coordinator_term() > 0) {
      rule->mutable_coordinator_id()->set_component(clustermetadata::ID::MULTIORCH);
    }
  }
  if (!row.IsNull(0, c + 8)) {
    SetTime(row.Double(0, c + 8), rule->mutable_creation_time());
  }
  return absl::OkStatus();
}

absl::Status CheckWrite(const absl::StatusOr<pgsql::Result>& result, const clustermetadata::RuleNumber& number) {
  std::string what = absl::StrCat("write rule ", consensus::ToString(number));
  if (!result.ok()) {
    if (pgsql::SqlStateOf(result.status()) == "55P03") {
      return absl::AbortedError(absl::StrCat(what, ": rule conflict: somebody else holds the rule's row"));
    }
    return WithContext(result.status(), what);
  }
  if (result->affected() != 1) {
    return absl::AbortedError(absl::StrCat(what, ": rule conflict: the rule has changed meanwhile"));
  }
  if (result->warned()) {
    return absl::DataLossError(
        absl::StrCat(what, ": the wait for synchronous standbys was cut short: ", result->notices().front().message));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CreateRuleSchema(pgsql::Connection& connection, const clustermetadata::DurabilityPolicy& policy,
                              const std::string& creator, absl::Time deadline) {
  std::string first_row = absl::StrCat(
      "INSERT INTO multigres.current_rule (shard_id, decision_coordinator_term, decision_leader_subterm, leader_id, "
      "coordinator_id, cohort_members, durability_policy_name, durability_quorum_type, durability_required_count, "
      "created_at) VALUES (",
      kShard, ", 0, 1, NULL, ", pgsql::QuoteLiteral(creator), ", '{}', ", pgsql::QuoteLiteral(policy.policy_name()),
      ", ", pgsql::QuoteLiteral(clustermetadata::QuorumType_Name(policy.quorum_type())), ", ", policy.required_count(),
      ", now()) ON CONFLICT (shard_id) DO NOTHING;");
  absl::StatusOr<pgsql::Result> result = connection.Execute(absl::StrCat(kSchema, first_row), deadline);
  return WithContext(result.status(), "create schema multigres");
}

absl::StatusOr<clustermetadata::RulePosition> ReadRule(pgsql::Connection& connection, absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(pgsql::Result row, connection.Query(kRead, {}, deadline));
  if (row.rows() != 1) {
    return absl::NotFoundError("schema multigres has no rule");
  }
  clustermetadata::RulePosition position;
  MG_RETURN_IF_ERROR(ParseRule(row, 0, position.mutable_decision()));
  if (!row.IsNull(0, 9)) {
    MG_RETURN_IF_ERROR(ParseRule(row, 9, position.mutable_proposal()));
  }
  return position;
}

absl::Status ProposeRule(pgsql::Connection& connection, const clustermetadata::RuleNumber& expected,
                         const clustermetadata::ShardRule& rule, const RuleEvent& event, absl::Time deadline) {
  const clustermetadata::RuleNumber& number = rule.rule_number();
  const clustermetadata::DurabilityPolicy& policy = rule.durability_policy();
  pgsql::Value leader;
  if (rule.has_leader_id()) {
    leader = topology::ClusterIdString(rule.leader_id());
  }
  std::string seconds = absl::StrCat(rule.creation_time().seconds(), ".",
                                     absl::Dec(rule.creation_time().nanos() / 1000, absl::kZeroPad6));
  std::vector<pgsql::Value> parameters = {
      absl::StrCat(expected.coordinator_term()),
      absl::StrCat(expected.leader_subterm()),
      absl::StrCat(number.coordinator_term()),
      absl::StrCat(number.leader_subterm()),
      leader,
      pgsql::ArrayText(Names(rule.cohort_members())),
      policy.policy_name(),
      clustermetadata::QuorumType_Name(policy.quorum_type()),
      absl::StrCat(policy.required_count()),
      seconds,
      event.type,
      topology::ClusterIdString(rule.coordinator_id()),
      pgsql::ArrayText(event.accepted_members),
      event.reason,
      event.operation.empty() ? pgsql::Value() : pgsql::Value(event.operation),
  };
  return CheckWrite(connection.Query(kPropose, parameters, deadline), number);
}

absl::Status DecideRule(pgsql::Connection& connection, const clustermetadata::RuleNumber& number, absl::Time deadline) {
  std::vector<pgsql::Value> parameters = {absl::StrCat(number.coordinator_term()),
                                          absl::StrCat(number.leader_subterm())};
  return CheckWrite(connection.Query(kDecide, parameters, deadline), number);
}

}  // namespace mg::multipooler
