/// Statistics of what a gateway's clients ask, by fingerprint: numbers since the start, and their course over the last
/// minutes. Bounded: what was not heard of longest is folded into `__other__`; `__utility__` has all statements that
/// touch no tables by themselves. Any thread.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "components/multigateway/stats/normalise.h"
#include "multigatewaymanagerdata.pb.h"

namespace mg::multigateway::stats {

/// A text as it is counted. Never changes.
struct Statement {
  std::uint64_t fingerprint = 0;
  bool utility = false;
  std::string normalised;  ///< cut at the bound
};
using StatementPtr = std::shared_ptr<const Statement>;

/// Durations in classes, four to an octave: within 13 % of the truth, from a microsecond to an hour.
class DurationHistogram {
 public:
  static constexpr size_t kClasses = 128;
  void Add(std::uint64_t microseconds);
  void Add(const DurationHistogram& other);
  void Clear() { *this = DurationHistogram(); }
  /// The q-th quantile, 0 to 1, in microseconds; 0 when nothing was added.
  double Quantile(double q) const;

 private:
  std::array<std::uint32_t, kClasses> counts_ = {};
  std::uint64_t total_ = 0;
};

class QueryStats {
 public:
  struct Options {
    size_t memory_bytes = 8 << 20;  ///< 0: nothing is collected
    size_t sql_bytes = 4096;        ///< longest normalised text that is kept
    absl::Duration interval = absl::Seconds(10);
  };
  static constexpr size_t kSamples = 30;

  explicit QueryStats(Options options);
  ~QueryStats();
  bool enabled() const { return options_.memory_bytes > 0; }

  /// The statement of a text. Fast for a text that was seen lately.
  StatementPtr Resolve(absl::string_view sql, Backslashes backslashes = Backslashes::kPlain);

  /// One call that ended.
  void Record(const StatementPtr& statement, absl::Duration took, std::uint64_t rows, bool failed, absl::Time now);

  /// By calls, at most `limit` (0: all) of those with at least `min_calls`.
  multigatewaymanagerdata::QueryRegistrySnapshot Snapshot(std::uint32_t limit, std::uint64_t min_calls, absl::Time now);

  /// Bytes that are accounted for now; never more than the bound and one entry.
  size_t memory() const;

 private:
  struct Entry;
  struct Cached {
    std::uint64_t hash = 0;
    size_t size = 0;
    StatementPtr statement;
  };

  Entry* FindLocked(const StatementPtr& statement);
  void ShrinkLocked();
  std::int64_t SlotOf(absl::Time now) const;
  void FillLocked(Entry* entry, const std::string& fingerprint, absl::Time now,
                  multigatewaymanagerdata::QueryStatSnapshot* out);

  const Options options_;
  const std::int64_t interval_ns_;
  mutable std::mutex mutex_;
  std::vector<Cached> cache_;  ///< by the hash of the text, or of its shape; one place each
  std::string scratch_;
  std::list<Entry> entries_;  ///< heard of last first
  absl::flat_hash_map<std::uint64_t, std::list<Entry>::iterator> by_fingerprint_;
  std::unique_ptr<Entry> utility_, other_;
  size_t memory_ = 0;
};

}  // namespace mg::multigateway::stats
