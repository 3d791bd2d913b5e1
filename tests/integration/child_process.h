/// A program that a test starts and watches itself, without a shim: killed at the latest with the test. One thread.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace mg::tests {

class ChildProcess {
 public:
  /// argv[0] is a path; stdout and stderr are appended to `output_file`.
  ChildProcess(const std::vector<std::string>& argv, const std::string& output_file);
  ~ChildProcess();  ///< Kill
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }
  void Signal(int signal);
  /// Waits for its end: the exit status, 128 + signal number when a signal ended it; nothing after the bound.
  std::optional<int> Wait(absl::Duration bound = absl::Seconds(20));
  /// SIGKILL, and waits.
  void Kill();

 private:
  pid_t pid_ = 0;
  std::optional<int> status_;
};

/// A program of the build that is under test, below libexec/multigres.
std::string LibexecProgram(const std::string& name);

}  // namespace mg::tests
