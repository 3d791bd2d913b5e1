// What a leader's PostgreSQL shows as committed is what its standbys have, as a rule; where that is in doubt, they are
// asked.
#include <utility>

#include "absl/time/clock.h"
#include "common/consensus/position.h"
#include "common/status/status.h"
#include "components/multipooler/manager/manager.h"
#include "components/multipooler/manager/postgres_settings.h"

namespace mg::multipooler {
namespace {

constexpr absl::Duration kConfirmLimit = absl::Seconds(10);
// Between two looks at the rule, and at whether there is still somebody who wants to know.
constexpr absl::Duration kTurn = absl::Milliseconds(250);

}  // namespace

absl::Status Manager::ConfirmCommits() {
  std::lock_guard lock(confirm_mutex_);
  absl::Time limit = absl::Now() + kConfirmLimit;
  if (confirm_connection_ == nullptr || !confirm_connection_->CheckAlive()) {
    confirm_connection_ = nullptr;
    MG_ASSIGN_OR_RETURN(confirm_connection_, Connect(absl::Now() + config_.response_limit));
  }
  absl::Status status = AwaitDurable(*confirm_connection_, limit, [this] { return !stop_ && Snapshot().leading; });
  if (!confirm_connection_->usable()) {
    confirm_connection_ = nullptr;
  }
  return status;
}

// A commit is visible only after its record has been flushed here, so whatever anybody can see lies before that place.
// A change of the rule that is under way counts as both of its rules.
absl::Status Manager::AwaitDurable(pgsql::Connection& connection, absl::Time deadline,
                                   const std::function<bool()>& go_on) {
  MG_ASSIGN_OR_RETURN(pgsql::Result row,
                      connection.Execute("SELECT pg_current_wal_flush_lsn()::text", absl::Now() + kTurn));
  std::string lsn = row.Text(0, 0);
  while (go_on() && absl::Now() < deadline) {
    MG_ASSIGN_OR_RETURN(clustermetadata::RulePosition position, ReadRule(connection, absl::Now() + kTurn));
    absl::Status status;
    for (const clustermetadata::ShardRule* rule : {&position.decision(), &position.proposal()}) {
      if (status.ok() && !rule->cohort_members().empty()) {
        status = WaitForAcknowledgement(connection, *rule, config_.id, lsn, absl::Now() + kTurn);
      }
    }
    if (!absl::IsDeadlineExceeded(status) || !connection.usable()) {
      return status;
    }
  }
  return absl::DeadlineExceededError("the standbys have not confirmed what is committed here");
}

}  // namespace mg::multipooler
