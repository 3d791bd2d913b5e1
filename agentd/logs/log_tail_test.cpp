#include "agentd/logs/log_tail.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "agentd/logs/select.h"
#include "common/fs/fs.h"
#include "common/status/status.h"

namespace mg::logs {
namespace {

TEST(SelectSources, ByNameKindOrCell_KeepsTheOrderAndNoneTwice) {
  std::vector<Source> all = {{.name = "etcd"}, {.name = "multipooler/zone1"}, {.name = "multipooler/zone2"}};
  auto names = [&](const std::vector<std::string>& selectors) {
    std::vector<std::string> out;
    for (const Source& source : SelectSources(all, selectors).value_or(std::vector<Source>())) {
      out.push_back(source.name);
    }
    return out;
  };
  using Names = std::vector<std::string>;
  EXPECT_EQ(names({}).size(), 3u);
  EXPECT_EQ(names({"multipooler"}), (Names{"multipooler/zone1", "multipooler/zone2"}));
  EXPECT_EQ(names({"zone2", "etcd", "etcd"}), (Names{"etcd", "multipooler/zone2"}));
  EXPECT_EQ(names({"multipooler/zone1"}), (Names{"multipooler/zone1"}));
  absl::Status unknown = SelectSources(all, {"multipoler"}).status();
  EXPECT_EQ(unknown.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(DetailOf(unknown)->hint, "did you mean 'multipooler'?");
  EXPECT_EQ(DetailOf(SelectSources(all, {"berlin"}).status())->hint,
            "the cluster has etcd, multipooler/zone1, multipooler/zone2");
}

/// A log directory that the test writes as a shim does, and a reader that waits for what it is woken for.
class LogTailTest : public ::testing::Test {
 protected:
  LogTailTest() {
    char name[] = "/tmp/mg-tail-XXXXXX";
    directory_ = ::mkdtemp(name);
  }
  ~LogTailTest() override { (void)RemoveTree(directory_); }

  void Write(int count) {
    std::ofstream file(directory_ + "/current.log", std::ios::app);
    for (int i = 0; i < count; ++i) {
      ++written_;
      file << absl::FormatTime("%Y-%m-%dT%H:%M:%E9SZ", start_ + absl::Microseconds(written_), absl::UTCTimeZone())
           << " stdout F line " << written_ << "\n";
    }
  }

  std::unique_ptr<LogTail> Open(bool follow, std::optional<TextForm> text = std::nullopt,
                                absl::Duration patience = absl::Seconds(60)) {
    LogTail::Options options = {.query = {.sources = {{.name = "etcd", .directory = directory_}}, .follow = follow},
                                .text = text,
                                .patience = patience};
    auto tail = LogTail::Open(options, [this] {
      std::lock_guard<std::mutex> lock(mutex_);
      ++wakes_;
      changed_.notify_all();
    });
    EXPECT_TRUE(tail.ok()) << tail.status();
    return *std::move(tail);
  }

  /// The next batch as its reader gets it, waited for; unset at the end.
  std::optional<multigres::agent::v1::TailLogsResponse> Next(LogTail& tail) {
    for (;;) {
      std::unique_lock<std::mutex> lock(mutex_);
      int seen = wakes_;
      lock.unlock();
      LogTail::Batch taken;
      absl::Status end;
      auto& batch = taken.message;
      switch (tail.Next(&taken, &end)) {
        case LogTail::Take::kBatch:
          if (taken.text != nullptr) {
            batch.set_text(std::string(taken.text->view()));
          }
          if (batch.records_size() == 0 && batch.text().empty() && batch.dropped() == 0) {
            EXPECT_NE(batch.cursor(), "");
            begins_.push_back(batch.cursor());
            continue;
          }
          return batch;
        case LogTail::Take::kEnd:
          EXPECT_TRUE(end.ok()) << end;
          return std::nullopt;
        case LogTail::Take::kNothingYet:
          lock.lock();
          if (!changed_.wait_for(lock, std::chrono::seconds(20), [&] { return wakes_ != seen; })) {
            ADD_FAILURE() << "no wake";
            return std::nullopt;
          }
      }
    }
  }

  const absl::Time start_ = absl::Now() - absl::Seconds(10);
  std::string directory_;
  int written_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  int wakes_ = 0;
  std::vector<std::string> begins_;  ///< cursors of empty batches
};

TEST_F(LogTailTest, WhenNotFollowing_EveryRecordComesHoweverSlowTheReaderIs) {
  Write(5000);
  auto tail = Open(/*follow=*/false);
  int expected = 0;
  while (auto batch = Next(*tail)) {
    EXPECT_EQ(batch->dropped(), 0);
    EXPECT_NE(batch->cursor(), "");
    for (const auto& record : batch->records()) {
      EXPECT_EQ(record.text(), absl::StrCat("line ", ++expected));
      EXPECT_EQ(record.component(), "etcd");
    }
  }
  EXPECT_EQ(expected, 5000);
}

TEST_F(LogTailTest, WhenFollowing_NewRecordsComeAsTheyAreWritten) {
  Write(2);
  auto tail = Open(/*follow=*/true);
  EXPECT_EQ(Next(*tail)->records_size(), 2);
  Write(1);
  auto batch = Next(*tail);
  ASSERT_TRUE(batch.has_value());
  EXPECT_EQ(batch->records(0).text(), "line 3");
}

TEST_F(LogTailTest, WhenAFollowingReaderIsStuck_ItIsToldHowMuchItMissed) {
  Write(20000);
  auto tail = Open(/*follow=*/true, std::nullopt, absl::Milliseconds(50));
  // Nothing is taken until the reading thread has skipped to the end; then the reader comes back.
  absl::Time limit = absl::Now() + absl::Seconds(20);
  while (tail->dropped() < 18000 && absl::Now() < limit) {
    std::this_thread::yield();
  }
  std::int64_t seen = 0, dropped = 0;
  while (dropped == 0) {
    auto batch = Next(*tail);
    ASSERT_TRUE(batch.has_value());
    seen += batch->records_size();
    dropped += batch->dropped();
  }
  Write(1);
  while (seen + dropped < 20001) {
    auto batch = Next(*tail);
    ASSERT_TRUE(batch.has_value());
    seen += batch->records_size();
    dropped += batch->dropped();
  }
  EXPECT_GT(dropped, 0);
  EXPECT_EQ(seen + dropped, 20001);
}

TEST_F(LogTailTest, WhenInTextForm_ALineHasTimeComponentAndText) {
  Write(2);
  auto tail = Open(/*follow=*/false, TextForm{.utc = true});
  auto batch = Next(*tail);
  ASSERT_TRUE(batch.has_value());
  EXPECT_EQ(batch->records_size(), 0);
  EXPECT_NE(batch->text().find("Z etcd             line 1\n"), std::string::npos) << batch->text();
  EXPECT_EQ(batch->text().back(), '\n');
}

TEST_F(LogTailTest, WhenFollowing_TheFirstCursorIsOfWhereItBegins) {
  Write(30);
  LogTail::Options options = {
      .query = {.sources = {{.name = "etcd", .directory = directory_}}, .tail = 10, .follow = true}};
  auto tail = *LogTail::Open(options, [this] {
    std::lock_guard<std::mutex> lock(mutex_);
    ++wakes_;
    changed_.notify_all();
  });
  EXPECT_EQ(Next(*tail)->records_size(), 10);
  ASSERT_EQ(begins_.size(), 1u);
  // Its agent dies before the reader has a record: the next one begins at the same.
  options.query.cursor = begins_[0];
  options.query.follow = false;
  tail = *LogTail::Open(options, [] {});
  LogTail::Batch batch;
  absl::Status end;
  while (tail->Next(&batch, &end) == LogTail::Take::kNothingYet) {
    std::this_thread::yield();
  }
  ASSERT_EQ(batch.message.records_size(), 10);
  EXPECT_EQ(batch.message.records(0).text(), "line 21");
}

TEST_F(LogTailTest, WhenStructured_EachRecordHasACursorThatGoesOnBehindIt) {
  Write(3);
  LogTail::Options options = {.query = {.sources = {{.name = "etcd", .directory = directory_}}}, .structured = true};
  auto tail = *LogTail::Open(options, [this] {
    std::lock_guard<std::mutex> lock(mutex_);
    ++wakes_;
    changed_.notify_all();
  });
  auto batch = Next(*tail);
  ASSERT_EQ(batch->records_size(), 3);
  EXPECT_EQ(batch->records(2).cursor(), batch->cursor());
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(batch->records(i).message(), absl::StrCat("line ", i + 1));
    auto rest = Stream::Open({.sources = options.query.sources, .cursor = batch->records(i).cursor()});
    EXPECT_EQ((*rest)->Next(10)->size(), static_cast<size_t>(2 - i));
  }
}

TEST_F(LogTailTest, WhenItEndsWhileFollowing_TheThreadIsWoken) {
  auto tail = Open(/*follow=*/true);
  tail.reset();
}

TEST_F(LogTailTest, WhenTheQueryIsBad_SaysSo) {
  auto tail = LogTail::Open({.query = {.sources = {}, .grep = "("}}, [] {});
  EXPECT_EQ(tail.status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace mg::logs
