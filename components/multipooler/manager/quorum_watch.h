/// When a leader last knew that its commits can still become durable, and so that nobody can have been appointed in its
/// place: a new leader needs a recruitment quorum, whose members stop to confirm the old one's log before they promise.
/// Its use is to end stale reads in bounded time; no write rests on it. Facts: docs/consistency.md. Not thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <utility>

#include "absl/time/time.h"
#include "clustermetadata.pb.h"
#include "components/multipooler/manager/postgres_view.h"

namespace mg::multipooler {

class QuorumWatch {
 public:
  explicit QuorumWatch(clustermetadata::ID self) : self_(std::move(self)) {}

  /// The clock for all times here: it goes on while the machine sleeps, and nobody sets it.
  static absl::Time Now();

  /// It leads under this rule number; a number that is not the present one begins anew, confirmed `now`.
  void Lead(const clustermetadata::RuleNumber& rule, absl::Time now);
  /// A write was begun at `begun`, and its log ends at `lsn` or after it.
  void Wrote(absl::Time begun, std::uint64_t lsn);
  /// How far the standbys have flushed. Without a cohort in the rule nobody is asked: confirmed `now`.
  void Saw(const PostgresView& view, absl::Time now);

  /// The begin of the latest write that is durable by the rule's policy.
  absl::Time confirmed() const { return confirmed_; }

 private:
  struct Write {
    absl::Time begun;
    std::uint64_t lsn;
  };
  const clustermetadata::ID self_;
  clustermetadata::RuleNumber rule_;
  std::deque<Write> writes_;  ///< not confirmed yet, oldest first
  absl::Time confirmed_ = absl::InfinitePast();
};

}  // namespace mg::multipooler
