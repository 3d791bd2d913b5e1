#include "components/multigateway/stats/query_stats.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "absl/hash/hash.h"
#include "absl/strings/str_format.h"
#include "components/multigateway/stats/normalise.h"

namespace mg::multigateway::stats {

namespace {

constexpr size_t kCachedTexts = 1024;
/// Longer ones are rare, and a hash over them is no cheaper than to read them.
constexpr size_t kLongestCachedText = 4096;
constexpr size_t kLongestShape = 1024;
constexpr char kUtility[] = "__utility__";
constexpr char kOther[] = "__other__";

/// Classes 0 to 3 are the microseconds themselves; from there on four to each doubling.
size_t ClassOf(std::uint64_t microseconds) {
  if (microseconds < 4) {
    return microseconds;
  }
  auto octave = static_cast<size_t>(std::bit_width(microseconds)) - 1;
  size_t quarter = (microseconds >> (octave - 2)) & 3;
  return std::min(DurationHistogram::kClasses - 1, (octave - 1) * 4 + quarter);
}

/// The middle of a class.
double MiddleOf(size_t index) {
  if (index < 4) {
    return static_cast<double>(index);
  }
  double width = std::ldexp(0.25, static_cast<int>(index / 4) + 1);
  return width * (4.0 + static_cast<double>(index % 4) + 0.5);
}

void Set(double microseconds, google::protobuf::Duration* out) {
  auto nanos = static_cast<std::int64_t>(microseconds * 1000);
  out->set_seconds(nanos / 1000000000);
  out->set_nanos(static_cast<std::int32_t>(nanos % 1000000000));
}

}  // namespace

void DurationHistogram::Add(std::uint64_t microseconds) {
  ++counts_[ClassOf(microseconds)];
  ++total_;
}

void DurationHistogram::Add(const DurationHistogram& other) {
  for (size_t i = 0; i < kClasses; ++i) {
    counts_[i] += other.counts_[i];
  }
  total_ += other.total_;
}

double DurationHistogram::Quantile(double q) const {
  auto rank = static_cast<std::uint64_t>(std::ceil(q * static_cast<double>(total_)));
  std::uint64_t seen = 0;
  for (size_t i = 0; i < kClasses; ++i) {
    seen += counts_[i];
    if (seen >= rank && seen > 0) {
      return MiddleOf(i);
    }
  }
  return 0;
}

struct QueryStats::Entry {
  /// One interval's end.
  struct Sample {
    float calls = 0, time_ms = 0, p50_ms = 0, p99_ms = 0, rows = 0;
  };

  StatementPtr statement;
  std::uint64_t calls = 0, errors = 0, rows = 0;
  std::uint64_t total_us = 0, min_us = 0, max_us = 0;
  absl::Time last = absl::InfinitePast();
  DurationHistogram durations;

  std::int64_t slot = 0;  ///< of the interval that is counted now
  std::uint32_t slot_calls = 0;
  std::uint64_t slot_us = 0, slot_rows = 0;
  DurationHistogram slot_durations;
  std::array<Sample, kSamples> samples = {};
  size_t sample_count = 0, next_sample = 0;

  size_t Size() const { return sizeof(Entry) + sizeof(Statement) + 64 + statement->normalised.size(); }

  /// Ends the intervals that are over; those without a call are zeros.
  void RollTo(std::int64_t now, std::int64_t interval_ns) {
    if (slot == now) {
      return;
    }
    const double seconds = static_cast<double>(interval_ns) / 1e9;
    if (slot == 0) {
      slot = now;
    }
    // More than are kept are not worth counting.
    for (std::int64_t over = std::min<std::int64_t>(now - slot, kSamples + 1); over > 0; --over) {
      samples[next_sample] = {.calls = static_cast<float>(slot_calls / seconds),
                              .time_ms = static_cast<float>(static_cast<double>(slot_us) / 1000 / seconds),
                              .p50_ms = static_cast<float>(slot_durations.Quantile(0.5) / 1000),
                              .p99_ms = static_cast<float>(slot_durations.Quantile(0.99) / 1000),
                              .rows = static_cast<float>(static_cast<double>(slot_rows) / seconds)};
      next_sample = (next_sample + 1) % kSamples;
      sample_count = std::min(sample_count + 1, kSamples);
      if (slot_calls > 0) {
        slot_calls = 0;
        slot_us = slot_rows = 0;
        slot_durations.Clear();
      }
    }
    slot = std::max(slot, now);
  }

  void Count(std::uint64_t us, std::uint64_t row_count, bool failed, absl::Time now) {
    min_us = calls == 0 ? us : std::min(min_us, us);
    max_us = std::max(max_us, us);
    ++calls;
    errors += failed ? 1 : 0;
    rows += row_count;
    total_us += us;
    last = std::max(last, now);
    durations.Add(us);
    ++slot_calls;
    slot_us += us;
    slot_rows += row_count;
    slot_durations.Add(us);
  }

  /// The totals of one that is forgotten; its course is not kept.
  void Fold(const Entry& gone) {
    min_us = calls == 0 ? gone.min_us : std::min(min_us, gone.min_us);
    max_us = std::max(max_us, gone.max_us);
    calls += gone.calls;
    errors += gone.errors;
    rows += gone.rows;
    total_us += gone.total_us;
    last = std::max(last, gone.last);
    durations.Add(gone.durations);
  }
};

QueryStats::QueryStats(Options options)
    : options_(options),
      interval_ns_(absl::ToInt64Nanoseconds(options.interval)),
      utility_(std::make_unique<Entry>()),
      other_(std::make_unique<Entry>()) {
  if (enabled()) {
    cache_.resize(kCachedTexts);
  }
  auto make = [](const char* name) {
    auto statement = std::make_shared<Statement>();
    statement->normalised = name;
    return statement;
  };
  utility_->statement = make(kUtility);
  other_->statement = make(kOther);
}

QueryStats::~QueryStats() = default;

std::int64_t QueryStats::SlotOf(absl::Time now) const { return absl::ToUnixNanos(now) / interval_ns_; }

StatementPtr QueryStats::Resolve(absl::string_view sql, Backslashes backslashes) {
  const bool cacheable = sql.size() <= kLongestCachedText;
  std::array<char, kLongestShape> shape;  // NOLINT(cppcoreguidelines-pro-type-member-init): Shape writes what is read
  const size_t shape_size = Shape(sql, absl::MakeSpan(shape));
  const absl::string_view key = shape_size > 0 ? absl::string_view(shape.data(), shape_size) : sql;
  const std::uint64_t hash = cacheable ? absl::HashOf(key, backslashes) : 0;
  std::lock_guard lock(mutex_);
  Cached* cached = cacheable && !cache_.empty() ? &cache_[hash % cache_.size()] : nullptr;
  if (cached != nullptr && cached->statement != nullptr && cached->hash == hash && cached->size == key.size()) {
    return cached->statement;
  }
  Normalise(sql, backslashes, &scratch_);
  const std::uint64_t fingerprint = Fingerprint(scratch_);
  StatementPtr statement;
  if (auto known = by_fingerprint_.find(fingerprint); known != by_fingerprint_.end()) {
    statement = known->second->statement;
  } else if (IsUtility(scratch_)) {
    auto made = std::make_shared<Statement>();
    made->fingerprint = fingerprint;
    made->utility = true;
    statement = std::move(made);
  } else {
    auto made = std::make_shared<Statement>();
    made->fingerprint = fingerprint;
    made->normalised = scratch_.substr(0, options_.sql_bytes);
    statement = std::move(made);
  }
  if (cached != nullptr) {
    *cached = {.hash = hash, .size = key.size(), .statement = statement};
  }
  if (scratch_.capacity() > (64u << 10)) {
    std::string().swap(scratch_);
  }
  return statement;
}

QueryStats::Entry* QueryStats::FindLocked(const StatementPtr& statement) {
  if (statement->utility) {
    return utility_.get();
  }
  auto known = by_fingerprint_.find(statement->fingerprint);
  if (known != by_fingerprint_.end()) {
    if (known->second != entries_.begin()) {
      entries_.splice(entries_.begin(), entries_, known->second);
    }
    return &entries_.front();
  }
  entries_.emplace_front();
  entries_.front().statement = statement;
  by_fingerprint_[statement->fingerprint] = entries_.begin();
  memory_ += entries_.front().Size();
  ShrinkLocked();
  return &entries_.front();
}

void QueryStats::ShrinkLocked() {
  while (memory_ > options_.memory_bytes && entries_.size() > 1) {
    const Entry& oldest = entries_.back();
    other_->Fold(oldest);
    memory_ -= oldest.Size();
    by_fingerprint_.erase(oldest.statement->fingerprint);
    entries_.pop_back();
  }
}

void QueryStats::Record(const StatementPtr& statement, absl::Duration took, std::uint64_t rows, bool failed,
                        absl::Time now) {
  if (!enabled()) {
    return;
  }
  auto us = static_cast<std::uint64_t>(std::max<std::int64_t>(absl::ToInt64Microseconds(took), 0));
  std::lock_guard lock(mutex_);
  Entry* entry = FindLocked(statement);
  entry->RollTo(SlotOf(now), interval_ns_);
  entry->Count(us, rows, failed, now);
}

void QueryStats::FillLocked(Entry* entry, const std::string& fingerprint, absl::Time now,
                            multigatewaymanagerdata::QueryStatSnapshot* out) {
  entry->RollTo(SlotOf(now), interval_ns_);
  out->set_fingerprint(fingerprint);
  out->set_normalized_sql(entry->statement->normalised);
  out->set_calls(entry->calls);
  out->set_errors(entry->errors);
  Set(static_cast<double>(entry->total_us), out->mutable_total_duration());
  Set(static_cast<double>(entry->total_us) / static_cast<double>(std::max<std::uint64_t>(entry->calls, 1)),
      out->mutable_average_duration());
  Set(static_cast<double>(entry->min_us), out->mutable_min_duration());
  Set(static_cast<double>(entry->max_us), out->mutable_max_duration());
  auto quantile = [&](double q) {
    return std::clamp(entry->durations.Quantile(q), static_cast<double>(entry->min_us),
                      static_cast<double>(entry->max_us));
  };
  Set(quantile(0.5), out->mutable_p50_duration());
  Set(quantile(0.99), out->mutable_p99_duration());
  out->set_total_rows(entry->rows);
  timespec last = absl::ToTimespec(entry->last);
  out->mutable_last_seen()->set_seconds(last.tv_sec);
  out->mutable_last_seen()->set_nanos(static_cast<std::int32_t>(last.tv_nsec));
  Set(absl::ToDoubleMicroseconds(options_.interval), out->mutable_sample_interval());
  for (size_t i = 0; i < entry->sample_count; ++i) {
    const Entry::Sample& sample = entry->samples[(entry->next_sample + kSamples - entry->sample_count + i) % kSamples];
    out->add_call_rate_trends(sample.calls);
    out->add_total_time_ms_trends(sample.time_ms);
    out->add_p50_ms_trends(sample.p50_ms);
    out->add_p99_ms_trends(sample.p99_ms);
    out->add_rows_rate_trends(sample.rows);
  }
}

multigatewaymanagerdata::QueryRegistrySnapshot QueryStats::Snapshot(std::uint32_t limit, std::uint64_t min_calls,
                                                                    absl::Time now) {
  multigatewaymanagerdata::QueryRegistrySnapshot snapshot;
  std::lock_guard lock(mutex_);
  struct Row {
    Entry* entry;
    std::string fingerprint;
  };
  std::vector<Row> rows;
  auto add = [&](Entry* entry, std::string fingerprint) {
    if (entry->calls > 0 && entry->calls >= min_calls) {
      rows.push_back({entry, std::move(fingerprint)});
    }
  };
  for (Entry& entry : entries_) {
    add(&entry, absl::StrFormat("%016x", entry.statement->fingerprint));
  }
  add(utility_.get(), kUtility);
  add(other_.get(), kOther);
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Row& a, const Row& b) { return a.entry->calls > b.entry->calls; });
  for (const Row& row : rows) {
    if (limit != 0 && static_cast<std::uint32_t>(snapshot.queries_size()) >= limit) {
      break;
    }
    FillLocked(row.entry, row.fingerprint, now, snapshot.add_queries());
  }
  snapshot.set_tracked_fingerprints(static_cast<std::uint32_t>(entries_.size()));
  return snapshot;
}

size_t QueryStats::memory() const {
  std::lock_guard lock(mutex_);
  return memory_;
}

}  // namespace mg::multigateway::stats
