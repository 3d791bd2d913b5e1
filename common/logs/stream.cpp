#include <poll.h>
#include <re2/re2.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <deque>
#include <map>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/fs/fs.h"
#include "common/logs/log_files.h"
#include "common/logs/source_reader.h"
#include "common/logs/text_writer.h"
#include "common/status/status.h"

namespace mg::logs {
namespace {

constexpr std::uint32_t kWatched = IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF;
constexpr absl::Duration kBlindPeriod = absl::Milliseconds(100);
/// In a burst, what comes within this time is given at once: the first line of it never waits.
constexpr absl::Duration kGather = absl::Milliseconds(2);

/// ToUnixNanos makes kNoTime of InfinitePast, and the last of all of InfiniteFuture.
std::int64_t Nanos(absl::Time time) { return absl::ToUnixNanos(time); }

class StreamImpl final : public Stream {
 public:
  explicit StreamImpl(Query query)
      : query_(std::move(query)), since_(Nanos(query_.since)), until_(Nanos(query_.until)) {}

  absl::Status Start() {
    if (!query_.grep.empty()) {
      grep_ = std::make_unique<RE2>(query_.grep, RE2::Quiet);
      if (!grep_->ok()) {
        return absl::InvalidArgumentError(
            absl::StrCat("'", query_.grep, "' is not a regular expression: ", grep_->error()));
      }
    }
    if (!query_.level.empty()) {
      std::optional<Level> level = LevelOfName(query_.level);
      if (!level.has_value()) {
        return absl::InvalidArgumentError(
            absl::StrCat("'", query_.level, "' is not a level: debug, info, warn or error"));
      }
      least_ = *level;
    }
    if (!query_.stream.empty() && query_.stream != "stdout" && query_.stream != "stderr") {
      return absl::InvalidArgumentError(absl::StrCat("'", query_.stream, "' is not a stream: stdout or stderr"));
    }
    stop_.Reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    // Watched before the files are read: what comes in between is seen by one or the other.
    if (query_.follow) {
      watch_.Reset(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
      WatchDirectories();
    }
    readers_.reserve(query_.sources.size());
    for (const Source& source : query_.sources) {
      readers_.emplace_back(source);
      name_width_ = std::max(name_width_, source.name.size());
    }
    tail_wanted_ = query_.tail.has_value() && query_.cursor.empty();
    if (tail_wanted_) {
      (void)SeekTails(FirstWindow());
      return absl::OkStatus();
    }
    if (query_.cursor.empty()) {
      for (Reader& reader : readers_) {
        reader.files.SeekTime(std::max(since_, reader.since));
      }
    } else {
      MG_RETURN_IF_ERROR(SeekCursor());
    }
    for (Reader& reader : readers_) {
      reader.given = reader.files.Here();
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<Record>> Next(size_t limit) override {
    std::vector<Record> batch;
    MG_RETURN_IF_ERROR(Pull([&](Reader& reader, const Line& line, Level level) {
      Record& record = batch.emplace_back();
      record.time = absl::FromUnixNanos(line.nanos);
      record.source = reader.files.source().name;
      record.stream = line.is_stderr ? "stderr" : "stdout";
      record.text = std::string(line.text);
      record.level = level;
      if (query_.cursors) {
        record.cursor = cursor();
      }
      return batch.size() < limit;
    }));
    return batch;
  }

  absl::StatusOr<size_t> NextText(const TextForm& form, size_t bytes, TextBuffer* out) override {
    if (text_ == nullptr) {
      text_ = std::make_unique<TextWriter>(form, std::max<size_t>(name_width_, kLeastNameWidth));
      for (Reader& reader : readers_) {
        reader.label = text_->Label(reader.files.source().name);
      }
    }
    size_t count = 0;
    (void)out->Room(bytes + kReserve);
    MG_RETURN_IF_ERROR(Pull([&](Reader& reader, const Line& line, Level) {
      text_->Append(line, reader.label, out);
      ++count;
      return out->size() < bytes;
    }));
    return count;
  }

  bool TakeGap() override {
    bool any = false;
    for (Reader& reader : readers_) {
      any |= reader.files.TakeGap();
    }
    return any;
  }

  std::string cursor() const override {
    std::string text = "1";
    for (const Reader& reader : readers_) {
      absl::StrAppend(&text, ";", reader.files.source().name, "=", reader.given.inode, ":", reader.given.offset, ":",
                      reader.given.nanos);
    }
    return text;
  }

  void Cancel() override {
    cancelled_ = true;
    std::uint64_t one = 1;
    (void)!::write(stop_.get(), &one, sizeof one);
  }

 private:
  static constexpr size_t kLeastNameWidth = 16;
  static constexpr size_t kReserve = 4096;
  // Lines of each source.
  static constexpr int kLeastWindow = 4096, kWindowGrowth = 16, kMostWindow = 1 << 30;

  struct Reader {
    explicit Reader(const Source& source) : files(source), since(Nanos(source.since)), until(Nanos(source.until)) {}
    SourceReader files;
    std::int64_t since, until;
    std::string label;  ///< its name, as text has it
    /// When it was found to have no more; what comes later is newer. kNoTime: it is to be looked at.
    std::int64_t looked = kNoTime;
    std::int64_t first = kNoTime;                    ///< of the tail that is looked at
    Position given;                                  ///< behind what was given to the caller
    Level before[2] = {Level::kNone, Level::kNone};  ///< of the last line of each stream
  };

  /// A record that waits, and where its source goes on behind it.
  struct Held {
    size_t reader = 0;
    std::int64_t nanos = 0;
    bool is_stderr = false;
    Level level = Level::kNone;
    std::string stamp, text;
    Position behind;
  };

  bool Wanted(Reader* reader, const Line& line, Level* level) {
    Level& before = reader->before[line.is_stderr ? 1 : 0];
    // The level is made even for what is left out: the next line may go with this one.
    if (text_ == nullptr || least_ != Level::kNone) {
      before = *level = ScanLevel(line.text, before);
    }
    if (line.nanos < since_ || line.nanos < reader->since) {
      return false;
    }
    if (least_ != Level::kNone && *level != Level::kNone && *level < least_) {
      return false;
    }
    if (!query_.stream.empty() && (query_.stream == "stderr") != line.is_stderr) {
      return false;
    }
    return grep_ == nullptr || RE2::PartialMatch(re2::StringPiece(line.text.data(), line.text.size()), *grep_);
  }

  void LookAtAll() {
    for (Reader& reader : readers_) {
      reader.looked = kNoTime;
    }
  }

  /// Peek, but a look at files that had no more costs system calls: not for each record of the others.
  static const Line* Look(Reader* reader) {
    const Line* peeked = reader->files.Peek();
    reader->looked = peeked == nullptr ? absl::GetCurrentTimeNanos() : kNoTime;
    return peeked;
  }

  /// The reader with the earliest record; none: the present end, or `until`.
  Reader* Earliest(const Line** line) {
    for (;;) {
      Reader* first = nullptr;
      for (Reader& reader : readers_) {
        const Line* peeked = reader.looked == kNoTime ? Look(&reader) : nullptr;
        if (peeked != nullptr && peeked->nanos < reader.until && (first == nullptr || peeked->nanos < (*line)->nanos)) {
          first = &reader;
          *line = peeked;
        }
      }
      if (first == nullptr || (*line)->nanos >= until_) {
        return nullptr;
      }
      // What a quiet source has got since may be older than this record.
      bool again = false;
      for (Reader& reader : readers_) {
        again |= reader.looked != kNoTime && reader.looked <= (*line)->nanos && Look(&reader) != nullptr;
      }
      if (!again) {
        return first;
      }
    }
  }

  /// Gives records to `sink(reader, line, level)` until that says false, or until there are none now and some were
  /// given. While following it waits for the first.
  template <typename Sink>
  absl::Status Pull(Sink sink) {
    if (tail_wanted_) {
      ReadTail();
      tail_wanted_ = false;
    }
    LookAtAll();  // each is looked at once for a batch, whatever the clocks say
    bool any = false;
    while (!held_.empty()) {
      any = true;
      Held held = std::move(held_.front());
      held_.pop_front();
      Reader& reader = readers_[held.reader];
      reader.given = held.behind;
      if (!sink(reader, Line{.nanos = held.nanos, .stamp = held.stamp, .is_stderr = held.is_stderr, .text = held.text},
                held.level)) {
        return absl::OkStatus();
      }
    }
    while (!cancelled_) {
      const Line* line = nullptr;
      Reader* reader = Earliest(&line);
      if (reader == nullptr) {
        if (any || !query_.follow || absl::Now() >= query_.until) {
          return absl::OkStatus();
        }
        Wait();
        LookAtAll();
        continue;
      }
      Level level = Level::kNone;
      bool wanted = Wanted(reader, *line, &level);
      reader->given = reader->files.position();
      reader->files.Take();
      any |= wanted;
      if (wanted && !sink(*reader, *line, level)) {
        return absl::OkStatus();
      }
    }
    return any ? absl::OkStatus() : absl::CancelledError("the log stream was ended");
  }

  /// How many lines of each source are looked at first for the tail: where all are wanted, that is enough.
  int FirstWindow() const {
    bool all = grep_ == nullptr && least_ == Level::kNone && query_.stream.empty() &&
               query_.until == absl::InfiniteFuture() &&
               std::all_of(query_.sources.begin(), query_.sources.end(),
                           [](const Source& source) { return source.until == absl::InfiniteFuture(); });
    return all ? std::max(*query_.tail, 0) : std::max(std::min(*query_.tail, kMostWindow / 4) * 4, kLeastWindow);
  }

  /// Begins with the last `lines` lines of each source. True: there is nothing before them that could be wanted.
  bool SeekTails(int lines) {
    bool whole = true;
    for (Reader& reader : readers_) {
      reader.before[0] = reader.before[1] = Level::kNone;
      reader.looked = kNoTime;
      bool all = reader.files.SeekTail(lines);
      reader.given = reader.files.Here();
      const Line* first = reader.files.Peek();
      reader.first = first == nullptr ? kNoTime : first->nanos;
      whole &= all || reader.first <= std::max(since_, reader.since);
    }
    return whole;
  }

  /// Fills held_ with the last of those that are wanted. A filter may leave out most lines, so ever more of the logs'
  /// ends is looked at: never all of a large log for a few lines that are near its end.
  void ReadTail() {
    auto wanted = static_cast<size_t>(std::max(*query_.tail, 0));
    int window = FirstWindow();
    bool whole = static_cast<size_t>(window) <= wanted;
    while (!cancelled_) {
      CollectTail(wanted);
      // What was not looked at is older than what was.
      bool enough = held_.size() >= wanted && std::all_of(readers_.begin(), readers_.end(), [&](const Reader& reader) {
                      return held_.empty() || reader.first <= held_.front().nanos;
                    });
      if (whole || enough) {
        return;
      }
      held_.clear();
      window = window > kMostWindow / kWindowGrowth ? kMostWindow : window * kWindowGrowth;
      whole = SeekTails(window) || window == kMostWindow;
    }
  }

  void CollectTail(size_t limit) {
    const Line* line = nullptr;
    while (Reader* reader = cancelled_ ? nullptr : Earliest(&line)) {
      Level level = Level::kNone;
      if (Wanted(reader, *line, &level)) {
        held_.push_back({.reader = static_cast<size_t>(reader - readers_.data()),
                         .nanos = line->nanos,
                         .is_stderr = line->is_stderr,
                         .level = level,
                         .stamp = std::string(line->stamp),
                         .text = std::string(line->text),
                         .behind = reader->files.position()});
      }
      if (held_.size() > limit) {
        readers_[held_.front().reader].given = held_.front().behind;
        held_.pop_front();
      }
      reader->files.Take();
    }
  }

  /// `1;name=inode:offset:nanos;…`. Names of components that are not asked for now are passed over.
  absl::Status SeekCursor() {
    std::map<std::string, Position> positions;
    std::vector<std::string> parts = absl::StrSplit(query_.cursor, ';');
    bool good = parts[0] == "1";
    for (size_t i = 1; i < parts.size() && good; ++i) {
      size_t equals = std::min(parts[i].rfind('='), parts[i].size());
      std::vector<std::string> numbers = absl::StrSplit(parts[i].substr(equals), ':');
      Position& position = positions[parts[i].substr(0, equals)];
      good = numbers.size() == 3 &&
             absl::SimpleAtoi(numbers[0].substr(std::min<size_t>(numbers[0].size(), 1)), &position.inode) &&
             absl::SimpleAtoi(numbers[1], &position.offset) && absl::SimpleAtoi(numbers[2], &position.nanos) &&
             position.offset >= 0;
    }
    if (!good) {
      return MakeError(absl::StatusCode::kInvalidArgument, "the cursor is not one of ours",
                       {.reason = "BAD_CURSOR", .hint = "give it as 'logs --json' wrote it, whole"});
    }
    for (Reader& reader : readers_) {
      auto found = positions.find(reader.files.source().name);
      if (found != positions.end()) {
        reader.files.SeekPosition(found->second);
      } else {
        reader.files.SeekTime(std::max(since_, reader.since));
      }
    }
    return absl::OkStatus();
  }

  void WatchDirectories() {
    blind_ = !watch_.valid();
    for (const Source& source : query_.sources) {
      // A component that was never started has no directory yet; the nearest one above tells when it comes.
      std::string directory = source.directory;
      while (::inotify_add_watch(watch_.get(), directory.c_str(), kWatched) < 0) {
        if (errno != ENOENT || directory == "/" || directory == ".") {
          blind_ = true;  // the user has no watches left: look from time to time
          break;
        }
        directory = DirName(directory);
      }
    }
  }

  void Wait() {
    pollfd fds[] = {{stop_.get(), POLLIN, 0}, {watch_.get(), POLLIN, 0}};
    absl::Time began = absl::Now();
    if (began - woken_ < kGather) {
      // A busy writer: not for each of its lines once through all of this.
      ::poll(fds, 1, static_cast<int>(kGather / absl::Milliseconds(1)));
    }
    absl::Duration bound = std::min(query_.until - began, blind_ ? kBlindPeriod : absl::Hours(1));
    ::poll(fds, 2, static_cast<int>(absl::ToInt64Milliseconds(std::max(bound, absl::ZeroDuration()))) + 1);
    woken_ = absl::Now();
    alignas(inotify_event) char events[16384];
    bool changed = blind_;
    ssize_t n = 0;
    while ((n = ::read(watch_.get(), events, sizeof events)) > 0) {
      for (char* at = events; at < events + n;) {
        auto* event = reinterpret_cast<inotify_event*>(at);
        changed |= (event->mask & ~static_cast<std::uint32_t>(IN_MODIFY)) != 0;
        at += sizeof(inotify_event) + event->len;
      }
    }
    if (changed) {
      WatchDirectories();
    }
  }

  const Query query_;
  const std::int64_t since_, until_;
  Level least_ = Level::kNone;
  std::unique_ptr<RE2> grep_;
  std::unique_ptr<TextWriter> text_;
  UniqueFd watch_, stop_;
  std::atomic<bool> cancelled_ = false;
  std::vector<Reader> readers_;
  size_t name_width_ = 0;
  std::deque<Held> held_;
  absl::Time woken_ = absl::InfinitePast();
  bool tail_wanted_ = false;
  bool blind_ = false;  ///< inotify does not tell us all
};

}  // namespace

absl::StatusOr<std::unique_ptr<Stream>> Stream::Open(Query query) {
  auto stream = std::make_unique<StreamImpl>(std::move(query));
  MG_RETURN_IF_ERROR(stream->Start());
  return stream;
}

}  // namespace mg::logs
