#include <poll.h>
#include <re2/re2.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <deque>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/fs/fs.h"
#include "common/logs/log_files.h"
#include "common/logs/source_reader.h"
#include "common/status/status.h"

namespace mg::logs {
namespace {

int LevelRank(const std::string& level) {
  return level == "debug" ? 1 : level == "info" ? 2 : level == "warn" ? 3 : level == "error" ? 4 : 0;
}

class StreamImpl final : public Stream {
 public:
  explicit StreamImpl(Query query) : query_(std::move(query)) {}

  absl::Status Start() {
    if (!query_.grep.empty()) {
      grep_ = std::make_unique<RE2>(query_.grep, RE2::Quiet);
      if (!grep_->ok()) {
        return absl::InvalidArgumentError(
            absl::StrCat("'", query_.grep, "' is not a regular expression: ", grep_->error()));
      }
    }
    if (!query_.level.empty() && LevelRank(query_.level) == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", query_.level, "' is not a level: debug, info, warn or error"));
    }
    stop_.Reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    // Watched before the files are read: what comes in between is seen by one or the other.
    if (query_.follow) {
      watch_.Reset(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
      WatchDirectories();
    }
    for (const Source& source : query_.sources) {
      readers_.push_back(std::make_unique<SourceReader>(source));
    }
    if (!query_.cursor.empty()) {
      MG_RETURN_IF_ERROR(SeekCursor());
    } else if (query_.tail.has_value() && grep_ == nullptr && query_.level.empty() &&
               query_.until == absl::InfiniteFuture()) {
      for (auto& reader : readers_) {
        reader->SeekTail(*query_.tail);
      }
    } else {
      for (auto& reader : readers_) {
        reader->SeekTime(query_.since);
      }
    }
    if (query_.tail.has_value() && query_.cursor.empty()) {
      ReadTail();
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<Record>> Next(size_t limit) override {
    std::vector<Record> batch;
    while (!held_.empty() && batch.size() < limit) {
      batch.push_back(std::move(held_.front()));
      held_.pop_front();
    }
    for (;;) {
      if (cancelled_) {
        return absl::CancelledError("the log stream was ended");
      }
      while (batch.size() < limit) {
        std::optional<Record> record = NextMerged();
        if (!record.has_value()) {
          break;
        }
        batch.push_back(*std::move(record));
      }
      if (!batch.empty() || !query_.follow) {
        return batch;
      }
      Wait();
    }
  }

  std::string cursor() const override {
    std::string text = "1";
    for (const auto& reader : readers_) {
      auto [inode, offset] = reader->position();
      absl::StrAppend(&text, ";", reader->source().name, "=", inode, ":", offset);
    }
    return text;
  }

  void Cancel() override {
    cancelled_ = true;
    std::uint64_t one = 1;
    (void)!::write(stop_.get(), &one, sizeof one);
  }

 private:
  bool Wanted(Record* record) const {
    if (record->time < query_.since) {
      return false;
    }
    record->level = ParseLevel(record->text);
    if (!query_.level.empty() && !record->level.empty() && LevelRank(record->level) < LevelRank(query_.level)) {
      return false;
    }
    return grep_ == nullptr || RE2::PartialMatch(record->text, *grep_);
  }

  std::optional<Record> NextMerged() {
    for (;;) {
      SourceReader* first = nullptr;
      absl::Time time;
      for (auto& reader : readers_) {
        const Record* record = reader->Peek();
        if (record != nullptr && (first == nullptr || record->time < time)) {
          first = reader.get();
          time = record->time;
        }
      }
      if (first == nullptr || time >= query_.until) {
        return std::nullopt;
      }
      Record record = *first->Peek();
      first->Take();
      if (Wanted(&record)) {
        return record;
      }
    }
  }

  void ReadTail() {
    auto limit = static_cast<size_t>(*query_.tail);
    while (std::optional<Record> record = NextMerged()) {
      held_.push_back(*std::move(record));
      if (held_.size() > limit) {
        held_.pop_front();
      }
    }
  }

  absl::Status SeekCursor() {
    std::vector<std::string> parts = absl::StrSplit(query_.cursor, ';');
    if (parts[0] != "1") {
      return absl::InvalidArgumentError("the cursor is not one of ours");
    }
    for (auto& reader : readers_) {
      bool found = false;
      for (const std::string& part : parts) {
        std::uint64_t inode = 0;
        std::int64_t offset = 0;
        std::vector<std::string> numbers = absl::StrSplit(part.substr(std::min(part.size(), part.rfind('=') + 1)), ':');
        if (absl::StartsWith(part, absl::StrCat(reader->source().name, "=")) && numbers.size() == 2 &&
            absl::SimpleAtoi(numbers[0], &inode) && absl::SimpleAtoi(numbers[1], &offset) && inode != 0) {
          reader->SeekPosition(inode, offset);
          found = true;
        }
      }
      if (!found) {
        reader->SeekTime(query_.since);
      }
    }
    return absl::OkStatus();
  }

  void WatchDirectories() {
    for (const Source& source : query_.sources) {
      // A component that was never started has no directory yet; its parent tells when it comes.
      for (const std::string& directory : {source.directory, DirName(source.directory)}) {
        if (::inotify_add_watch(watch_.get(), directory.c_str(), IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM) >=
            0) {
          break;
        }
      }
    }
  }

  void Wait() {
    pollfd fds[] = {{watch_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    ::poll(fds, 2, -1);
    char events[16384];
    bool created = false;
    ssize_t n = 0;
    while ((n = ::read(watch_.get(), events, sizeof events)) > 0) {
      for (char* at = events; at < events + n;) {
        auto* event = reinterpret_cast<inotify_event*>(at);
        created |= (event->mask & IN_CREATE) != 0;
        at += sizeof(inotify_event) + event->len;
      }
    }
    if (created) {
      WatchDirectories();
    }
  }

  const Query query_;
  std::unique_ptr<RE2> grep_;
  UniqueFd watch_, stop_;
  std::atomic<bool> cancelled_ = false;
  std::vector<std::unique_ptr<SourceReader>> readers_;
  std::deque<Record> held_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Stream>> Stream::Open(Query query) {
  auto stream = std::make_unique<StreamImpl>(std::move(query));
  MG_RETURN_IF_ERROR(stream->Start());
  return stream;
}

}  // namespace mg::logs
