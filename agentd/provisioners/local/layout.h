/// The directories and files that a cluster needs before its components start, and those that must go with it. Makes
/// nothing that is there; changes no owner of what it did not make.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "agentd/provisioners/local/model.h"

namespace mg::local {

/// Longest path of a Unix socket that PostgreSQL and our components accept.
inline constexpr size_t kMaxSocketPath = 100;

/// Where the sockets of a member are, by its Place(): below its pooler directory, or in a short directory that links
/// point to.
struct SocketPlace {
  std::string postgres;  ///< real directory of PostgreSQL's socket
  std::string pooler;    ///< real directory of the pooler's
  bool short_form = false;
};

/// A directory of this cluster for sockets, short whatever the root's length: /tmp/multigres-<uid>-run/<8 hex>.
std::string ShortDirectory(const std::string& root, unsigned uid);
SocketPlace SocketPlaceOf(const std::string& root, const std::string& pooler_dir, const std::string& place,
                          unsigned uid);

/// Makes all of it: directories with their owners, password files, settings, links to short directories. Errors name
/// the path.
absl::Status PrepareFiles(const Model& model, unsigned uid);

/// Removes the short directory and the links to it.
absl::Status RemoveShortDirectory(const Model& model, unsigned uid);

/// One line of a libpq password file.
std::string PassfileLine(const std::string& host, int port, const std::string& user, const std::string& password);

}  // namespace mg::local
