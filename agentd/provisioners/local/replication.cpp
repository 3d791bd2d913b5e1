#include "agentd/provisioners/local/replication.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "agentd/store/component_name.h"

namespace mg::local {

namespace {

namespace data = multipoolermanagerdata;

constexpr char kStreaming[] = "streaming";

MemberState MemberOf(const data::Status& status) {
  MemberState member;
  switch (status.postgres_status()) {
    case data::POSTGRES_STATUS_PRIMARY:
      member.role = "primary";
      member.lsn = status.primary_status().lsn();
      break;
    case data::POSTGRES_STATUS_STANDBY: {
      const data::StandbyReplicationStatus& replication = status.replication_status();
      member.role = "standby";
      member.lsn =
          replication.last_receive_lsn().empty() ? replication.last_replay_lsn() : replication.last_receive_lsn();
      member.streaming = replication.wal_receiver_status() == kStreaming;
      if (replication.has_lag()) {
        member.lag_seconds = static_cast<double>(replication.lag().seconds()) + replication.lag().nanos() * 1e-9;
      }
      break;
    }
    default:
      break;
  }
  member.drained = status.pooler_type() == clustermetadata::DRAINED;
  if (member.lsn.empty()) {
    member.lsn = status.wal_position();
  }
  return member;
}

using RuleNumber = std::pair<std::int64_t, std::int64_t>;  // term and subterm

RuleNumber RuleOf(const data::StatusResponse& answer) {
  const auto& number = answer.consensus_status().current_position().position().decision().rule_number();
  return {number.coordinator_term(), number.leader_subterm()};
}

void Problem(ReplicationState* state, const store::ComponentName& component, const std::string& problem) {
  if (state->problem.empty()) {
    state->component = component.ToString();
    state->problem = problem;
  }
}

PoolerAnswers AskPoolers(const Model& model, ComponentRpc* rpc, absl::Time deadline, const std::string& database) {
  std::vector<StatusQuestion> questions;
  std::vector<std::string> cells;
  for (const v1::ComponentSpec& spec : model.specs) {
    if (spec.kind() == v1::COMPONENT_KIND_MULTIPOOLER && spec.database() == database) {
      questions.push_back({.server = StatusQuestion::Server::kMultipooler, .port = PortOf(spec, "grpc")});
      cells.push_back(spec.cell());
    }
  }
  rpc->Ask(&questions, deadline);
  PoolerAnswers answers;
  for (size_t i = 0; i < questions.size(); ++i) {
    if (questions[i].status.ok()) {
      answers.emplace(cells[i], std::move(questions[i].multipooler));
    } else {
      answers.emplace(cells[i], questions[i].status);
    }
  }
  return answers;
}

}  // namespace

std::optional<std::uint64_t> ParseLsn(const std::string& text) {
  std::vector<std::string> parts = absl::StrSplit(text, '/');
  std::uint32_t high = 0, low = 0;
  if (parts.size() != 2 || !absl::SimpleHexAtoi(parts[0], &high) || !absl::SimpleHexAtoi(parts[1], &low)) {
    return std::nullopt;
  }
  return static_cast<std::uint64_t>(high) << 32 | low;
}

ReplicationState JudgeReplication(const PoolerAnswers& answers, const std::string& database) {
  ReplicationState state;
  RuleNumber newest{-1, -1};
  for (const auto& [cell, answer] : answers) {
    if (answer.ok() && answer->status().postgres_status() == data::POSTGRES_STATUS_PRIMARY) {
      newest = std::max(newest, RuleOf(*answer));
    }
  }
  int leaders = 0;
  bool alone = false;
  for (const auto& [cell, answer] : answers) {
    if (!answer.ok()) {
      Problem(&state, {store::kMultipooler, cell, database},
              absl::StrCat("does not answer: ", std::string(answer.status().message())));
      continue;
    }
    MemberState member = MemberOf(answer->status());
    if (member.role == "primary" && RuleOf(*answer) < newest) {
      member.role = "unknown";  // it was cut off, and has not heard of the rule that replaced it
    } else if (member.role == "primary") {
      ++leaders;
      state.leader_cell = cell;
      // As it says itself: it leads, and would not mind another in its place.
      alone = answer->status().primary_status().ready() && answer->availability_status().leadership_status().signal() ==
                                                               clustermetadata::LEADERSHIP_SIGNAL_REQUESTING_DEMOTION;
    }
    state.members.emplace(cell, std::move(member));
  }
  if (leaders != 1) {
    state.leader_cell.clear();
    std::string cell = answers.empty() ? "" : answers.begin()->first;
    Problem(&state, {store::kMultiorch, cell, ""},
            absl::StrCat(
                leaders == 0 ? "has not appointed a leader yet" : "has not settled which of several leaders remains",
                database.empty() ? "" : absl::StrCat(" for database ", database)));
    return state;
  }
  const store::ComponentName leader{store::kPostgres, state.leader_cell, database};
  if (alone) {
    state.stalled = absl::StrCat(leader.ToString(),
                                 " leads, and too few standbys confirm its log: nothing is read or written until "
                                 "another node is back");
  }
  std::optional<std::uint64_t> head = ParseLsn(state.members.at(state.leader_cell).lsn);
  int streaming = 0;
  for (auto& [cell, member] : state.members) {
    if (cell == state.leader_cell) {
      continue;
    }
    std::optional<std::uint64_t> at = ParseLsn(member.lsn);
    if (head && at) {
      // Two poolers are asked one after the other: a standby may have been asked later, and be ahead of the answer.
      member.lag_bytes = static_cast<std::int64_t>(*head > *at ? *head - *at : 0);
    }
    if (member.role != "standby" || !member.streaming.value_or(false)) {
      Problem(&state, {store::kPostgres, cell, database}, absl::StrCat("does not stream from ", leader.ToString()));
    } else {
      ++streaming;
    }
  }
  state.summary = absl::StrCat(leader.ToString(), " leads, ", streaming, " stream");
  return state;
}

ReplicationState AskReplication(const Model& model, ComponentRpc* rpc, absl::Time deadline,
                                const std::string& database) {
  return JudgeReplication(AskPoolers(model, rpc, deadline, database), database);
}

std::set<std::string> LeadersOf(const Model& model, ComponentRpc* rpc, absl::Time deadline) {
  std::vector<std::string> databases = {""};
  for (const LaterDatabase& database : model.input.databases) {
    databases.push_back(database.name);
  }
  std::set<std::string> leaders;
  for (const std::string& database : databases) {
    ReplicationState state = AskReplication(model, rpc, deadline, database);
    if (!state.leader_cell.empty()) {
      leaders.insert(store::ComponentName{store::kPostgres, state.leader_cell, database}.ToString());
    }
  }
  return leaders;
}

}  // namespace mg::local
