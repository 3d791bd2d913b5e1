#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "absl/time/clock.h"
#include "common/cri/cri_writer.h"
#include "common/fs/fs.h"
#include "common/logs/cri.h"
#include "common/logs/log_files.h"
#include "common/logs/source_reader.h"
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

TEST_F(LogsTest, FilesThatAreRemovedBeforeTheyAreRead_AreTold) {
  Source a = MakeSource("a");
  std::string current = a.directory + "/current.log";
  ASSERT_TRUE(WriteFileAtomically(current, Line(1, "one")).ok());
  auto stream = *Stream::Open({.sources = {a}, .follow = true});
  ASSERT_EQ(stream->Next(5)->size(), 1u);
  std::string cursor = stream->cursor();
  // A rotation alone is none.
  std::filesystem::rename(current, a.directory + "/20261123T160002.000000000Z.log");
  ASSERT_TRUE(WriteFileAtomically(current, Line(3, "three")).ok());
  ASSERT_EQ(stream->Next(5)->size(), 1u);
  EXPECT_FALSE(stream->TakeGap());
  // Two files are gone, of which one was read.
  std::filesystem::remove(a.directory + "/20261123T160002.000000000Z.log");
  std::filesystem::remove(current);
  ASSERT_TRUE(WriteFileAtomically(current, Line(5, "five")).ok());
  ASSERT_EQ(stream->Next(5)->size(), 1u);
  EXPECT_TRUE(stream->TakeGap());
  EXPECT_FALSE(stream->TakeGap());
  auto resumed = *Stream::Open({.sources = {a}, .cursor = cursor});
  ASSERT_EQ(resumed->Next(5)->size(), 1u);
  EXPECT_TRUE(resumed->TakeGap());
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

TEST_F(LogsTest, LineThatIsTakenBack_IsReadOnceAsItIsInTheEnd) {
  // What the shim does at a full disk: the part of a line that was written is cut off again.
  Source a = MakeSource("a");
  const std::string path = a.directory + "/current.log";
  const std::string whole = Line(1, "one"), part = Line(2, "never finished").substr(0, 45);
  for (bool seen_between : {true, false}) {
    ASSERT_TRUE(WriteFileAtomically(path, whole + part).ok());
    SourceReader reader(a);
    reader.SeekTime(kNoTime);
    ASSERT_NE(reader.Peek(), nullptr);
    reader.Take();
    EXPECT_EQ(reader.Peek(), nullptr);
    ASSERT_EQ(::truncate(path.c_str(), static_cast<off_t>(whole.size())), 0);
    if (seen_between) {
      EXPECT_EQ(reader.Peek(), nullptr);
    }
    std::ofstream(path, std::ios::app) << Line(3, "another line, which is longer than the one that was taken back");
    const auto* line = reader.Peek();
    ASSERT_NE(line, nullptr) << seen_between;
    EXPECT_EQ(line->text, "another line, which is longer than the one that was taken back");
    reader.Take();
    EXPECT_EQ(reader.Peek(), nullptr);
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
  EXPECT_EQ(ParseLevel("2026-11-28 22:27:31.517255 I | pkg/flags: recognized"), "info");
  EXPECT_EQ(ParseLevel("2026-11-28 22:27:31.517255 W | etcdserver/api/etcdhttp: /health error"), "warn");
  EXPECT_EQ(ParseLevel("2026-11-28 22:27:31.517255 C | etcdmain: no"), "error");
  EXPECT_EQ(ParseLevel("2026-11-28 22:27:31.517255 X | etcdmain: no"), "");
  EXPECT_EQ(ParseLevel("hello"), "");
  EXPECT_EQ(ParseLevel(R"({"time":"x", "level" : "ERROR+2", "msg":"m"})"), "error");
  EXPECT_EQ(ParseLevel(R"({"time":"x","msg":"\"level\":\"error\"","level":"INFO"})"), "info");
  EXPECT_EQ(ParseLevel(R"({"level":)"), "");
  EXPECT_EQ(ParseLevel("{"), "");
  EXPECT_EQ(ParseLevel("2026-11-23 16:00:00.123 UTC [42] LOG:  sublevel=error"), "info");
  EXPECT_EQ(ParseLevel("sublevel=error"), "");
}

TEST(Level, OfWhatBelongsToTheLineBefore) {
  std::string head = "2026-11-23 16:00:00.123 UTC [42] postgres@postgres ";
  EXPECT_EQ(ScanLevel(head + "STATEMENT:  select", Level::kError), Level::kError);
  EXPECT_EQ(ScanLevel("\tfrom nowhere", Level::kError), Level::kError);
  EXPECT_EQ(ScanLevel(head + "LOG:  x", Level::kError), Level::kInfo);
  EXPECT_EQ(ScanLevel("hello", Level::kError), Level::kNone);
}

TEST(Postgres, LineIsTakenApart) {
  std::optional<PostgresLine> line =
      ParsePostgres("2026-11-23 16:00:00.123 UTC [42] app user@shop ERROR:  relation \"x\" does not exist");
  ASSERT_TRUE(line.has_value());
  EXPECT_EQ(line->pid, "42");
  EXPECT_EQ(line->user, "app user");
  EXPECT_EQ(line->database, "shop");
  EXPECT_EQ(line->severity, "ERROR");
  EXPECT_EQ(line->message, "relation \"x\" does not exist");
  EXPECT_FALSE(ParsePostgres("2026/11/23 [x] something: else").has_value());
}

TEST_F(LogsTest, LevelOfAMessageOfSeveralLines_HoldsForAllOfThem) {
  Source a = MakeSource("a");
  std::string head = "2026-11-23 16:00:00.123 UTC [42] u@d ";
  ASSERT_TRUE(WriteFileAtomically(a.directory + "/current.log",
                                  Line(1, head + "LOG:  fine") + Line(2, "\tsecond line") +
                                      Line(3, head + "ERROR:  bad") + Line(4, head + "DETAIL:  why") +
                                      Line(5, "\twhere") + Line(6, head + "LOG:  fine"))
                  .ok());
  std::vector<std::string> texts = Texts({.sources = {a}, .level = "error"});
  EXPECT_EQ(texts, (std::vector<std::string>{head + "ERROR:  bad", head + "DETAIL:  why", "\twhere"}));
}

TEST_F(LogsTest, TailOfWhatAFilterLeaves_IsTheSameAsTheEndOfAll) {
  Source a = MakeSource("a"), b = MakeSource("b");
  auto time = [](int i) {
    return absl::FormatTime("%Y-%m-%dT%H:%M:%E9SZ", absl::FromUnixSeconds(1'795'000'000) + absl::Milliseconds(i),
                            absl::UTCTimeZone());
  };
  std::string of_a, of_b;
  for (int i = 0; i < 30000; ++i) {
    const char* kind = i % 9973 == 0 ? "rare" : i % 100 == 0 ? "some" : "usual";
    (i % 3 == 0 ? of_b : of_a) += time(i) + " stdout F " + kind + " " + std::to_string(i) + "\n";
  }
  ASSERT_TRUE(WriteFileAtomically(a.directory + "/current.log", of_a).ok());
  ASSERT_TRUE(WriteFileAtomically(b.directory + "/current.log", of_b).ok());
  for (const char* expression : {"^rare", "^some", "^usual", "^some .*00$", "^none"}) {
    std::vector<std::string> all = Texts({.sources = {a, b}, .grep = expression});
    for (int tail : {0, 1, 2, 3, 50, 1000, 100000}) {
      size_t first = all.size() > static_cast<size_t>(tail) ? all.size() - static_cast<size_t>(tail) : 0;
      std::vector<std::string> end(all.begin() + static_cast<std::ptrdiff_t>(first), all.end());
      EXPECT_EQ(Texts({.sources = {a, b}, .tail = tail, .grep = expression}), end) << expression << " " << tail;
    }
  }
}

TEST_F(LogsTest, StreamAndRunOfASource_AreChosen) {
  Source a = MakeSource("a");
  std::string text = Line(1, "out 1") + Line(2, "out 2") + Line(3, "out 3");
  std::string error = Line(2, "err 2");
  error.replace(error.find("stdout"), 6, "stderr");
  ASSERT_TRUE(WriteFileAtomically(a.directory + "/current.log", Line(1, "out 1") + error + Line(3, "out 3")).ok());
  EXPECT_EQ(Texts({.sources = {a}, .stream = "stderr"}), std::vector<std::string>{"err 2"});
  EXPECT_FALSE(Stream::Open({.sources = {a}, .stream = "stdin"}).ok());
  absl::Time base;
  ASSERT_TRUE(absl::ParseTime(absl::RFC3339_full, "2026-11-23T16:00:00Z", &base, nullptr));
  a.since = base + absl::Seconds(2);
  a.until = base + absl::Seconds(3);
  EXPECT_EQ(Texts({.sources = {a}}), std::vector<std::string>{"err 2"});
  EXPECT_EQ(Texts({.sources = {a}, .tail = 5}), std::vector<std::string>{"err 2"});
}

TEST_F(LogsTest, WhenASourceWasQuiet_ItsNewRecordComesBeforeNewerOnesOfOthers) {
  Source a = MakeSource("a"), b = MakeSource("b");
  absl::Time soon = absl::Now() + absl::Minutes(1);
  auto line = [&](int second, const std::string& text) {
    return absl::StrCat(absl::FormatTime("%Y-%m-%dT%H:%M:%E9SZ", soon + absl::Seconds(second), absl::UTCTimeZone()),
                        " stdout F ", text, "\n");
  };
  ASSERT_TRUE(WriteFileAtomically(a.directory + "/current.log", line(1, "a1") + line(3, "a3")).ok());
  auto stream = *Stream::Open({.sources = {a, b}});
  EXPECT_EQ((*stream->Next(1))[0].text, "a1");
  ASSERT_TRUE(WriteFileAtomically(b.directory + "/current.log", line(2, "b2")).ok());
  EXPECT_EQ((*stream->Next(1))[0].text, "b2");
  EXPECT_EQ((*stream->Next(1))[0].text, "a3");
}

TEST_F(LogsTest, WhenACursorIsDamaged_SaysSo) {
  for (const char* cursor : {"2", "1;", "1;x", "1;a=1:2", "1;a=1:2:x", "1;a=1:-2:3", "1;a=1:2:3:4"}) {
    EXPECT_EQ(Stream::Open({.sources = {MakeSource("a")}, .cursor = cursor}).status().code(),
              absl::StatusCode::kInvalidArgument)
        << cursor;
  }
  EXPECT_TRUE(Stream::Open({.sources = {MakeSource("a")}, .cursor = "1;gone=1:2:3"}).ok());
}

TEST_F(LogsTest, TextForm_HasWhatTheRecordsHave) {
  Source a = MakeSource("a"), b = MakeSource("b");
  ASSERT_TRUE(WriteFileAtomically(a.directory + "/current.log", Line(1, "a1") + Line(3, "a3")).ok());
  ASSERT_TRUE(WriteFileAtomically(b.directory + "/current.log", Line(2, "b2")).ok());
  auto text = [&](TextForm form, size_t bytes) {
    absl::StatusOr<std::unique_ptr<Stream>> stream = Stream::Open({.sources = {a, b}});
    std::string out;
    TextBuffer chunk;
    while (*(*stream)->NextText(form, bytes, &chunk) > 0) {
      out += std::string(chunk.view()) + "|";
      chunk.Clear();
    }
    return out;
  };
  EXPECT_EQ(text({}, 10000),
            "16:00:01.000 a                a1\n16:00:02.000 b                b2\n"
            "16:00:03.000 a                a3\n|");
  EXPECT_EQ(text({.today = absl::CivilDay(2026, 11, 23)}, 1), text({}, 1));
  EXPECT_EQ(text({.today = absl::CivilDay(2026, 11, 24)}, 1).substr(0, 44),
            "2026-11-23 16:00:01.000 a                a1\n");
  EXPECT_EQ(text({.utc = true}, 1),
            "2026-11-23T16:00:01.000000Z a                a1\n|2026-11-23T16:00:02.000000Z b       "
            "         b2\n|2026-11-23T16:00:03.000000Z a                a3\n|");
  EXPECT_EQ(text({.prefix = false}, 4), "a1\nb2\n|a3\n|");
}

}  // namespace
}  // namespace mg::logs
