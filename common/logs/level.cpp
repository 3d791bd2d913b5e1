#include "common/logs/level.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace mg::logs {
namespace {

/// A word of some program for a level; slog writes levels between its own as `INFO+2`.
Level LevelOfWord(absl::string_view word) {
  word = word.substr(0, word.find_first_of("+-"));
  auto is = [&](std::initializer_list<absl::string_view> names) {
    return std::any_of(names.begin(), names.end(),
                       [&](absl::string_view name) { return absl::EqualsIgnoreCase(word, name); });
  };
  if (is({"debug", "trace", "debug1", "debug2", "debug3", "debug4", "debug5"})) {
    return Level::kDebug;
  }
  if (is({"info", "log", "notice"})) {
    return Level::kInfo;
  }
  if (is({"warn", "warning"})) {
    return Level::kWarn;
  }
  if (is({"error", "fatal", "panic", "dpanic", "critical"})) {
    return Level::kError;
  }
  return Level::kNone;
}

/// What PostgreSQL writes about the message before it.
bool IsDetail(absl::string_view word) {
  return word == "DETAIL" || word == "HINT" || word == "CONTEXT" || word == "STATEMENT" || word == "QUERY" ||
         word == "LOCATION" || word == "BACKTRACE";
}

/// The string behind a key of a JSON line. A quote within a JSON string has a backslash before it, so that the key
/// cannot be a part of one.
absl::string_view JsonString(absl::string_view text, absl::string_view quoted_key) {
  size_t at = text.find(quoted_key);
  if (at == absl::string_view::npos) {
    return "";
  }
  absl::string_view rest = absl::StripLeadingAsciiWhitespace(text.substr(at + quoted_key.size()));
  if (rest.empty() || rest[0] != ':') {
    return "";
  }
  rest = absl::StripLeadingAsciiWhitespace(rest.substr(1));
  if (rest.empty() || rest[0] != '"') {
    return "";
  }
  rest.remove_prefix(1);
  return rest.substr(0, rest.find('"'));
}

absl::string_view KeyValue(absl::string_view text, absl::string_view key) {
  size_t at = text.find(key);
  if (at == absl::string_view::npos || (at > 0 && text[at - 1] != ' ')) {
    return "";
  }
  absl::string_view rest = text.substr(at + key.size());
  return rest.substr(0, rest.find_first_of(" \t"));
}

bool IsUpper(absl::string_view word) {
  return !word.empty() && std::all_of(word.begin(), word.end(), [](char c) {
    return absl::ascii_isupper(static_cast<unsigned char>(c)) || absl::ascii_isdigit(static_cast<unsigned char>(c));
  });
}

}  // namespace

absl::string_view LevelName(Level level) {
  switch (level) {
    case Level::kNone:
      return "";
    case Level::kDebug:
      return "debug";
    case Level::kInfo:
      return "info";
    case Level::kWarn:
      return "warn";
    case Level::kError:
      return "error";
  }
  return "";
}

std::optional<Level> LevelOfName(absl::string_view name) {
  for (Level level : {Level::kDebug, Level::kInfo, Level::kWarn, Level::kError}) {
    if (name == LevelName(level)) {
      return level;
    }
  }
  return std::nullopt;
}

std::optional<PostgresLine> ParsePostgres(absl::string_view text) {
  // `2026-11-23 16:00:00.123 UTC [42] user@db LOG:  text`; before a session is known there is no user@db.
  size_t open = text.find(" [");
  size_t close = open == absl::string_view::npos ? open : text.find("] ", open);
  if (close == absl::string_view::npos || close - open > 16) {
    return std::nullopt;
  }
  size_t colon = text.find(":  ", close);
  if (colon == absl::string_view::npos) {
    return std::nullopt;
  }
  PostgresLine line;
  absl::string_view head = text.substr(close + 2, colon - close - 2);
  size_t blank = head.rfind(' ');
  line.severity = blank == absl::string_view::npos ? head : head.substr(blank + 1);
  if (!IsUpper(line.severity)) {
    return std::nullopt;
  }
  line.pid = text.substr(open + 2, close - open - 2);
  if (blank != absl::string_view::npos) {
    absl::string_view who = head.substr(0, blank);
    size_t at = who.rfind('@');
    line.user = who.substr(0, at);
    line.database = at == absl::string_view::npos ? "" : who.substr(at + 1);
  }
  line.message = text.substr(colon + 3);
  return line;
}

std::optional<CapnslogLine> ParseCapnslog(absl::string_view text) {
  constexpr absl::string_view kForm = "0000-00-00 00:00:00.000000 L | ";
  if (text.size() < kForm.size()) {
    return std::nullopt;
  }
  for (size_t i = 0; i < kForm.size(); ++i) {
    const bool fits = kForm[i] == '0'   ? absl::ascii_isdigit(static_cast<unsigned char>(text[i]))
                      : kForm[i] == 'L' ? absl::ascii_isupper(static_cast<unsigned char>(text[i]))
                                        : text[i] == kForm[i];
    if (!fits) {
      return std::nullopt;
    }
  }
  CapnslogLine line;
  switch (text[kForm.find('L')]) {
    case 'T':
    case 'D':
      line.level = Level::kDebug;
      break;
    case 'I':
    case 'N':
      line.level = Level::kInfo;
      break;
    case 'W':
      line.level = Level::kWarn;
      break;
    case 'E':
    case 'C':
      line.level = Level::kError;
      break;
    default:
      return std::nullopt;
  }
  line.message = text.substr(kForm.size());
  const size_t colon = line.message.find(": ");
  if (colon != absl::string_view::npos && line.message.substr(0, colon).find(' ') == absl::string_view::npos) {
    line.package = line.message.substr(0, colon);
    line.message = line.message.substr(colon + 2);
  }
  return line;
}

Level ScanLevel(absl::string_view text, Level before) {
  if (text.empty()) {
    return Level::kNone;
  }
  if (text[0] == '\t') {
    return before;
  }
  if (text[0] == '{') {
    absl::string_view word = JsonString(text, "\"level\"");
    return LevelOfWord(word.empty() ? JsonString(text, "\"severity\"") : word);
  }
  if (std::optional<PostgresLine> line = ParsePostgres(text)) {
    return IsDetail(line->severity) ? before : LevelOfWord(line->severity);
  }
  if (std::optional<CapnslogLine> line = ParseCapnslog(text)) {
    return line->level;
  }
  return LevelOfWord(KeyValue(text, "level="));
}

std::string ParseLevel(absl::string_view text) { return std::string(LevelName(ScanLevel(text, Level::kNone))); }

}  // namespace mg::logs
