#include <gtest/gtest.h>

#include "agentd/events/event_log.h"

namespace mg::events {
namespace {

TEST(Feed, WhenReadInParts_GivesEveryItemOnceInOrder) {
  Feed<int> feed(10);
  for (int i = 1; i <= 5; ++i) {
    feed.Append([&](std::int64_t) { return i * 10; });
  }
  auto first = feed.ReadAfter(0, 3);
  ASSERT_EQ(first.items.size(), 3u);
  EXPECT_EQ(first.items[2], (std::pair<std::int64_t, int>(3, 30)));
  auto rest = feed.ReadAfter(3, 10);
  ASSERT_EQ(rest.items.size(), 2u);
  EXPECT_FALSE(rest.end);
  feed.Close();
  EXPECT_TRUE(feed.ReadAfter(5, 10).end);
  EXPECT_FALSE(feed.ReadAfter(3, 1).end);
}

TEST(Feed, WhenAReaderFellBehind_SaysHowMuchItMissed) {
  Feed<int> feed(2);
  for (int i = 1; i <= 5; ++i) {
    feed.Append([&](std::int64_t) { return i; });
  }
  auto batch = feed.ReadAfter(1, 10);
  EXPECT_EQ(batch.missed, 2);
  ASSERT_EQ(batch.items.size(), 2u);
  EXPECT_EQ(batch.items[0].second, 4);
  EXPECT_EQ(feed.ReadAfter(5, 10).missed, 0);
  EXPECT_EQ(feed.ReadAfter(9, 10).missed, 0);
}

TEST(Feed, WhenSubscribed_WakesUntilTheHandleIsGone) {
  Feed<int> feed(2);
  int wakes = 0;
  auto handle = feed.Subscribe([&] { ++wakes; });
  feed.Append([](std::int64_t) { return 1; });
  feed.Close();
  EXPECT_EQ(wakes, 2);
  handle.reset();
  feed.Close();
  EXPECT_EQ(wakes, 2);
}

TEST(EventLog, WhenGivenACursor_ResumesAfterIt) {
  EventLog log;
  log.Add("default", "etcd", "started", "etcd started", absl::Milliseconds(1500));
  log.Add("default", "etcd", "ready", "etcd is ready");
  auto all = log.feed().ReadAfter(0, 10);
  ASSERT_EQ(all.items.size(), 2u);
  EXPECT_EQ(all.items[0].second.duration().nanos(), 500'000'000);
  auto position = log.Position(all.items[0].second.cursor());
  ASSERT_TRUE(position.ok());
  EXPECT_EQ(log.feed().ReadAfter(*position, 10).items.at(0).second.type(), "ready");
}

TEST(EventLog, WhenTheCursorIsForeign_BeginsWithTheOldest) {
  EventLog log;
  EXPECT_EQ(*log.Position("abc123-77"), 0);
  EXPECT_EQ(log.Position("rubbish").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(log.Position("").ok());
  EXPECT_FALSE(log.Position("a-b").ok());
}

}  // namespace
}  // namespace mg::events
