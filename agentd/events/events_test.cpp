#include <gtest/gtest.h>

#include <stdlib.h>

#include <fstream>

#include "absl/strings/str_cat.h"
#include "agentd/events/event_log.h"
#include "common/fs/fs.h"

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

TEST(EventLog, WhenAClusterWasRemoved_TheNextOneOfItsNameBeginsBehindThat) {
  EventLog log;
  log.Add("a", "", "operation-started", "up began");
  EXPECT_EQ(log.EndOfRemoved("a"), 0);
  log.Add("a", "", kRemoved, "down clean is done");
  log.Add("b", "", "operation-started", "up began");
  log.Add("a", "", "operation-started", "up began");
  EXPECT_EQ(log.EndOfRemoved("a"), 2);
  EXPECT_EQ(log.EndOfRemoved("b"), 0);
}

class EventLogOnDisk : public testing::Test {
 protected:
  EventLogOnDisk() {
    char name[] = "/tmp/mg-events.XXXXXX";
    directory_ = ::mkdtemp(name);
  }
  ~EventLogOnDisk() override { EXPECT_TRUE(RemoveTree(directory_).ok()); }
  std::string directory_;
};

TEST_F(EventLogOnDisk, WhenTheAgentDied_GoesOnWithTheSameNumbers) {
  std::string cursor;
  {
    EventLog log(directory_);
    log.Add("a", "etcd", "started", "one");
    log.Add("a", "etcd", "ready", "two");
    cursor = log.feed().ReadAfter(0, 10).items.at(0).second.cursor();
  }
  std::ofstream(JoinPath(directory_, "events.jsonl"), std::ios::app) << "{\"cursor\":\"unfin";
  EventLog log(directory_);
  log.Add("a", "etcd", "exited", "three");
  absl::StatusOr<std::int64_t> position = log.Position(cursor);
  ASSERT_TRUE(position.ok());
  auto batch = log.ReadAfter(*position, 10);
  ASSERT_EQ(batch.items.size(), 2u);
  EXPECT_EQ(batch.items[0].second.message(), "two");
  EXPECT_EQ(batch.items[1].second.message(), "three");
  EventLog third(directory_);
  EXPECT_EQ(third.ReadAfter(0, 10).items.size(), 3u);
}

TEST_F(EventLogOnDisk, WhenThereAreMany_IsBoundedAndReadsTheOlderOnesFromDisk) {
  EventLog log(directory_, 1u << 20);
  const std::string text(100, 'x');
  for (int i = 1; i <= 3000; ++i) {
    log.Add("a", "etcd", "ready", absl::StrCat(i, " ", text));
  }
  auto batch = log.ReadAfter(0, 5);
  ASSERT_EQ(batch.items.size(), 5u);
  EXPECT_EQ(batch.items[0].first, 1);
  EXPECT_EQ(log.ReadAfter(2500, 5).items.at(0).first, 2501);
  for (int i = 1; i <= 20000; ++i) {
    log.Add("a", "etcd", "ready", text);
  }
  EXPECT_LE(TreeSize(directory_), (2u << 20) + 16384);
  EXPECT_GT(log.ReadAfter(0, 5).missed, 0);
}

}  // namespace
}  // namespace mg::events
