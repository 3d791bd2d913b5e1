#include "cli/args/moment.h"

#include <gtest/gtest.h>

#include "common/status/status.h"

namespace mg::cli {
namespace {

std::string Of(const std::string& text) {
  absl::TimeZone zone = absl::FixedTimeZone(2 * 3600);
  absl::Time now = absl::FromCivil(absl::CivilSecond(2026, 3, 1, 1, 30, 0), zone);
  absl::StatusOr<absl::Time> time = ParseMoment(text, "since", now, zone);
  return time.ok() ? absl::FormatTime("%Y-%m-%d %H:%M:%E*S", *time, absl::UTCTimeZone()) : "";
}

TEST(ParseMoment, TakesWhatPeopleWrite) {
  EXPECT_EQ(Of("now"), "2026-02-28 23:30:00");
  EXPECT_EQ(Of("10m"), "2026-02-28 23:20:00");
  EXPECT_EQ(Of("1h30m"), "2026-02-28 22:00:00");
  EXPECT_EQ(Of("1.5h"), "2026-02-28 22:00:00");
  EXPECT_EQ(Of("2d"), "2026-02-26 23:30:00");
  EXPECT_EQ(Of("1w1d30m"), "2026-02-20 23:00:00");
  EXPECT_EQ(Of("today"), "2026-02-28 22:00:00");
  EXPECT_EQ(Of("Yesterday"), "2026-02-27 22:00:00");
  EXPECT_EQ(Of("00:15"), "2026-02-28 22:15:00");
  EXPECT_EQ(Of("00:15:01.5"), "2026-02-28 22:15:01.5");
  EXPECT_EQ(Of("2026-01-31"), "2026-01-30 22:00:00");
  EXPECT_EQ(Of("2026-01-31 14:30"), "2026-01-31 12:30:00");
  EXPECT_EQ(Of("2026-01-31T14:30:10.25"), "2026-01-31 12:30:10.25");
  EXPECT_EQ(Of("2026-01-31T14:30:10Z"), "2026-01-31 14:30:10");
  EXPECT_EQ(Of("2026-01-31T14:30:10-01:00"), "2026-01-31 15:30:10");
}

TEST(ParseMoment, RefusesTheRest) {
  for (const char* text :
       {"", " ", "soon", "10", "-10m", "10x", "d", "-1d", "25:00", "2026-02-30", "2026-01-31 14", "1d2"}) {
    EXPECT_EQ(Of(text), "") << text;
  }
  absl::Status status = ParseMoment("soon", "until", absl::Now(), absl::UTCTimeZone()).status();
  EXPECT_EQ(status.message(), "--until: 'soon' is neither a duration nor a time");
  EXPECT_NE(DetailOf(status)->hint, "");
}

}  // namespace
}  // namespace mg::cli
