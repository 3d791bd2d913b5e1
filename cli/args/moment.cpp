#include "cli/args/moment.h"

#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status/status.h"

namespace mg::cli {
namespace {

/// Abseil's durations know no days and weeks.
std::optional<absl::Duration> ParseAgo(absl::string_view text) {
  absl::Duration sum;
  double count = 0;
  for (char unit : {'w', 'd'}) {
    size_t at = text.find(unit);
    if (at != absl::string_view::npos) {
      if (!absl::SimpleAtod(text.substr(0, at), &count) || count < 0) {
        return std::nullopt;
      }
      sum += count * absl::Hours(unit == 'w' ? 7 * 24 : 24);
      text.remove_prefix(at + 1);
      if (text.empty()) {
        return sum;
      }
    }
  }
  absl::Duration rest;
  if (!absl::ParseDuration(text, &rest) || rest < absl::ZeroDuration()) {
    return std::nullopt;
  }
  return sum + rest;
}

}  // namespace

absl::StatusOr<absl::Time> ParseMoment(const std::string& text, const std::string& flag, absl::Time now,
                                       absl::TimeZone zone) {
  std::string word = absl::AsciiStrToLower(text);
  absl::CivilDay today(absl::ToCivilDay(now, zone));
  if (word == "now") {
    return now;
  }
  if (word == "today" || word == "yesterday") {
    return absl::FromCivil(word == "today" ? today : today - 1, zone);
  }
  if (std::optional<absl::Duration> ago = ParseAgo(text); ago.has_value()) {
    return now - *ago;
  }
  absl::Time time;
  std::string error;
  // 14:30 is one of today.
  std::string whole = text.size() > 2 && text[2] == ':' ? absl::StrCat(absl::FormatCivilTime(today), " ", text) : text;
  for (const char* format : {absl::RFC3339_full, "%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%E*S", "%Y-%m-%dT%H:%M",
                             "%Y-%m-%dT%H:%M:%E*S"}) {
    if (absl::ParseTime(format, whole, zone, &time, &error)) {
      return time;
    }
  }
  return MakeError(absl::StatusCode::kInvalidArgument,
                   absl::StrCat("--", flag, ": '", text, "' is neither a duration nor a time"),
                   {.reason = "USAGE", .hint = "write 10m, 2d, yesterday, 14:30, '2026-01-31 14:30' or RFC 3339"});
}

}  // namespace mg::cli
