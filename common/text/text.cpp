#include "common/text/text.h"

#include <algorithm>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"

namespace mg::text {

int EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<std::vector<int>> d(a.size() + 1, std::vector<int>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) {
    d[i][0] = static_cast<int>(i);
  }
  for (size_t j = 0; j <= b.size(); ++j) {
    d[0][j] = static_cast<int>(j);
  }
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      int cost = a[i - 1] == b[j - 1] ? 0 : 1;
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + cost});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    }
  }
  return d[a.size()][b.size()];
}

namespace {

/// How many letters two words begin with alike.
size_t Shared(absl::string_view a, absl::string_view b) {
  return static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

}  // namespace

std::optional<std::string> Closest(absl::string_view word, const std::vector<std::string>& candidates) {
  int best = std::numeric_limits<int>::max();
  std::optional<std::string> result;
  bool begun = false;  // what was written so far is right: better than any other word of the same length
  for (const std::string& candidate : candidates) {
    // Of kind/cell only what is not right already counts: any cell is near to any other beside a long kind.
    const size_t same = absl::string_view(word.data(), Shared(word, candidate)).rfind('/');
    const size_t kept = same == absl::string_view::npos ? 0 : same + 1;
    const absl::string_view rest = word.substr(kept), other = absl::string_view(candidate).substr(kept);
    if (rest.size() >= 3 && absl::StartsWith(other, rest) && (!begun || candidate.size() < result->size())) {
      result = candidate;
      begun = true;
    }
    if (begun) {
      continue;
    }
    int distance = EditDistance(rest, other);
    // A word of two letters is two edits from everything.
    if (distance <= std::max<int>(2, static_cast<int>(rest.size()) / 3) && distance < best &&
        distance < static_cast<int>(other.size())) {
      best = distance;
      result = candidate;
    }
  }
  return result;
}

std::string HumanDuration(absl::Duration duration) {
  if (duration < absl::ZeroDuration()) {
    return absl::StrCat("-", HumanDuration(-duration));
  }
  double seconds = absl::ToDoubleSeconds(duration);
  if (seconds < 10) {
    return absl::StrFormat("%.1fs", seconds);
  }
  auto whole = static_cast<std::int64_t>(seconds);
  if (whole < 60) {
    return absl::StrFormat("%ds", whole);
  }
  if (whole < 3600) {
    return absl::StrFormat("%dm%02ds", whole / 60, whole % 60);
  }
  if (whole < 86400) {
    return absl::StrFormat("%dh%02dm", whole / 3600, whole % 3600 / 60);
  }
  return absl::StrFormat("%dd%dh", whole / 86400, whole % 86400 / 3600);
}

std::string HumanBytes(std::uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  return unit == 0    ? absl::StrFormat("%d B", bytes)
         : value < 10 ? absl::StrFormat("%.1f %s", value, kUnits[unit])
                      : absl::StrFormat("%.0f %s", value, kUnits[unit]);
}

namespace {

/// Length of the terminal escape sequence at the start of `text`; 0: none.
size_t EscapeLength(absl::string_view text) {
  if (text.size() < 2 || text[0] != '\033' || text[1] != '[') {
    return 0;
  }
  size_t i = 2;
  while (i < text.size() && !absl::ascii_isalpha(static_cast<unsigned char>(text[i]))) {
    ++i;
  }
  return std::min(i + 1, text.size());
}

size_t CodePointLength(absl::string_view text) {
  size_t i = 1;
  while (i < text.size() && (static_cast<unsigned char>(text[i]) & 0xC0) == 0x80) {
    ++i;
  }
  return i;
}

}  // namespace

int DisplayWidth(absl::string_view text) {
  int width = 0;
  while (!text.empty()) {
    if (size_t escape = EscapeLength(text); escape > 0) {
      text.remove_prefix(escape);
      continue;
    }
    text.remove_prefix(CodePointLength(text));
    ++width;
  }
  return width;
}

std::string Truncate(absl::string_view text, int width) {
  if (DisplayWidth(text) <= width) {
    return std::string(text);
  }
  std::string result;
  int used = 0;
  bool coloured = false;
  while (!text.empty()) {
    if (size_t escape = EscapeLength(text); escape > 0) {
      absl::StrAppend(&result, text.substr(0, escape));
      text.remove_prefix(escape);
      coloured = true;
      continue;
    }
    if (used >= width - 1) {
      break;
    }
    size_t length = CodePointLength(text);
    absl::StrAppend(&result, text.substr(0, length));
    text.remove_prefix(length);
    ++used;
  }
  absl::StrAppend(&result, "…", coloured ? "\033[0m" : "");
  return result;
}

std::string Wrap(absl::string_view text, int width, int indent) {
  std::string result;
  int column = 0;
  for (absl::string_view word : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
    int length = DisplayWidth(word);
    if (column > 0 && column + 1 + length > width) {
      absl::StrAppend(&result, "\n", std::string(static_cast<size_t>(indent), ' '));
      column = indent;
    } else if (column > 0) {
      result += ' ';
      ++column;
    }
    absl::StrAppend(&result, word);
    column += length;
  }
  return result;
}

std::string ShellQuote(absl::string_view text) {
  auto plain = [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           absl::string_view("_@%+=:,./-").find(c) != absl::string_view::npos;
  };
  if (!text.empty() && std::all_of(text.begin(), text.end(), plain)) {
    return std::string(text);
  }
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

}  // namespace mg::text
