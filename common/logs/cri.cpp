#include "common/logs/cri.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/time/civil_time.h"

namespace mg::logs {
namespace {

constexpr size_t kTimeSize = 30;  // 2026-11-23T16:00:00.123456789Z

bool Digits(absl::string_view text, size_t at, size_t count, int* value) {
  *value = 0;
  for (size_t i = at; i < at + count; ++i) {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(text[i]))) {
      return false;
    }
    *value = *value * 10 + (text[i] - '0');
  }
  return true;
}

}  // namespace

absl::Time CriTime(absl::string_view line) {
  int year, month, day, hour, minute, second, nanos;
  if (line.size() < kTimeSize || line[10] != 'T' || line[19] != '.' || line[29] != 'Z' || !Digits(line, 0, 4, &year) ||
      !Digits(line, 5, 2, &month) || !Digits(line, 8, 2, &day) || !Digits(line, 11, 2, &hour) ||
      !Digits(line, 14, 2, &minute) || !Digits(line, 17, 2, &second) || !Digits(line, 20, 9, &nanos)) {
    return absl::InfinitePast();
  }
  return absl::FromCivil(absl::CivilSecond(year, month, day, hour, minute, second), absl::UTCTimeZone()) +
         absl::Nanoseconds(nanos);
}

bool ParseCri(absl::string_view line, CriLine* out) {
  out->time = CriTime(line);
  if (out->time == absl::InfinitePast() || line.size() < kTimeSize + 10 || line[kTimeSize] != ' ') {
    return false;
  }
  out->stream = line.substr(kTimeSize + 1, 6);
  absl::string_view rest = line.substr(kTimeSize + 7);
  if ((out->stream != "stdout" && out->stream != "stderr") || rest.size() < 3 || rest[0] != ' ' || rest[2] != ' ' ||
      (rest[1] != 'F' && rest[1] != 'P')) {
    return false;
  }
  out->complete = rest[1] == 'F';
  out->text = rest.substr(3);
  return true;
}

}  // namespace mg::logs
