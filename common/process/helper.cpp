#include "common/process/helper.h"

#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/readable_pipe.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/writable_pipe.hpp>
#include <boost/asio/write.hpp>
#include <boost/process/v2/process.hpp>
#include <boost/process/v2/start_dir.hpp>
#include <boost/process/v2/stdio.hpp>
#include <csignal>
#include <cstdlib>
#include <functional>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/fs/fs.h"
#include "common/status/status.h"

namespace mg {

namespace asio = boost::asio;
namespace process = boost::process::v2;

namespace {

constexpr auto kKillGrace = std::chrono::seconds(2);
constexpr auto kPipeGrace = std::chrono::seconds(1);
constexpr auto kCancelPeriod = std::chrono::milliseconds(50);
constexpr size_t kLastLines = 5;

/// Runs in the child between fork and exec. Our servers block signals in all threads; a helper must be stoppable, and
/// it must not outlive us.
struct ChildSetup {
  template <typename Launcher>
  boost::system::error_code on_exec_setup(Launcher&, const process::filesystem::path&, const char* const*(&)) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    ::setpgid(0, 0);  // so that the programs which it runs itself can be ended with it
    ::signal(SIGPIPE, SIG_DFL);
    // The pipes' own descriptors are not for the helper: what it leaves behind (a server) would hold them open.
    ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    return {};
  }
};

std::vector<std::string> WholeEnvironment(const std::vector<std::string>& more) {
  std::vector<std::string> result;
  for (char** entry = ::environ; *entry != nullptr; ++entry) {
    std::string name = std::string(*entry).substr(0, std::string(*entry).find('='));
    bool replaced = false;
    for (const std::string& item : more) {
      replaced |= item.substr(0, item.find('=')) == name;
    }
    if (!replaced) {
      result.emplace_back(*entry);
    }
  }
  result.insert(result.end(), more.begin(), more.end());
  return result;
}

std::string LastLinesOf(const std::string& text) {
  std::vector<std::string> lines = absl::StrSplit(absl::StripAsciiWhitespace(text), '\n');
  if (lines.size() > kLastLines) {
    lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(kLastLines));
  }
  return absl::StrJoin(lines, "\n");
}

absl::StatusOr<HelperResult> Run(const HelperSpec& spec, const std::string& program,
                                 const std::vector<std::string>& arguments) {
  asio::io_context loop;
  asio::readable_pipe out(loop), err(loop);
  asio::writable_pipe in(loop);
  std::string directory = spec.working_directory.empty() ? "." : spec.working_directory;
  boost::system::error_code error;
  std::vector<std::string> environment = WholeEnvironment(spec.environment);
  std::vector<const char*> environment_pointers;
  for (const std::string& entry : environment) {
    environment_pointers.push_back(entry.c_str());
  }
  environment_pointers.push_back(nullptr);
  process::default_process_launcher launcher;
  launcher.env = environment_pointers.data();
  process::process child =
      launcher(loop.get_executor(), error, process::filesystem::path(program), arguments,
               process::process_stdio{in, out, err}, process::process_start_dir(directory), ChildSetup{});
  if (error) {
    return ErrnoStatus(error.value(), absl::StrCat("run ", program));
  }
  HelperResult result;
  asio::async_write(in, asio::buffer(spec.standard_input), [&in](boost::system::error_code, size_t) {
    boost::system::error_code ignored;
    (void)in.close(ignored);
  });
  bool timed_out = false;
  bool ended = false;
  asio::steady_timer timer(loop);
  auto limit = std::chrono::nanoseconds(std::min(absl::ToInt64Nanoseconds(spec.timeout), std::int64_t{1} << 60));
  auto end = std::chrono::steady_clock::now() + limit;
  std::function<void(boost::system::error_code)> watch = [&](boost::system::error_code stopped) {
    if (stopped || ended) {
      return;
    }
    bool cancelled = spec.cancelled != nullptr && *spec.cancelled;
    if (!cancelled && std::chrono::steady_clock::now() < end) {
      timer.expires_at(spec.cancelled != nullptr ? std::min(end, std::chrono::steady_clock::now() + kCancelPeriod)
                                                 : end);
      timer.async_wait(watch);
      return;
    }
    timed_out = true;
    ::kill(-child.id(), SIGTERM);
    timer.expires_after(kKillGrace);
    timer.async_wait([&](boost::system::error_code aborted) {
      if (!aborted && !ended) {
        ::kill(-child.id(), SIGKILL);
      }
    });
  };
  watch({});
  auto close_pipes = [&] {
    boost::system::error_code ignored;
    (void)out.close(ignored);
    (void)err.close(ignored);
    (void)in.close(ignored);
  };
  int open_pipes = 2;
  auto on_pipe_end = [&](boost::system::error_code, size_t) {
    if (--open_pipes == 0) {
      timer.cancel();
    }
  };
  asio::async_read(out, asio::dynamic_buffer(result.standard_output), on_pipe_end);
  asio::async_read(err, asio::dynamic_buffer(result.standard_error), on_pipe_end);
  child.async_wait([&](boost::system::error_code, int) {
    ended = true;
    timer.cancel();
    // A grandchild may hold the pipes open for ever: what comes within the grace is all that is taken.
    if (timed_out) {
      close_pipes();
    } else if (open_pipes > 0) {
      timer.expires_after(kPipeGrace);
      timer.async_wait([&](boost::system::error_code aborted) {
        if (!aborted) {
          close_pipes();
        }
      });
    }
  });
  loop.run();
  int status = child.native_exit_code();
  if (timed_out) {
    if (spec.cancelled != nullptr && *spec.cancelled) {
      return absl::CancelledError(absl::StrCat(BaseName(program), " was stopped"));
    }
    return absl::DeadlineExceededError(
        absl::StrCat(BaseName(program), " did not end within ", absl::FormatDuration(spec.timeout)));
  }
  result.exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return result;
}

bool IsProgram(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && ::access(path.c_str(), X_OK) == 0;
}

}  // namespace

absl::StatusOr<std::string> FindProgram(const std::string& name, const std::vector<std::string>& more_directories) {
  if (name.find('/') != std::string::npos) {
    return IsProgram(name) ? absl::StatusOr<std::string>(name)
                           : absl::NotFoundError(absl::StrCat(name, " is not an executable file"));
  }
  const char* path = std::getenv("PATH");
  std::vector<std::string> directories =
      absl::StrSplit(path == nullptr ? "/usr/bin:/bin" : path, ':', absl::SkipEmpty());
  directories.insert(directories.end(), more_directories.begin(), more_directories.end());
  for (const std::string& directory : directories) {
    std::string candidate = JoinPath(directory, name);
    if (IsProgram(candidate)) {
      return candidate;
    }
  }
  return absl::NotFoundError(absl::StrCat(name, " was not found in ", absl::StrJoin(directories, ":")));
}

absl::StatusOr<HelperResult> RunHelper(const HelperSpec& spec) {
  if (spec.argv.empty()) {
    return absl::InvalidArgumentError("a helper needs a program");
  }
  MG_ASSIGN_OR_RETURN(std::string program, FindProgram(spec.argv[0]));
  std::vector<std::string> arguments(spec.argv.begin() + 1, spec.argv.end());
  if (!spec.run_as.empty()) {
    // A change of user clears the signal that ChildSetup asked for, so setpriv asks again.
    arguments.insert(arguments.begin(), {"--reuid", spec.run_as, "--regid", spec.run_as, "--init-groups", "--pdeathsig",
                                         "TERM", "--", program});
    MG_ASSIGN_OR_RETURN(program, FindProgram("setpriv", {"/usr/bin"}));
  }
  try {
    return Run(spec, program, arguments);
  } catch (const boost::system::system_error& error) {
    return absl::InternalError(absl::StrCat("run ", program, ": ", error.what()));
  }
}

absl::StatusOr<HelperResult> RunHelperOk(const HelperSpec& spec) {
  MG_ASSIGN_OR_RETURN(HelperResult result, RunHelper(spec));
  if (result.exit_code != 0) {
    const std::string& text = result.standard_error.empty() ? result.standard_output : result.standard_error;
    return absl::InternalError(
        absl::StrCat(BaseName(spec.argv[0]), " failed with exit status ", result.exit_code, ": ", LastLinesOf(text)));
  }
  return result;
}

}  // namespace mg
