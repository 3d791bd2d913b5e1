#include "agentd/events/event_log.h"

#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/status/status.h"
#include "common/text/utf8.h"

namespace mg::events {

EventLog::EventLog() : epoch_(absl::StrCat(absl::Hex(absl::ToUnixMicros(absl::Now())))), feed_(kKept) {}

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
    return event;
  });
}

absl::StatusOr<std::int64_t> EventLog::Position(const std::string& cursor) const {
  std::vector<std::string> parts = absl::StrSplit(cursor, '-');
  std::int64_t sequence = 0;
  if (parts.size() != 2 || parts[0].empty() || !absl::SimpleAtoi(parts[1], &sequence) || sequence < 0) {
    return MakeError(absl::StatusCode::kInvalidArgument, absl::StrCat("\"", cursor, "\" is not an event cursor"),
                     {.reason = "BAD_CURSOR", .hint = "take a cursor that an event had, or leave it out"});
  }
  return parts[0] == epoch_ ? sequence : 0;
}

}  // namespace mg::events
