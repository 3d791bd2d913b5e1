#include "components/multigateway/stats/query_stats.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "components/multigateway/stats/consolidator.h"

namespace mg::multigateway::stats {
namespace {

const absl::Time kStart = absl::FromUnixSeconds(1700000000);

TEST(QueryStats_, OfCallsOfOneShape_AddsUp) {
  QueryStats stats({});
  for (int i = 1; i <= 100; ++i) {
    stats.Record(stats.Resolve(absl::StrCat("select ", i)), absl::Milliseconds(i), 2, i == 100, kStart);
  }
  auto snapshot = stats.Snapshot(0, 0, kStart + absl::Seconds(10));
  ASSERT_EQ(snapshot.queries_size(), 1);
  EXPECT_EQ(snapshot.tracked_fingerprints(), 1u);
  const auto& row = snapshot.queries(0);
  EXPECT_EQ(row.normalized_sql(), "select $1");
  EXPECT_EQ(row.fingerprint().size(), 16u);
  EXPECT_EQ(row.calls(), 100u);
  EXPECT_EQ(row.errors(), 1u);
  EXPECT_EQ(row.total_rows(), 200u);
  EXPECT_EQ(row.min_duration().nanos(), 1000000);
  EXPECT_EQ(row.max_duration().nanos(), 100000000);
  EXPECT_NEAR(row.p50_duration().nanos(), 50e6, 50e6 * 0.13);
  EXPECT_NEAR(row.p99_duration().nanos(), 99e6, 99e6 * 0.13);
  EXPECT_NEAR(row.average_duration().nanos(), 50.5e6, 1e5);
  ASSERT_EQ(row.call_rate_trends_size(), 1);
  EXPECT_NEAR(row.call_rate_trends(0), 10, 0.01);
  EXPECT_NEAR(row.rows_rate_trends(0), 20, 0.01);
  EXPECT_NEAR(row.total_time_ms_trends(0), 505, 1);
}

TEST(QueryStats_, AfterSilence_ShowsZeros) {
  QueryStats stats({});
  stats.Record(stats.Resolve("select 1"), absl::Milliseconds(1), 1, false, kStart);
  auto snapshot = stats.Snapshot(0, 0, kStart + absl::Seconds(30));
  ASSERT_EQ(snapshot.queries(0).call_rate_trends_size(), 3);
  EXPECT_GT(snapshot.queries(0).call_rate_trends(0), 0);
  EXPECT_EQ(snapshot.queries(0).call_rate_trends(2), 0);
  snapshot = stats.Snapshot(0, 0, kStart + absl::Hours(5));
  EXPECT_EQ(snapshot.queries(0).call_rate_trends_size(), static_cast<int>(QueryStats::kSamples));
}

TEST(QueryStats_, OverItsBound_FoldsWhatIsOldest) {
  QueryStats stats({.memory_bytes = 100000});
  for (int i = 0; i < 1000; ++i) {
    stats.Record(stats.Resolve(absl::StrCat("select a", i, " from t")), absl::Milliseconds(1), 1, false, kStart);
    stats.Record(stats.Resolve("select hot from t"), absl::Milliseconds(1), 1, false, kStart);
  }
  EXPECT_LE(stats.memory(), 100000u);
  auto snapshot = stats.Snapshot(0, 0, kStart);
  std::uint64_t calls = 0, hot = 0, other = 0;
  for (const auto& row : snapshot.queries()) {
    calls += row.calls();
    hot += row.normalized_sql() == "select hot from t" ? row.calls() : 0;
    other += row.fingerprint() == "__other__" ? row.calls() : 0;
  }
  EXPECT_EQ(calls, 2000u);
  EXPECT_EQ(hot, 1000u);
  EXPECT_GT(other, 900u);
}

TEST(QueryStats_, OfUtilities_IsOneRow) {
  QueryStats stats({});
  for (const char* sql : {"begin", "commit", "set a = 1"}) {
    stats.Record(stats.Resolve(sql), absl::Milliseconds(1), 0, false, kStart);
  }
  auto snapshot = stats.Snapshot(0, 0, kStart);
  ASSERT_EQ(snapshot.queries_size(), 1);
  EXPECT_EQ(snapshot.queries(0).fingerprint(), "__utility__");
  EXPECT_EQ(snapshot.queries(0).calls(), 3u);
}

TEST(Snapshot, WithBounds_LeavesOut) {
  QueryStats stats({});
  stats.Record(stats.Resolve("select 1"), absl::Milliseconds(1), 1, false, kStart);
  stats.Record(stats.Resolve("select 1, 2"), absl::Milliseconds(9), 1, false, kStart);
  stats.Record(stats.Resolve("select 1, 2"), absl::Milliseconds(9), 1, false, kStart);
  EXPECT_EQ(stats.Snapshot(1, 0, kStart).queries(0).normalized_sql(), "select $1, $2");
  EXPECT_EQ(stats.Snapshot(0, 2, kStart).queries_size(), 1);
}

TEST(Consolidator_, OfAlikeTexts_CountsHolders) {
  Consolidator consolidator;
  auto a = consolidator.Hold("select 1");
  {
    auto b = consolidator.Hold("select 1");
    auto c = consolidator.Hold("select 2");
    auto stats = consolidator.Snapshot();
    EXPECT_EQ(stats.unique_statements(), 2u);
    EXPECT_EQ(stats.total_references(), 3u);
    EXPECT_EQ(stats.prepared_statements(0).query(), "select $1");
    EXPECT_EQ(stats.prepared_statements(0).refs(), 2u);
  }
  EXPECT_EQ(consolidator.Snapshot().total_references(), 1u);
}

TEST(Consolidator_, OfLiterals_ShowsNone) {
  Consolidator consolidator;
  auto a = consolidator.Hold("CREATE ROLE r PASSWORD 'x\\'Secret'", Backslashes::kEscape);
  EXPECT_EQ(consolidator.Snapshot().prepared_statements(0).query(), "create role r password $1");
  auto b = consolidator.Hold("CREATE ROLE r PASSWORD 'x\\'Secret'", Backslashes::kPlain);  // one of the two is wrong
  EXPECT_EQ(consolidator.Snapshot().prepared_statements(0).query(), "create role r password $1");
  auto c = consolidator.Hold(std::string(4090, ' ') + "'Secret'");
  EXPECT_EQ(consolidator.Snapshot().prepared_statements(1).query(), "$1");
}

}  // namespace
}  // namespace mg::multigateway::stats
