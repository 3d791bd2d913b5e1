#include "components/multipooler/pool/statement_scan.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"

namespace mg::multipooler {
namespace {

/// A statement longer than this is not read; it is taken for one that leaves traces.
constexpr size_t kMaxRead = 64 << 10;

bool IsWord(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_'; }

/// The place behind the next `word` that stands alone, from `at` on; npos.
size_t AfterWord(absl::string_view text, absl::string_view word, size_t at) {
  for (at = text.find(word, at); at != absl::string_view::npos; at = text.find(word, at + 1)) {
    size_t end = at + word.size();
    if ((at == 0 || !IsWord(text[at - 1])) && (end == text.size() || !IsWord(text[end]))) {
      return end;
    }
  }
  return absl::string_view::npos;
}

bool HasWord(absl::string_view text, absl::string_view word) {
  return AfterWord(text, word, 0) != absl::string_view::npos;
}

/// LOAD before a string, or before a comment, which is not read further; a column may be called `load`.
bool LoadsLibrary(absl::string_view text) {
  for (size_t at = AfterWord(text, "load", 0); at != absl::string_view::npos; at = AfterWord(text, "load", at)) {
    absl::string_view rest = absl::StripLeadingAsciiWhitespace(text.substr(at));
    for (absl::string_view begin : {"'", "$", "e'", "u&'", "/*", "--"}) {
      if (absl::StartsWith(rest, begin)) {
        return true;
      }
    }
  }
  return false;
}

/// `SET [SESSION|LOCAL] name.name`, or SET followed by a comment, which is not read further.
bool SetsOwnParameter(absl::string_view text) {
  for (size_t at = AfterWord(text, "set", 0); at != absl::string_view::npos; at = AfterWord(text, "set", at)) {
    absl::string_view rest = absl::StripLeadingAsciiWhitespace(text.substr(at));
    for (absl::string_view scope : {"session", "local"}) {
      if (absl::StartsWith(rest, scope) && rest.size() > scope.size() && !IsWord(rest[scope.size()])) {
        rest = absl::StripLeadingAsciiWhitespace(rest.substr(scope.size()));
      }
    }
    if (absl::StartsWith(rest, "/*") || absl::StartsWith(rest, "--")) {
      return true;
    }
    size_t end = rest.find_first_of(" \t\r\n\f\v=;/-");
    if (absl::StrContains(rest.substr(0, end), '.')) {
      return true;
    }
    // `set "a" . "b"`: blanks around the dot.
    absl::string_view behind =
        end == absl::string_view::npos ? "" : absl::StripLeadingAsciiWhitespace(rest.substr(end));
    if (absl::StartsWith(behind, ".")) {
      return true;
    }
  }
  return false;
}

/// `client_min_messages = error`, or to what is not read here; dumps set it to `warning`.
bool MutesWarnings(absl::string_view text) {
  for (size_t at = AfterWord(text, "client_min_messages", 0); at != absl::string_view::npos;
       at = AfterWord(text, "client_min_messages", at)) {
    absl::string_view rest = absl::StripLeadingAsciiWhitespace(text.substr(at));
    if (!absl::ConsumePrefix(&rest, "=") && !absl::ConsumePrefix(&rest, "to ")) {
      return true;
    }
    rest = absl::StripLeadingAsciiWhitespace(rest);
    absl::ConsumePrefix(&rest, "'");
    bool tells = false;
    for (absl::string_view level : {"debug", "info", "notice", "log", "warning", "default"}) {
      tells = tells || absl::StartsWith(rest, level);
    }
    if (!tells) {
      return true;
    }
  }
  return false;
}

}  // namespace

StatementMarks ScanStatement(absl::string_view text) {
  StatementMarks marks;
  marks.leaves_traces = text.size() > kMaxRead;
  const std::string lower = absl::AsciiStrToLower(text.substr(0, kMaxRead));
  marks.leaves_traces = marks.leaves_traces || absl::StrContains(lower, "set_config") ||
                        absl::StrContains(lower, "replication_origin") || LoadsLibrary(lower) ||
                        SetsOwnParameter(lower);
  marks.mutes_warnings = text.size() > kMaxRead || MutesWarnings(lower);
  marks.reads_own_sequences = HasWord(lower, "currval") || HasWord(lower, "lastval");
  bool changes = HasWord(lower, "alter") || HasWord(lower, "drop") || HasWord(lower, "create") ||
                 HasWord(lower, "revoke") || HasWord(lower, "grant");
  if (changes) {
    bool database = HasWord(lower, "database");
    marks.changes_databases = database;
    marks.changes_roles = database || HasWord(lower, "role") || HasWord(lower, "user") || HasWord(lower, "group");
  }
  return marks;
}

std::string EndOfSessionQuery(double seed) {
  // Functions of users only. Written in SQL's own syntax their body is a tree, in which 2078 is set_config. Extensions
  // and languages that keep state of their own in the backend end every session's connection of that database. A schema
  // of temporary objects stays when they are dropped, and what comes next there would not be the first to use it.
  return absl::StrFormat("SELECT pg_catalog.setseed(%.10f), ", seed) + R"sql(
    pg_catalog.pg_my_temp_schema() <> 0
    OR EXISTS (SELECT FROM pg_catalog.pg_proc WHERE oid >= 16384 AND (
      prosrc ~* E'set_config|replication_origin|\\mset\\s+((local|session)\\s+)?["\\w]+\\s*\\.|\\mload\\M'
      OR prosqlbody::pg_catalog.text LIKE '%:funcid 2078 %'
      OR proconfig::pg_catalog.text ~ E'[{,"][A-Za-z_]\\w*\\.'))
    OR EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname IN ('dblink', 'postgres_fdw'))
    OR EXISTS (SELECT FROM pg_catalog.pg_language WHERE lanname NOT IN ('internal', 'c', 'sql', 'plpgsql')))sql";
}

}  // namespace mg::multipooler
