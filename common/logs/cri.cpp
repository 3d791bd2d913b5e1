#include "common/logs/cri.h"

#include <cstring>

namespace mg::logs {
namespace {

constexpr std::int64_t kNanos = 1'000'000'000;
constexpr int kFraction = 9;  ///< digits

/// The number that `count` digits make, or -1.
std::int64_t Digits(const char* at, int count) {
  std::int64_t value = 0;
  for (int i = 0; i < count; ++i) {
    auto digit = static_cast<unsigned>(at[i] - '0');
    if (digit > 9) {
      return -1;
    }
    value = value * 10 + digit;
  }
  return value;
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar; years begin in March, so that the leap day is
/// their last.
std::int64_t DaysOf(std::int64_t year, std::int64_t month, std::int64_t day) {
  year -= month <= 2 ? 1 : 0;
  std::int64_t march_month = month > 2 ? month - 3 : month + 9;
  std::int64_t day_of_year = (153 * march_month + 2) / 5 + day - 1;
  return year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719468;
}

}  // namespace

std::int64_t CriTime(absl::string_view line) {
  if (line.size() < kStampSize || line[4] != '-' || line[7] != '-' || line[10] != 'T' || line[13] != ':' ||
      line[16] != ':' || line[19] != '.' || line[29] != 'Z') {
    return kNoTime;
  }
  const char* at = line.data();
  std::int64_t year = Digits(at, 4), month = Digits(at + 5, 2), day = Digits(at + 8, 2), hour = Digits(at + 11, 2),
               minute = Digits(at + 14, 2), second = Digits(at + 17, 2), nanos = Digits(at + 20, kFraction);
  // Nanoseconds since 1970 reach from 1678 to 2262.
  if (year < 1700 || year > 2261 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 || hour > 23 ||
      minute < 0 || minute > 59 || second < 0 || second > 60 || nanos < 0) {
    return kNoTime;
  }
  return (((DaysOf(year, month, day) * 24 + hour) * 60 + minute) * 60 + second) * kNanos + nanos;
}

std::int64_t CriClock::Time(absl::string_view line) {
  if (second_ != kNoTime && line.size() >= kStampSize && std::memcmp(line.data(), head_, kHead) == 0 &&
      line[kStampSize - 1] == 'Z') {
    std::int64_t nanos = Digits(line.data() + kHead, kFraction);
    return nanos < 0 ? kNoTime : second_ + nanos;
  }
  std::int64_t time = CriTime(line);
  if (time != kNoTime) {
    std::memcpy(head_, line.data(), kHead);
    second_ = time - Digits(line.data() + kHead, kFraction);
  }
  return time;
}

bool ParseCri(absl::string_view line, CriClock* clock, CriLine* out) {
  // 2026-11-23T16:00:00.123456789Z stdout F text
  if (line.size() < kStampSize + 10 || line[kStampSize] != ' ' || line[kStampSize + 7] != ' ' ||
      line[kStampSize + 9] != ' ') {
    return false;
  }
  absl::string_view stream = line.substr(kStampSize + 1, 6);
  char flag = line[kStampSize + 8];
  if ((stream != "stdout" && stream != "stderr") || (flag != 'F' && flag != 'P')) {
    return false;
  }
  out->nanos = clock->Time(line);
  out->stamp = line.substr(0, kStampSize);
  out->is_stderr = stream[3] == 'e';
  out->complete = flag == 'F';
  out->text = line.substr(kStampSize + 10);
  return out->nanos != kNoTime;
}

}  // namespace mg::logs
