/// What a statement's text gives away about the state that its session will leave behind. Reads words, not SQL: it may
/// take a harmless statement for a marked one, which costs a pooled connection, but not the other way round. Pure.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace mg::multipooler {

struct StatementMarks {
  /// Leaves what DISCARD ALL does not undo: parameters of somebody's own (`SET app.user`: afterwards an empty string
  /// instead of nothing), LOAD, a replication origin.
  bool leaves_traces = false;
  /// CREATE, ALTER or DROP DATABASE, which other sessions of that database would forbid.
  bool changes_databases = false;
  /// A role, its password, settings or rights may be another afterwards.
  bool changes_roles = false;
  /// Asks what the session's last nextval gave: lost with its connection, and nobody can set it.
  bool reads_own_sequences = false;
  /// May tell PostgreSQL to keep its warnings to itself (client_min_messages).
  bool mutes_warnings = false;
};

StatementMarks ScanStatement(absl::string_view text);

/// For the end of a session, in its database: gives a random new seed (as a new connection has) and one more boolean
/// column: whether the connection is to be closed: it has had temporary objects, or functions here can leave what
/// ScanStatement looks for, in whatever calls them.
/// `seed` is within -1 and 1.
std::string EndOfSessionQuery(double seed);

}  // namespace mg::multipooler
