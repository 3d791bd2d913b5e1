#include "components/multipooler/pool/session_state.h"

#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/pgwire/message.h"

namespace mg::multipooler {
namespace {

// The same whatever standard_conforming_strings is.
std::string Literal(absl::string_view text) {
  return absl::StrCat("E'", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"'", "''"}}), "'");
}

constexpr char kQuery[] = R"sql(/* multigres: what this session holds, while it rests */
SELECT 'blocked', 'a temporary table', '', ''
  FROM (SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema() LIMIT 1) t
UNION ALL
SELECT 'blocked', 'a cursor', '', '' FROM (SELECT FROM pg_catalog.pg_cursors c WHERE c.is_holdable LIMIT 1) c
UNION ALL
SELECT 'blocked', 'a channel that it listens to', '', '' FROM (SELECT FROM pg_catalog.pg_listening_channels() LIMIT 1) l
UNION ALL
SELECT 'blocked', 'an advisory lock', '', ''
  FROM (SELECT FROM pg_catalog.pg_locks k WHERE k.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()
           AND k.locktype OPERATOR(pg_catalog.=) 'advisory'::pg_catalog.text LIMIT 1) k
UNION ALL
SELECT 'blocked', 'another role', '', ''
 WHERE CURRENT_USER::pg_catalog.text OPERATOR(pg_catalog.<>) $role$::pg_catalog.text
    OR SESSION_USER::pg_catalog.text OPERATOR(pg_catalog.<>) $role$::pg_catalog.text
UNION ALL
SELECT CASE WHEN s.source OPERATOR(pg_catalog.=) 'session'::pg_catalog.text THEN 'set' ELSE 'had' END, s.name,
       CASE WHEN s.source OPERATOR(pg_catalog.=) 'session'::pg_catalog.text THEN s.setting
            ELSE pg_catalog.current_setting(s.name) END, ''
  FROM pg_catalog.pg_settings s
 WHERE s.source OPERATOR(pg_catalog.=) ANY ('{session,global,database,user,database user}'::pg_catalog.text[])
   AND NOT pg_catalog.starts_with(s.name, 'transaction_')
UNION ALL
SELECT CASE WHEN p.from_sql THEN 'sql' ELSE 'parse' END, p.name, p.statement,
       pg_catalog.array_to_string(p.parameter_types::pg_catalog.oid[], ',')
  FROM pg_catalog.pg_prepared_statements p
 WHERE p.name OPERATOR(pg_catalog.<>) $statement$::pg_catalog.text)sql";

// What is written was read under the settings of its time.
constexpr char kPreparedBefore[] = R"sql(
UNION ALL
SELECT 'blocked', 'a statement that was prepared under other settings', '', ''
  FROM (SELECT FROM pg_catalog.pg_prepared_statements p
         WHERE p.prepare_time OPERATOR(pg_catalog.<) pg_catalog.to_timestamp($seconds$::pg_catalog.float8)
           AND p.name OPERATOR(pg_catalog.<>) $statement$::pg_catalog.text LIMIT 1) p)sql";

// Defaults of the role and the database count for those who log in after they were set. What this session had is among
// $names$; where there is another one by now the division fails, and with it the session's way to a new place. (Names
// with a dot are not seen by whoever has not loaded their library.)
constexpr char kNoNewDefaults[] = R"sql(SELECT 1 OPERATOR(pg_catalog./) CASE WHEN EXISTS (
  SELECT FROM pg_catalog.pg_db_role_setting s, LATERAL pg_catalog.unnest(s.setconfig) AS c(entry)
   WHERE s.setdatabase OPERATOR(pg_catalog.=) ANY (ARRAY[0::pg_catalog.oid, (SELECT d.oid FROM pg_catalog.pg_database d
           WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())])
     AND s.setrole OPERATOR(pg_catalog.=) ANY (ARRAY[0::pg_catalog.oid, (SELECT r.oid FROM pg_catalog.pg_roles r
           WHERE r.rolname OPERATOR(pg_catalog.=) SESSION_USER)])
     AND pg_catalog.strpos(pg_catalog.split_part(c.entry, '=', 1), '.') OPERATOR(pg_catalog.=) 0
     AND pg_catalog.lower(pg_catalog.split_part(c.entry, '=', 1)) OPERATOR(pg_catalog.<>) ALL (ARRAY[$names$]::pg_catalog.text[])
  ) THEN 0 ELSE 1 END)sql";

// The four columns of a DataRow's body.
bool Columns(absl::string_view body, std::array<std::string, 4>* out) {
  if (body.size() < 2 || body[0] != 0 || body[1] != 4) {
    return false;
  }
  body.remove_prefix(2);
  for (std::string& column : *out) {
    if (body.size() < 4) {
      return false;
    }
    std::uint32_t length = pgwire::ReadUint32(body.data());
    body.remove_prefix(4);
    if (length == 0xFFFFFFFF) {
      continue;  // NULL: no parameters
    }
    if (length > body.size()) {
      return false;
    }
    column = std::string(body.substr(0, length));
    body.remove_prefix(length);
  }
  return true;
}

}  // namespace

std::string SessionStateMessages(absl::string_view login_role, absl::string_view statement, absl::Time reads_since) {
  std::string query = kQuery;
  if (reads_since != absl::InfinitePast()) {
    query += kPreparedBefore;
  }
  query = absl::StrReplaceAll(query, {{"$role$", Literal(login_role)},
                                      {"$statement$", Literal(statement)},
                                      {"$seconds$", absl::StrFormat("'%.6f'", absl::ToUnixMicros(reads_since) / 1e6)}});
  // A statement with a name: a simple query, or one without a name, would end the client's that has none.
  std::string ask = pgwire::Writer('P').CString(statement).CString(query).Bytes({"\0\0", 2}).Finish() +
                    pgwire::Writer('B').CString("").CString(statement).Bytes({"\0\0\0\0\0\0", 6}).Finish() +
                    pgwire::Writer('E').CString("").Int32(0).Finish();
  std::string close = pgwire::Writer('C').Byte('S').CString(statement).Finish() + pgwire::Writer('S').Finish();
  // After an error PostgreSQL skips what comes before Sync.
  return ask + close + close;
}

bool SessionState::Add(absl::string_view row) {
  std::array<std::string, 4> columns;
  if (!Columns(row, &columns)) {
    return false;
  }
  const auto& [kind, name, text, types] = columns;
  if (kind == "blocked") {
    blocked_ = name;
  } else if (kind == "set") {
    absl::StrAppend(&settings_, settings_.empty() ? "SELECT " : ", ", "pg_catalog.set_config(", Literal(name), ", ",
                    Literal(text), ", false)");
    names_.push_back(absl::AsciiStrToLower(name));
  } else if (kind == "had") {
    // Where it is so anyway nothing is set: not everybody may set everything.
    absl::StrAppend(&settings_, settings_.empty() ? "SELECT " : ", ", "CASE WHEN pg_catalog.current_setting(",
                    Literal(name), ") OPERATOR(pg_catalog.<>) ", Literal(text), "::pg_catalog.text THEN ",
                    "pg_catalog.set_config(", Literal(name), ", ", Literal(text), ", false) END");
    names_.push_back(absl::AsciiStrToLower(name));
  } else if (kind == "sql") {
    sql_.push_back(text);
  } else if (kind == "parse") {
    Prepared prepared{.name = name, .text = text, .types = {}};
    for (absl::string_view type : absl::StrSplit(types, ',', absl::SkipEmpty())) {
      std::uint32_t oid = 0;
      if (!absl::SimpleAtoi(type, &oid)) {
        return false;
      }
      prepared.types.push_back(oid);
    }
    prepared_.push_back(std::move(prepared));
  } else {
    return false;
  }
  return true;
}

pgwire::Replay SessionState::ToReplay() const {
  pgwire::Replay replay;
  const std::string names =
      absl::StrJoin(names_, ",", [](std::string* out, const std::string& name) { *out += Literal(name); });
  replay.messages += pgwire::QueryMessage(absl::StrReplaceAll(kNoNewDefaults, {{"$names$", names}}));
  ++replay.ready;
  if (!settings_.empty()) {
    replay.messages += pgwire::QueryMessage(settings_);
    ++replay.ready;
  }
  for (const std::string& sql : sql_) {
    replay.messages += pgwire::QueryMessage(sql);
    ++replay.ready;
  }
  for (const Prepared& prepared : prepared_) {
    pgwire::Writer parse('P');
    parse.CString(prepared.name).CString(prepared.text);
    std::size_t count = prepared.types.size();
    parse.Byte(static_cast<char>(count >> 8)).Byte(static_cast<char>(count & 0xFF));
    for (std::uint32_t type : prepared.types) {
      parse.Int32(static_cast<std::int32_t>(type));
    }
    replay.messages += parse.Finish();
  }
  if (!prepared_.empty()) {
    replay.messages += pgwire::Writer('S').Finish();
    ++replay.ready;
  }
  return replay;
}

}  // namespace mg::multipooler
