#include "components/multipooler/manager/data_watch.h"

#include <gtest/gtest.h>

#include "common/status/status.h"

namespace mg::multipooler {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1000);

absl::Status Failed(const std::string& line, const std::string& how = "exit status 1") {
  return MakeError(absl::StatusCode::kUnknown, "start: PostgreSQL ended while it started (" + how + ")",
                   {.reason = "POSTGRES_START_FAILED", .log_tail = {"LOG:  starting", line, "LOG:  shut down"}});
}

const absl::Status kNoCheckpoint = Failed("[7] PANIC:  could not locate a valid checkpoint record");

TEST(DataWatch, WhenStartsFailAgainAndAgain_SaysWhy) {
  DataWatch watch;
  watch.Tried(kNoCheckpoint);
  watch.Tried(kNoCheckpoint);
  EXPECT_EQ(watch.WhyUnusable(kNow), "");
  watch.Tried(kNoCheckpoint);
  EXPECT_EQ(watch.WhyUnusable(kNow),
            "PostgreSQL has not started from it 3 times: PANIC:  could not locate a valid checkpoint record");
  watch.Tried(absl::OkStatus());
  EXPECT_EQ(watch.WhyUnusable(kNow), "");
}

TEST(DataWatch, WhenTheStartFailsForAnotherReason_TheDataIsNotBlamed) {
  EXPECT_TRUE(BlamesData(kNoCheckpoint));
  EXPECT_FALSE(BlamesData(Failed("FATAL:  could not create any TCP/IP sockets")));
  EXPECT_FALSE(BlamesData(Failed("FATAL:  could not write lock file: No space left on device")));
  EXPECT_FALSE(BlamesData(Failed("LOG:  redo starts", "signal 9")));
  EXPECT_FALSE(BlamesData(absl::UnavailableError("pgctld does not answer")));
  EXPECT_FALSE(BlamesData(MakeError(absl::StatusCode::kUnknown, "not yet", {.reason = "POSTGRES_NOT_READY"})));
}

TEST(DataWatch, WhenAStandbyNeitherStreamsNorReplays_SaysSoAfterTheBound) {
  DataWatch watch;
  watch.Followed(false, "0/1", kNow);
  watch.Followed(false, "0/2", kNow + absl::Seconds(20));
  watch.Followed(false, "0/2", kNow + absl::Seconds(49));
  EXPECT_EQ(watch.WhyUnusable(kNow + absl::Seconds(49)), "") << "it moved 29 s ago";
  EXPECT_NE(watch.WhyUnusable(kNow + absl::Seconds(51)), "");
  watch.Followed(true, "0/2", kNow + absl::Seconds(52));
  EXPECT_EQ(watch.WhyUnusable(kNow + absl::Seconds(100)), "");
}

TEST(DataWatch, WhenACopyIsOfNoUseEither_TheNextOneComesAfterAPauseThatGrows) {
  DataWatch watch;
  absl::Time now = kNow;
  for (absl::Duration pause : {absl::Minutes(1), absl::Minutes(2), absl::Minutes(4)}) {
    watch.Replaced(now);
    for (int i = 0; i < 3; ++i) {
      watch.Tried(kNoCheckpoint);
    }
    EXPECT_EQ(watch.WhyUnusable(now + pause - absl::Seconds(1)), "");
    now += pause;
    EXPECT_NE(watch.WhyUnusable(now), "");
  }
  watch.Streams();
  for (int i = 0; i < 3; ++i) {
    watch.Tried(kNoCheckpoint);
  }
  EXPECT_NE(watch.WhyUnusable(now), "") << "the copy was good: what comes now is a new trouble";
}

}  // namespace
}  // namespace mg::multipooler
