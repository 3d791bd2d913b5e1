/// What each command prints with --json and --yaml: one table, from which the published schemas are made. A test holds
/// every command to it.
#pragma once

#include <string>
#include <vector>

namespace mg::cli {

struct Output {
  const char* command;  ///< the command's path, and a flag where that changes the answer
  const char* message;  ///< full name of the message
  bool stream = false;  ///< one document after the other, with the set fields only
};

/// In the order of the commands.
const std::vector<Output>& Outputs();

/// As `multigres schema` takes it: `topology-cell-list`.
std::string SchemaName(const Output& output);

}  // namespace mg::cli
