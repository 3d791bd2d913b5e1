/// What could stand at the end of an unfinished command line. Pure.
#pragma once

#include <string>
#include <vector>

#include "cli/args/command.h"

namespace mg::cli {

struct Candidate {
  std::string value;
  std::string description;  ///< empty: none
};

/// Names that only a running cluster or this user's files have.
enum class LiveNames {
  kNone,
  kClusters,
  kComponents,
  kSelectors,     ///< components, their kinds and cells
  kLogs,          ///< those, and what only 'logs' knows
  kFaultTargets,  ///< components, cells, and who leads
  kGateways,
  kPoolers,
  kOrchs,
  kCells,
  kDatabases,
  kContexts,
  kSchemas,
  kTokens,
  kBackups
};

struct Completion {
  std::vector<Candidate> candidates;  ///< those that begin with `prefix`
  LiveNames live = LiveNames::kNone;
  std::string prefix;  ///< of the word that is completed: live names must begin with it
  std::string before;  ///< stands before each live name: `--cell=`, and the items of a list before the last one
  bool files = false;  ///< a file's name belongs there
  std::vector<std::string> listed = {};  ///< those items: they are not offered again
  Arguments arguments;                   ///< global flags that the line has: they choose the cluster and the context
};

/// `words` are those after the program's name; the last one is completed, and may be empty. bash gives `--flag = value`
/// as three words.
Completion Complete(const std::vector<Command>& commands, const std::vector<std::string>& words);

/// What the program prints, on a line of its own, where the shell is to offer files.
inline constexpr char kFilesMark[] = ":files";

/// The shell's script: bash, zsh or fish.
std::string CompletionScript(const std::string& shell);

}  // namespace mg::cli
