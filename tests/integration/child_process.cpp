#include "tests/integration/child_process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "common/fs/unique_fd.h"

namespace mg::tests {

std::string LibexecProgram(const std::string& name) {
  return absl::StrCat(std::getenv("MULTIGRES_BUILD_DIR"), "/libexec/multigres/", name);
}

ChildProcess::ChildProcess(const std::vector<std::string>& argv, const std::string& output_file) {
  std::vector<char*> words;
  words.reserve(argv.size() + 1);
  for (const std::string& word : argv) {
    words.push_back(const_cast<char*>(word.c_str()));
  }
  words.push_back(nullptr);
  UniqueFd output(::open(output_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  EXPECT_TRUE(output.valid()) << output_file;
  pid_ = ::fork();
  if (pid_ == 0) {
    // Only what is safe between fork and exec of a program with threads.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::dup2(output.get(), STDOUT_FILENO);
    ::dup2(output.get(), STDERR_FILENO);
    ::execv(words[0], words.data());
    ::_exit(127);
  }
  EXPECT_GT(pid_, 0);
}

ChildProcess::~ChildProcess() { Kill(); }

void ChildProcess::Signal(int signal) {
  if (!status_.has_value()) {
    ::kill(pid_, signal);
  }
}

std::optional<int> ChildProcess::Wait(absl::Duration bound) {
  if (!status_.has_value()) {
    UniqueFd handle(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
    pollfd ended{.fd = handle.get(), .events = POLLIN, .revents = 0};
    if (::poll(&ended, 1, static_cast<int>(absl::ToInt64Milliseconds(bound))) != 1) {
      return std::nullopt;
    }
    int status = 0;
    EXPECT_EQ(::waitpid(pid_, &status, 0), pid_);
    status_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }
  return status_;
}

void ChildProcess::Kill() {
  Signal(SIGKILL);
  EXPECT_TRUE(Wait().has_value());
}

}  // namespace mg::tests
