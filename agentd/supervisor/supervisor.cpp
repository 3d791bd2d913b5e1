#include "agentd/supervisor/supervisor.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/status/status.h"

namespace mg::supervisor {

namespace {

constexpr int kEventsAtOnce = 32;

void AddToEpoll(int epoll, int fd) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLRDHUP;
  event.data.fd = fd;
  epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

}  // namespace

std::string DescribeExit(const shim::ExitRecord& exit) {
  return exit.signal != 0 ? absl::StrCat("was killed by signal ", exit.signal, " (", strsignal(exit.signal), ")")
                          : absl::StrCat("exited with status ", exit.exit_code);
}

Supervisor::Supervisor(std::string shim_path, std::function<void(const Event&)> sink)
    : shim_path_(std::move(shim_path)),
      sink_(std::move(sink)),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  AddToEpoll(epoll_.get(), wake_.get());
  thread_ = std::thread([this] { Run(); });
}

Supervisor::~Supervisor() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
  }
  std::uint64_t one = 1;
  (void)!write(wake_.get(), &one, sizeof(one));
  thread_.join();
}

absl::StatusOr<shim::ShimState> Supervisor::Start(const Watched& who, const shim::LaunchSpec& spec) {
  absl::StatusOr<shim::ShimState> state = shim::Launch(shim_path_, spec);
  if (absl::IsAlreadyExists(state.status())) {
    return Adopt(who, /*announce=*/false);
  }
  MG_RETURN_IF_ERROR(state.status());
  Watch(who, spec.generation);
  Tell(Event::Type::kStarted, who, absl::StrCat("started with pid ", state->child ? state->child->pid : 0));
  return state;
}

shim::ShimState Supervisor::Adopt(const Watched& who, bool announce) {
  shim::ShimState state = shim::ReadShimState(who.run_dir);
  if (state.shim_alive) {
    {
      std::lock_guard lock(mutex_);
      auto found = entries_.find(who.run_dir);
      if (found != entries_.end() && found->second.client != nullptr) {
        return state;
      }
    }
    Watch(who, state.launch ? state.launch->generation : 0);
    if (announce) {
      Tell(Event::Type::kAdopted, who, absl::StrCat("runs as pid ", state.child ? state.child->pid : 0));
    }
  }
  return state;
}

void Supervisor::Watch(const Watched& who, std::int64_t /*generation*/) {
  absl::StatusOr<std::unique_ptr<shim::ShimClient>> client = shim::ShimClient::Connect(who.run_dir);
  std::lock_guard lock(mutex_);
  Entry& entry = entries_[who.run_dir];
  if (entry.client != nullptr) {
    run_dir_of_fd_.erase(entry.client->fd());  // closing it takes it out of epoll
  }
  entry = Entry{.who = who};
  if (client.ok()) {
    entry.client = *std::move(client);
    run_dir_of_fd_[entry.client->fd()] = who.run_dir;
    AddToEpoll(epoll_.get(), entry.client->fd());
  }
  // A shim that does not answer has ended just now: its files say how, and nobody waits for it here.
  changed_.notify_all();
}

absl::Status Supervisor::Stop(const Watched& who, const std::vector<shim::StopStep>& ladder) {
  {
    std::lock_guard lock(mutex_);
    Entry& entry = entries_[who.run_dir];
    entry.who = who;
    entry.expected = entry.stopping = true;
  }
  absl::Status status = shim::StopAndWait(who.run_dir, ladder);
  std::lock_guard lock(mutex_);
  entries_[who.run_dir].stopping = false;
  return status;
}

void Supervisor::ExpectEnd(const std::string& run_dir) {
  std::lock_guard lock(mutex_);
  auto found = entries_.find(run_dir);
  if (found != entries_.end()) {
    found->second.expected = true;
  }
}

bool Supervisor::IsStopping(const std::string& run_dir) const {
  std::lock_guard lock(mutex_);
  auto found = entries_.find(run_dir);
  return found != entries_.end() && found->second.stopping;
}

bool Supervisor::HasEnded(const std::string& run_dir) const {
  std::lock_guard lock(mutex_);
  auto found = entries_.find(run_dir);
  return found != entries_.end() && found->second.client == nullptr;
}

bool Supervisor::WaitForEnd(const std::string& run_dir, absl::Time until) {
  std::unique_lock lock(mutex_);
  std::uint64_t wakes = wakes_;
  auto runs = [&] {
    auto found = entries_.find(run_dir);
    return found != entries_.end() && found->second.client != nullptr;
  };
  changed_.wait_until(lock, absl::ToChronoTime(until), [&] { return !runs() || wakes_ != wakes; });
  return !runs();
}

void Supervisor::Wake() {
  std::lock_guard lock(mutex_);
  ++wakes_;
  changed_.notify_all();
}

void Supervisor::Run() {
  std::array<epoll_event, kEventsAtOnce> events;
  for (;;) {
    int count = epoll_wait(epoll_.get(), events.data(), kEventsAtOnce, -1);
    std::vector<std::string> ended;
    {
      std::lock_guard lock(mutex_);
      if (ending_) {
        return;
      }
      for (int i = 0; i < count; ++i) {
        auto found = run_dir_of_fd_.find(events[static_cast<size_t>(i)].data.fd);
        if (found != run_dir_of_fd_.end()) {
          ended.push_back(found->second);
        }
      }
    }
    for (const std::string& run_dir : ended) {
      OnEnd(run_dir);
    }
  }
}

/// News of a shim: its component's end, or its own. A restart policy for run time would decide here what follows an end
/// that was not expected.
void Supervisor::OnEnd(const std::string& run_dir) {
  std::unique_ptr<shim::ShimClient> client;
  Watched who;
  bool expected = false;
  {
    std::lock_guard lock(mutex_);
    auto found = entries_.find(run_dir);
    if (found == entries_.end() || found->second.client == nullptr) {
      return;
    }
    absl::StatusOr<shim::ExitRecord> exit = found->second.client->WaitExit(absl::Now());
    if (absl::IsDeadlineExceeded(exit.status())) {
      return;  // other news, such as the answer to a signal
    }
    client = std::move(found->second.client);
    run_dir_of_fd_.erase(client->fd());
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, client->fd(), nullptr);
    who = found->second.who;
    expected = found->second.expected;
    changed_.notify_all();
  }
  shim::ShimState state = shim::ReadShimState(run_dir);
  std::string how = state.exit ? DescribeExit(*state.exit) : "ended together with its shim";
  absl::Duration ran = state.exit ? state.exit->ended - state.exit->started : absl::ZeroDuration();
  Tell(expected ? Event::Type::kStopped : Event::Type::kExited, who, std::move(how), ran);
}

void Supervisor::Tell(Event::Type type, const Watched& who, std::string message, absl::Duration ran) {
  if (sink_) {
    sink_({.type = type, .who = who, .message = std::move(message), .ran = ran});
  }
}

}  // namespace mg::supervisor
