#include "shim/pump.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <ctime>

namespace mg::shim {
namespace {

constexpr size_t kUsualPipe = 64 << 10;
constexpr int kLargePipe = 1 << 20;
constexpr size_t kMuch = 32 << 10;
constexpr std::int64_t kBusy = 2'000'000, kPause = 500'000;  // nanoseconds

alignas(4096) char buffer[kUsualPipe];

std::int64_t Monotonic() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

bool Pump::Read(const UniqueFd& from, logs::CriWriter::Stream stream) {
  size_t total = 0;
  bool open = true;
  for (int round = 0; round < 16; ++round) {
    ssize_t n = ::read(from.get(), buffer, sizeof buffer);
    if (n > 0) {
      total += static_cast<size_t>(n);
      to_->Append(stream, buffer, static_cast<size_t>(n));
      if (static_cast<size_t>(n) == sizeof buffer && !large_[static_cast<int>(stream)]) {
        // It was full, so its writer waits for us. Only then: a user has a bound on the memory of all pipes, and
        // whoever is over it keeps the usual size.
        large_[static_cast<int>(stream)] = true;
        (void)::fcntl(from.get(), F_SETPIPE_SZ, kLargePipe);
      }
      continue;
    }
    if (n < 0 && errno == EINTR) {
      continue;
    }
    open = n < 0 && errno == EAGAIN;
    break;
  }
  if (!open) {
    to_->Flush(stream);
    return false;
  }
  used_ = true;
  std::int64_t now = Monotonic();
  if (total < kMuch && now - last_ < kBusy) {
    // Many small writes: let some come together, instead of being woken by each of them.
    timespec pause{.tv_sec = 0, .tv_nsec = kPause};
    ::nanosleep(&pause, nullptr);
    now += kPause;
  }
  last_ = now;
  return true;
}

void Pump::Tidy() {
  used_ = false;
  to_->Tidy();
  (void)::madvise(buffer, sizeof buffer, MADV_DONTNEED);
}

}  // namespace mg::shim
