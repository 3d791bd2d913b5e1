#include "agentd/events/event_log.h"

#include <fcntl.h>
#include <google/protobuf/util/json_util.h>
#include <unistd.h>

#include <cstdio>
#include <limits>
#include <optional>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/fs/fs.h"
#include "common/status/status.h"
#include "common/text/utf8.h"

namespace mg::events {
namespace {

using Event = EventLog::Event;

/// `<epoch>-<sequence>`.
std::optional<std::pair<std::string, std::int64_t>> SplitCursor(const std::string& cursor) {
  std::vector<std::string> parts = absl::StrSplit(cursor, '-');
  std::int64_t sequence = 0;
  if (parts.size() != 2 || parts[0].empty() || !absl::SimpleAtoi(parts[1], &sequence) || sequence < 0) {
    return std::nullopt;
  }
  return std::make_pair(parts[0], sequence);
}

/// Calls `take` with each whole event of a file.
template <typename Take>
void ReadEvents(const std::string& path, Take take) {
  absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) {
    return;
  }
  for (size_t begin = 0, end = 0; (end = text->find('\n', begin)) != std::string::npos; begin = end + 1) {
    Event event;
    google::protobuf::util::JsonParseOptions options;
    options.ignore_unknown_fields = true;
    std::string line = text->substr(begin, end - begin);
    if (!google::protobuf::util::JsonStringToMessage(line, &event, options).ok()) {
      continue;
    }
    if (auto cursor = SplitCursor(event.cursor())) {
      take(cursor->first, cursor->second, std::move(event));
    }
  }
}

}  // namespace

EventLog::EventLog(std::string directory, std::uint64_t file_bytes)
    : directory_(std::move(directory)),
      file_bytes_(file_bytes),
      epoch_(absl::StrCat(absl::Hex(absl::ToUnixMicros(absl::Now())))),
      feed_(kKept) {
  if (!directory_.empty()) {
    Load();
  }
}

std::string EventLog::PathOf(bool old) const { return JoinPath(directory_, old ? "events.1.jsonl" : "events.jsonl"); }

void EventLog::Load() {
  std::deque<Event> kept;
  std::int64_t last = 0;
  for (bool old : {true, false}) {
    ReadEvents(PathOf(old), [&](const std::string& epoch, std::int64_t sequence, Event event) {
      if (epoch != epoch_ || sequence != last + 1) {
        kept.clear();  // a gap: sequence numbers in memory have none
      }
      epoch_ = epoch;
      last = sequence;
      kept.push_back(std::move(event));
      if (kept.size() > kKept) {
        kept.pop_front();
      }
    });
  }
  feed_.Restore(std::move(kept), last);
  file_.Reset(::open(PathOf(false).c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  off_t size = file_.valid() ? ::lseek(file_.get(), 0, SEEK_END) : 0;
  written_ = size > 0 ? static_cast<std::uint64_t>(size) : 0;
  if (written_ > 0) {
    (void)!::write(file_.get(), "\n", 1);  // ends a line that a crash left unfinished; an empty one is skipped
    ++written_;
  }
}

void EventLog::Write(const Event& event) {
  std::string line;
  if (!file_.valid() || !google::protobuf::util::MessageToJsonString(event, &line).ok()) {
    return;
  }
  line += '\n';
  if (written_ + line.size() > file_bytes_ && ::rename(PathOf(false).c_str(), PathOf(true).c_str()) == 0) {
    file_.Reset(::open(PathOf(false).c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    written_ = 0;
  }
  ssize_t count = file_.valid() ? ::write(file_.get(), line.data(), line.size()) : -1;
  if (count == static_cast<ssize_t>(line.size())) {
    written_ += line.size();
  } else if (count > 0) {
    (void)!::ftruncate(file_.get(), static_cast<off_t>(written_));  // half an event would spoil the next one
  }
}

void EventLog::Add(const std::string& cluster, const std::string& component, const std::string& type,
                   const std::string& message, absl::Duration duration) {
  feed_.Append([&](std::int64_t sequence) {
    Event event;
    event.set_cursor(absl::StrCat(epoch_, "-", sequence));
    timespec now = absl::ToTimespec(absl::Now());
    event.mutable_time()->set_seconds(now.tv_sec);
    event.mutable_time()->set_nanos(static_cast<int>(now.tv_nsec));
    event.set_cluster(cluster);
    event.set_component(component);
    event.set_type(type);
    event.set_message(text::ToValidUtf8(message));
    if (duration > absl::ZeroDuration()) {
      timespec took = absl::ToTimespec(duration);
      event.mutable_duration()->set_seconds(took.tv_sec);
      event.mutable_duration()->set_nanos(static_cast<int>(took.tv_nsec));
    }
    Write(event);
    return event;
  });
}

absl::StatusOr<std::int64_t> EventLog::Position(const std::string& cursor) const {
  auto parts = SplitCursor(cursor);
  if (!parts) {
    return MakeError(absl::StatusCode::kInvalidArgument, absl::StrCat("\"", cursor, "\" is not an event cursor"),
                     {.reason = "BAD_CURSOR", .hint = "take a cursor that an event had, or leave it out"});
  }
  return parts->first == epoch_ ? parts->second : 0;
}

Feed<EventLog::Event>::Batch EventLog::ReadAfter(std::int64_t after, size_t limit) const {
  Feed<Event>::Batch batch = feed_.ReadAfter(after, limit);
  if (batch.missed == 0 || directory_.empty()) {
    return batch;
  }
  Feed<Event>::Batch older;
  std::int64_t first = after + batch.missed + 1;  // in memory
  for (bool old : {true, false}) {
    ReadEvents(PathOf(old), [&](const std::string& epoch, std::int64_t sequence, Event event) {
      if (epoch == epoch_ && sequence > after && sequence < first && older.items.size() < limit) {
        older.items.emplace_back(sequence, std::move(event));
      }
    });
  }
  if (older.items.empty()) {
    return batch;
  }
  older.missed = older.items.front().first - after - 1;
  return older;
}

std::int64_t EventLog::EndOfRemoved(const std::string& cluster) const {
  std::int64_t end = 0;
  for (std::int64_t after = 0;;) {
    const Feed<Event>::Batch batch = ReadAfter(after, std::numeric_limits<std::int32_t>::max());
    for (const auto& [sequence, event] : batch.items) {
      after = sequence;
      end = event.cluster() == cluster && event.type() == kRemoved ? sequence : end;
    }
    if (batch.items.empty()) {
      return end;
    }
  }
}

}  // namespace mg::events
