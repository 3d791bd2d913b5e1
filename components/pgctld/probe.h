/// Asks a PostgreSQL server whether it takes connections, as pg_isready does: a start-up packet, and what comes first
/// back. No login, no password. Any thread; blocking within the bound.
#pragma once

#include <string>

#include "absl/time/time.h"

namespace mg::pgctld {

/// True when the server at this Unix socket would let a client log in now (a wrong user or database counts as yes).
bool AcceptsConnections(const std::string& socket_path, const std::string& user, absl::Duration bound);

}  // namespace mg::pgctld
