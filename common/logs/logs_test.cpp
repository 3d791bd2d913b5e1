#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <thread>

#include "absl/time/clock.h"
#include "common/cri/cri_writer.h"
#include "common/fs/fs.h"
#include "common/logs/log_files.h"
#include "gtest/gtest.h"

namespace mg::logs {
namespace {

class LogsTest : public testing::Test {
 protected:
  LogsTest() {
    char name[] = "/tmp/mg-logs.XXXXXX";
    root_ = ::mkdtemp(name);
  }
  ~LogsTest() override { EXPECT_TRUE(RemoveTree(root_).ok()); }
  Source MakeSource(const std::string& name) {
    Source source{name, JoinPath(root_, name)};
    EXPECT_TRUE(MakeDirectories(source.directory, 0700).ok());
    return source;
  }
  static std::string Line(int second, const std::string& text) {
    char buffer[256];
    std::snprintf(buffer, sizeof buffer, "2026-11-23T16:%02d:%02d.000000000Z stdout F %s\n", second / 60, second % 60,
                  text.c_str());
    return buffer;
  }
  static std::vector<std::string> Texts(Query query) {
    absl::StatusOr<std::unique_ptr<Stream>> stream = Stream::Open(std::move(query));
    EXPECT_TRUE(stream.ok()) << stream.status();
    std::vector<std::string> texts;
    for (;;) {
      std::vector<Record> batch = *(*stream)->Next(7);
      if (batch.empty()) {
        return texts;
      }
      for (const Record& record : batch) {
        texts.push_back(record.text);
      }
    }
  }
  std::string root_;
};

TEST_F(LogsTest, SourcesAreMergedByTime) {
  Source a = MakeSource("a"), b = MakeSource("b"), missing{"c", root_ + "/absent"};
  ASSERT_TRUE(WriteFileAtomically(a.directory + "/current.log", Line(1, "a1") + Line(4, "a4")).ok());
  ASSERT_TRUE(WriteFileAtomically(b.directory + "/20261123T160002.000000000Z.log", Line(2, "b2")).ok());
  ASSERT_TRUE(WriteFileAtomically(b.directory + "/current.log", Line(3, "b3") + Line(5, "b5")).ok());
  EXPECT_EQ(Texts({.sources = {a, b, missing}}), (std::vector<std::string>{"a1", "b2", "b3", "a4", "b5"}));
  EXPECT_EQ(Texts({.sources = {a, b}, .tail = 2}), (std::vector<std::string>{"a4", "b5"}));
  EXPECT_EQ(Texts({.sources = {a, b}, .tail = 0}), std::vector<std::string>());
  EXPECT_EQ(Texts({.sources = {a, b}, .grep = "^b[23]"}), (std::vector<std::string>{"b2", "b3"}));
}

TEST_F(LogsTest, Since_FindsTheFirstRecordAtEveryTime) {
  Source a = MakeSource("a");
  std::string old, current;
  for (int i = 0; i < 300; ++i) {
    old += Line(i, "line " + std::to_string(i) + std::string(static_cast<size_t>(i % 50), 'x'));
    current += Line(300 + i, "line " + std::to_string(300 + i));
  }
  ASSERT_TRUE(WriteFileAtomically(a.directory + "/20261123T160500.000000000Z.log", old).ok());
  ASSERT_TRUE(WriteFileAtomically(a.directory + "/current.log", current).ok());
  absl::Time base;
  ASSERT_TRUE(absl::ParseTime(absl::RFC3339_full, "2026-11-23T16:00:00Z", &base, nullptr));
  for (int i = 0; i < 600; i += 7) {
    std::vector<std::string> texts = Texts({.sources = {a}, .since = base + absl::Seconds(i)});
    ASSERT_EQ(texts.size(), static_cast<size_t>(600 - i)) << i;
    EXPECT_EQ(texts[0].substr(0, texts[0].find('x')), "line " + std::to_string(i));
  }
  EXPECT_EQ(Texts({.sources = {a}, .since = base + absl::Seconds(600)}).size(), 0u);
  EXPECT_EQ(Texts({.sources = {a}, .since = base + absl::Seconds(10), .until = base + absl::Seconds(20)}).size(), 10u);
  EXPECT_EQ(Texts({.sources = {a}, .tail = 400}).size(), 400u);
}

TEST_F(LogsTest, FollowOverRotation_LosesAndRepeatsNothing) {
  Source a = MakeSource("a");
  absl::StatusOr<std::unique_ptr<Stream>> stream = Stream::Open({.sources = {a}, .follow = true});
  ASSERT_TRUE(stream.ok());
  constexpr int kLines = 3000;
  std::thread writer([&] {
    CriWriter out(a.directory, 5000, 1000);
    ASSERT_EQ(out.Open(), 0);
    for (int i = 0; i < kLines; ++i) {
      std::string line = "line " + std::to_string(i) + "\n";
      out.Append(CriWriter::Stream::kStdout, line.data(), line.size());
    }
  });
  int next = 0;
  while (next < kLines) {
    absl::StatusOr<std::vector<Record>> batch = (*stream)->Next(100);
    ASSERT_TRUE(batch.ok());
    for (const Record& record : *batch) {
      ASSERT_EQ(record.text, "line " + std::to_string(next++));
    }
  }
  writer.join();
  std::thread canceller([&] { (*stream)->Cancel(); });
  EXPECT_EQ((*stream)->Next(1).status().code(), absl::StatusCode::kCancelled);
  canceller.join();
}

TEST_F(LogsTest, Cursor_ResumesBehindTheLastRecord) {
  Source a = MakeSource("a"), b = MakeSource("b");
  ASSERT_TRUE(WriteFileAtomically(a.directory + "/current.log", Line(1, "a1") + Line(3, "a3")).ok());
  ASSERT_TRUE(WriteFileAtomically(b.directory + "/current.log", Line(2, "b2") + Line(4, "b4")).ok());
  absl::StatusOr<std::unique_ptr<Stream>> stream = Stream::Open({.sources = {a, b}});
  ASSERT_EQ((*stream)->Next(2)->size(), 2u);
  EXPECT_EQ(Texts({.sources = {a, b}, .cursor = (*stream)->cursor()}), (std::vector<std::string>{"a3", "b4"}));
  EXPECT_FALSE(Stream::Open({.sources = {a}, .cursor = "nonsense"}).ok());
}

TEST_F(LogsTest, PartialAndTornLines) {
  Source a = MakeSource("a");
  ASSERT_TRUE(
      WriteFileAtomically(a.directory + "/current.log",
                          "2026-11-23T16:00:00.000000000Z stdout P one \n2026-11-23T16:00:00.000000001Z stdout F two\n"
                          "garbage\n2026-11-23T16:00:01.000000000Z stderr F three\n2026-11-23T16:0")
          .ok());
  EXPECT_EQ(Texts({.sources = {a}}), (std::vector<std::string>{"one two", "three"}));
  EXPECT_EQ(LastLines(a, 2), std::vector<std::string>{"three"});
}

TEST_F(LogsTest, CursorInTheMiddleOfATail_LosesAndRepeatsNothing) {
  Source a = MakeSource("a"), quiet = MakeSource("quiet"), later = MakeSource("later");
  std::string text;
  for (int i = 0; i < 20; ++i) {
    text += Line(i, std::to_string(i));
  }
  ASSERT_TRUE(WriteFileAtomically(a.directory + "/current.log", text).ok());
  ASSERT_TRUE(WriteFileAtomically(quiet.directory + "/current.log", Line(0, "old")).ok());
  std::vector<Source> sources = {a, quiet, later};
  absl::StatusOr<std::unique_ptr<Stream>> stream = Stream::Open({.sources = sources, .tail = 10});
  std::vector<Record> batch = *(*stream)->Next(3);
  ASSERT_EQ(batch.size(), 3u);
  EXPECT_EQ(batch[0].text, "10");
  ASSERT_TRUE(WriteFileAtomically(later.directory + "/current.log", Line(19, "new")).ok());
  EXPECT_EQ(Texts({.sources = sources, .cursor = (*stream)->cursor()}),
            (std::vector<std::string>{"13", "14", "15", "16", "17", "18", "19", "new"}));
}

TEST_F(LogsTest, CursorWhoseFileIsGone_GoesOnByTime) {
  Source a = MakeSource("a");
  std::string current = a.directory + "/current.log";
  ASSERT_TRUE(WriteFileAtomically(current, Line(1, "one") + Line(2, "two") + Line(3, "three")).ok());
  absl::StatusOr<std::unique_ptr<Stream>> stream = Stream::Open({.sources = {a}});
  ASSERT_EQ((*stream)->Next(2)->size(), 2u);
  std::string cursor = (*stream)->cursor();
  // The same number names another file now: as good as gone.
  std::ofstream(current, std::ios::trunc) << Line(2, "two") << Line(3, "three, rewritten") << Line(4, "four");
  EXPECT_EQ(Texts({.sources = {a}, .cursor = cursor}), (std::vector<std::string>{"three, rewritten", "four"}));
  ASSERT_TRUE(RemoveTree(current).ok());
  EXPECT_EQ(Texts({.sources = {a}, .cursor = cursor}), std::vector<std::string>());
}

TEST_F(LogsTest, Tail_CountsRecordsNotTheirParts) {
  Source a = MakeSource("a");
  {
    CriWriter out(a.directory, 1 << 20, 3);
    ASSERT_EQ(out.Open(), 0);
    for (int i = 0; i < 5; ++i) {
      std::string line = std::string(40000, static_cast<char>('a' + i)) + "\n";
      out.Append(CriWriter::Stream::kStdout, line.data(), line.size());
    }
  }
  std::vector<std::string> texts = Texts({.sources = {a}, .tail = 2});
  EXPECT_EQ(texts, (std::vector<std::string>{std::string(40000, 'd'), std::string(40000, 'e')}));
}

TEST_F(LogsTest, PartsOfBothStreams_AreKeptApart) {
  Source a = MakeSource("a");
  std::string time = "2026-11-23T16:00:00.00000000";
  ASSERT_TRUE(WriteFileAtomically(a.directory + "/current.log", time + "0Z stdout P one \n" + time +
                                                                    "1Z stderr F error\n" + time + "2Z stdout F two\n")
                  .ok());
  EXPECT_EQ(Texts({.sources = {a}}), (std::vector<std::string>{"error", "one two"}));
}

TEST_F(LogsTest, FollowOfADirectoryThatComesAndGoes_SeesEachLine) {
  Source a{"a", root_ + "/x/y/a"};
  absl::StatusOr<std::unique_ptr<Stream>> stream = Stream::Open({.sources = {a}, .follow = true});
  ASSERT_TRUE(stream.ok());
  for (int i = 0; i < 3; ++i) {
    std::thread writer([&] {
      ASSERT_TRUE(MakeDirectories(a.directory, 0700).ok());
      std::ofstream(a.directory + "/current.log") << Line(i, std::to_string(i)) << std::flush;
    });
    std::vector<Record> batch = *(*stream)->Next(10);
    writer.join();
    ASSERT_EQ(batch.size(), 1u);
    EXPECT_EQ(batch[0].text, std::to_string(i));
    ASSERT_TRUE(RemoveTree(root_ + "/x").ok());
  }
}

TEST_F(LogsTest, FollowUntilATime_EndsThen) {
  Source a = MakeSource("a");
  ASSERT_TRUE(WriteFileAtomically(a.directory + "/current.log", Line(1, "one")).ok());
  EXPECT_EQ(Texts({.sources = {a}, .until = absl::Now() + absl::Milliseconds(50), .follow = true}),
            std::vector<std::string>{"one"});
}

TEST(Level, OfTheComponentsWays) {
  EXPECT_EQ(ParseLevel(R"({"time":"x","level":"WARN","msg":"m"})"), "warn");
  EXPECT_EQ(ParseLevel(R"({"level":"info","ts":"x","caller":"y"})"), "info");
  EXPECT_EQ(ParseLevel("2026-11-23 16:00:00.123 UTC [42] LOG:  ready"), "info");
  EXPECT_EQ(ParseLevel("2026-11-23 16:00:00.123 UTC [42] postgres@postgres FATAL:  no"), "error");
  EXPECT_EQ(ParseLevel("time=x level=ERROR msg=y"), "error");
  EXPECT_EQ(ParseLevel("hello"), "");
}

}  // namespace
}  // namespace mg::logs
