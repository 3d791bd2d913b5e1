#include "cli/output/relative.h"

#include <google/protobuf/timestamp.pb.h>

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace mg::cli {

std::string Relative(absl::Time moment, absl::Time now) {
  const absl::Duration distance = absl::AbsDuration(moment - now);
  const std::int64_t seconds = absl::ToInt64Seconds(distance);
  if (seconds == 0) {
    return "just now";
  }
  struct Unit {
    std::int64_t seconds;
    const char* name;
  };
  for (const Unit& unit :
       {Unit{365 * 86400, "year"}, Unit{86400, "day"}, Unit{3600, "hour"}, Unit{60, "minute"}, Unit{1, "second"}}) {
    if (seconds >= unit.seconds) {
      const std::int64_t count = seconds / unit.seconds;
      const std::string length = absl::StrCat(count, " ", unit.name, count == 1 ? "" : "s");
      return moment > now ? absl::StrCat("in ", length) : absl::StrCat(length, " ago");
    }
  }
  return "just now";
}

std::string Relative(const google::protobuf::Timestamp& moment, const std::string& none) {
  return moment.seconds() == 0 ? none : Relative(absl::FromUnixSeconds(moment.seconds()), absl::Now());
}

}  // namespace mg::cli
