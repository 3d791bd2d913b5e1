// What logging.py and the chaos test of logs need done fast:
//   source lines|blocks COUNT [PAUSE_US]  writes numbered lines of 100 bytes to stdout, one write a line or 4 kB a
//   write;
//                                         with a pause after each thousand lines, numbers alone are told from 1
//   plain FILE MODE COUNT                 runs that with stdout in a file: the floor; prints seconds
//   capture SHIM DIR MODE COUNT           runs it under the shim; prints seconds until the process and until its log
//   end pipe MODE COUNT PROGRAM ARGUMENT…     runs it into another logger's stdin; prints seconds until both have ended
//   file PATH BYTES                       writes a log file in CRI form of about that size, a line each microsecond
//   socket BYTES                          copies as much through a Unix socket to another process; prints seconds
//   tick COUNT PERIOD_US                  prints the monotonic time in nanoseconds, again and again
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/fs/fs.h"
#include "common/shim_protocol/shim.h"

namespace mg {
namespace {

constexpr size_t kLine = 100, kBlock = 4096;

void Put(const char* data, size_t size) {
  while (size > 0) {
    ssize_t n = ::write(STDOUT_FILENO, data, size);
    if (n <= 0) {
      std::_Exit(1);
    }
    data += n;
    size -= static_cast<size_t>(n);
  }
}

void Pause(long microseconds) {
  timespec pause{.tv_sec = microseconds / 1000000, .tv_nsec = microseconds % 1000000 * 1000};
  ::nanosleep(&pause, nullptr);
}

int Source(const std::string& mode, long count, long pause) {
  std::string line(kLine, '.'), block;
  line.back() = '\n';
  for (long i = 1; i <= count; ++i) {
    char number[16];
    int n = std::snprintf(number, sizeof number, "%ld ", i);
    line.replace(0, static_cast<size_t>(n), number, static_cast<size_t>(n));
    if (mode == "lines") {
      Put(line.data(), line.size());
    } else {
      block += line;
      while (block.size() >= kBlock) {
        Put(block.data(), kBlock);
        block.erase(0, kBlock);
      }
    }
    if (pause > 0 && i % 1000 == 0) {
      Pause(pause);
    }
  }
  Put(block.data(), block.size());
  return 0;
}

std::string Self() {
  char path[4096];
  ssize_t n = ::readlink("/proc/self/exe", path, sizeof path);
  return std::string(path, static_cast<size_t>(n > 0 ? n : 0));
}

pid_t Spawn(const std::vector<std::string>& words, int in, int out) {
  pid_t pid = ::fork();
  if (pid == 0) {
    std::vector<char*> argv;
    for (const std::string& word : words) {
      argv.push_back(const_cast<char*>(word.c_str()));
    }
    argv.push_back(nullptr);
    if (in >= 0) {
      ::dup2(in, STDIN_FILENO);
    }
    if (out >= 0) {
      ::dup2(out, STDOUT_FILENO);
    }
    ::execvp(argv[0], argv.data());
    std::_Exit(127);
  }
  return pid;
}

bool Ended(pid_t pid) {
  int status = 0;
  return ::waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int Plain(const std::string& file, const std::string& mode, const std::string& count) {
  int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
  absl::Time began = absl::Now();
  bool ok = fd >= 0 && Ended(Spawn({Self(), "source", mode, count}, -1, fd));
  std::printf("%.6f\n", absl::ToDoubleSeconds(absl::Now() - began));
  return ok ? 0 : 1;
}

int Pipe(const std::string& mode, const std::string& count, const std::vector<std::string>& logger) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    return 1;
  }
  absl::Time began = absl::Now();
  pid_t reader = Spawn(logger, ends[0], -1), writer = Spawn({Self(), "source", mode, count}, -1, ends[1]);
  ::close(ends[0]);
  ::close(ends[1]);
  bool ok = Ended(writer);
  ok = Ended(reader) && ok;
  std::printf("%.6f\n", absl::ToDoubleSeconds(absl::Now() - began));
  return ok ? 0 : 1;
}

int Capture(const std::string& shim, const std::string& root, const std::string& mode, const std::string& count) {
  shim::LaunchSpec spec;
  spec.name = "source";
  spec.run_dir = root + "/run";
  spec.log_dir = root + "/log";
  spec.argv = {Self(), "source", mode, count};
  spec.working_directory = "/";
  spec.generation = 1;
  if (!MakeDirectories(spec.run_dir, 0700).ok() || !MakeDirectories(spec.log_dir, 0700).ok()) {
    return 1;
  }
  absl::Time began = absl::Now();
  absl::StatusOr<shim::ShimState> state = shim::Launch(shim, spec);
  if (!state.ok()) {
    std::fprintf(stderr, "%s\n", std::string(state.status().message()).c_str());
    return 1;
  }
  int status = 0;
  if (::waitpid(state->shim->pid, &status, 0) != state->shim->pid) {
    return 1;
  }
  absl::Time ended = absl::Now();
  std::optional<shim::ExitRecord> exit = shim::ReadShimState(spec.run_dir).exit;
  std::printf("%.6f %.6f\n", exit ? absl::ToDoubleSeconds(exit->ended - exit->started) : -1.0,
              absl::ToDoubleSeconds(ended - began));
  return exit && exit->exit_code == 0 && exit->signal == 0 ? 0 : 1;
}

int File(const std::string& path, std::uint64_t bytes) {
  std::FILE* file = std::fopen(path.c_str(), "w");
  if (file == nullptr) {
    return 1;
  }
  std::string rest(kLine, '.');
  absl::Time time = absl::Now() - absl::Hours(1);
  absl::Time second = absl::InfinitePast();
  std::string head;
  for (std::uint64_t i = 0, size = 0; size < bytes; ++i) {
    absl::Time at = time + absl::Microseconds(i);
    if (absl::Time whole = absl::FromUnixSeconds(absl::ToUnixSeconds(at)); whole != second) {
      second = whole;
      head = absl::FormatTime("%Y-%m-%dT%H:%M:%S.", second, absl::UTCTimeZone());
    }
    int n = std::fprintf(file, "%s%09ldZ stdout F %lu %.*s\n", head.c_str(),
                         static_cast<long>(absl::ToInt64Nanoseconds(at - second)), static_cast<unsigned long>(i),
                         static_cast<int>(kLine - 12), rest.c_str());
    size += static_cast<std::uint64_t>(n);
  }
  return std::fclose(file) == 0 ? 0 : 1;
}

/// What any stream from process to process costs at least.
int Socket(std::uint64_t bytes) {
  constexpr size_t kChunk = 256 << 10;
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return 1;
  }
  std::string chunk(kChunk, '.');
  absl::Time began = absl::Now();
  pid_t reader = ::fork();
  if (reader == 0) {
    ::close(ends[1]);
    ssize_t n = 0;
    while ((n = ::read(ends[0], chunk.data(), chunk.size())) > 0) {
    }
    std::_Exit(n == 0 ? 0 : 1);
  }
  ::close(ends[0]);
  std::uint64_t left = bytes;
  while (left > 0) {
    ssize_t n = ::write(ends[1], chunk.data(), std::min<std::uint64_t>(left, kChunk));
    if (n <= 0) {
      return 1;
    }
    left -= static_cast<std::uint64_t>(n);
  }
  ::close(ends[1]);
  bool ok = Ended(reader);
  std::printf("%.6f\n", absl::ToDoubleSeconds(absl::Now() - began));
  return ok ? 0 : 1;
}

int Tick(long count, long period) {
  for (long i = 0; i < count; ++i) {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    std::string line = absl::StrCat("tick ", now.tv_sec * 1'000'000'000 + now.tv_nsec, "\n");
    Put(line.data(), line.size());
    Pause(period);
  }
  return 0;
}

int Run(const std::vector<std::string>& words) {
  auto is = [&](const char* name, size_t least) { return words.size() > least && words[0] == name; };
  if (is("source", 2)) {
    return Source(words[1], std::atol(words[2].c_str()), words.size() > 3 ? std::atol(words[3].c_str()) : 0);
  }
  if (is("plain", 3)) {
    return Plain(words[1], words[2], words[3]);
  }
  if (is("capture", 4)) {
    return Capture(words[1], words[2], words[3], words[4]);
  }
  if (is("socket", 1)) {
    return Socket(std::strtoull(words[1].c_str(), nullptr, 10));
  }
  if (is("pipe", 3)) {
    return Pipe(words[1], words[2], {words.begin() + 3, words.end()});
  }
  if (is("file", 2)) {
    return File(words[1], std::strtoull(words[2].c_str(), nullptr, 10));
  }
  if (is("tick", 2)) {
    return Tick(std::atol(words[1].c_str()), std::atol(words[2].c_str()));
  }
  std::fprintf(stderr, "see the head of logging_tool.cpp\n");
  return 2;
}

}  // namespace
}  // namespace mg

int main(int argc, char** argv) { return mg::Run({argv + 1, argv + argc}); }
