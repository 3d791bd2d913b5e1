/// Runs a helper program (initdb, pg_basebackup, psql, `etcd --version` …) to its end and gives its output. Not for
/// supervised components: those belong to a shim. Any thread; blocking.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace mg {

struct HelperSpec {
  std::vector<std::string> argv;                 ///< argv[0] is a path, or a name that is looked up on PATH
  std::vector<std::string> environment;          ///< NAME=value, added to this process's environment
  std::string working_directory;                 ///< empty: this process's own
  std::string run_as;                            ///< user to run as (only root may); empty: this process's own
  std::string standard_input;                    ///< written to its stdin, which is then closed
  absl::Duration timeout = absl::Seconds(60);    ///< then SIGTERM, after 2 s SIGKILL, and DEADLINE_EXCEEDED
  const std::atomic<bool>* cancelled = nullptr;  ///< once true (noticed within 50 ms): ended as above, and CANCELLED
};

struct HelperResult {
  int exit_code = 0;  ///< 128 + signal number when a signal ended it
  std::string standard_output;
  std::string standard_error;
};

/// Runs it. An error only when it could not be started or was timed out; a non-zero exit is a result.
absl::StatusOr<HelperResult> RunHelper(const HelperSpec& spec);

/// As RunHelper, but a non-zero exit is an error too: "<program> failed with exit status N: <last stderr lines>".
absl::StatusOr<HelperResult> RunHelperOk(const HelperSpec& spec);

/// Path of an executable: looked up on PATH, then in `more_directories` in their order. NOT_FOUND else.
absl::StatusOr<std::string> FindProgram(const std::string& name, const std::vector<std::string>& more_directories = {});

}  // namespace mg
