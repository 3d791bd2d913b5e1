#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "common/logs/log_files.h"

namespace mg::logs {
namespace {

/// debug, info, warn, error for the many words that programs use.
std::string Normalise(absl::string_view word) {
  std::string lower = absl::AsciiStrToLower(word);
  if (lower == "debug" || lower == "trace" || absl::StartsWith(lower, "debug")) {
    return "debug";
  }
  if (lower == "info" || lower == "log" || lower == "notice" || lower == "statement") {
    return "info";
  }
  if (lower == "warn" || lower == "warning") {
    return "warn";
  }
  if (lower == "error" || lower == "fatal" || lower == "panic" || lower == "dpanic") {
    return "error";
  }
  return "";
}

/// The value behind `mark`, up to `end`.
absl::string_view After(absl::string_view text, absl::string_view mark, absl::string_view ends) {
  size_t at = text.find(mark);
  if (at == absl::string_view::npos) {
    return "";
  }
  absl::string_view rest = text.substr(at + mark.size());
  return rest.substr(0, rest.find_first_of(ends));
}

}  // namespace

std::string ParseLevel(absl::string_view text) {
  if (absl::StartsWith(text, "{")) {
    return Normalise(After(text, "\"level\":\"", "\""));
  }
  if (absl::string_view word = After(text, "level=", " \t"); !word.empty()) {
    return Normalise(word);
  }
  // PostgreSQL: `2026-11-23 16:00:00.123 UTC [42] user@db LOG:  text`.
  size_t bracket = text.find(']');
  if (bracket != absl::string_view::npos) {
    size_t colon = text.find(":  ", bracket);
    if (colon != absl::string_view::npos) {
      absl::string_view head = text.substr(0, colon);
      absl::string_view word = head.substr(head.rfind(' ') == absl::string_view::npos ? 0 : head.rfind(' ') + 1);
      bool upper = !word.empty();
      for (char c : word) {
        upper &=
            absl::ascii_isupper(static_cast<unsigned char>(c)) || absl::ascii_isdigit(static_cast<unsigned char>(c));
      }
      if (upper) {
        return Normalise(word);
      }
    }
  }
  return "";
}

}  // namespace mg::logs
