#include "components/multipooler/pool/read_gate.h"

#include <poll.h>
#include <sys/socket.h>

#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "absl/status/statusor.h"
#include "common/log/log.h"
#include "common/process/process_id.h"

namespace mg::multipooler {
namespace {

using boost::system::error_code;
constexpr auto kRetry = std::chrono::milliseconds(20);

}  // namespace

ReadGate::~ReadGate() {
  if (thread_.joinable()) {
    thread_.join();
  }
}

void ReadGate::Suspect(absl::string_view why) {
  if (!confirm_ || stopping_) {
    return;
  }
  ++suspicions_;
  if (!shut_) {
    shut_ = true;
    since_ = std::chrono::steady_clock::now();
    log::Warn("answers wait until the standbys have confirmed what is committed here", {{"why", why}});
  }
  Begin();
}

void ReadGate::Begin() {
  if (!shut_ || running_ || stopping_ || barred_) {
    return;
  }
  running_ = true;
  if (thread_.joinable()) {
    thread_.join();  // it has told its end
  }
  thread_ = std::thread([this, asked = suspicions_] {
    absl::Status status = confirm_();
    asio::post(loop_, [this, asked, status] { Ended(asked, status); });
  });
}

void ReadGate::Ended(std::uint64_t asked, const absl::Status& status) {
  running_ = false;
  if (status.ok() && asked == suspicions_) {
    shut_ = false;
    auto held = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - since_);
    log::Info("the standbys have confirmed what is committed here", {{"held_ms", held.count()}});
    WakeIfOpen();
    return;
  }
  if (status.ok()) {
    Begin();  // there was another one meanwhile
    return;
  }
  log::Debug("what is committed here is not confirmed", {{"error", status}});
  retry_.expires_after(kRetry);
  retry_.async_wait([this](error_code cancelled) {
    if (!cancelled) {
      Begin();
    }
  });
}

void ReadGate::WakeIfOpen() {
  if (!shut()) {
    for (asio::steady_timer* timer : waiting_) {
      timer->cancel();
    }
  }
}

void ReadGate::Watch(int server_socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(server_socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.pid <= 0 ||
      (peer.pid == postmaster_ && postmaster_fd_.valid())) {
    return;  // by TCP the kernel does not know
  }
  absl::StatusOr<ProcessId> process = IdentifyProcess(peer.pid);
  absl::StatusOr<UniqueFd> opened = process.ok() ? OpenPidfd(*process) : absl::StatusOr<UniqueFd>(process.status());
  if (!opened.ok()) {
    log::Warn("the death of PostgreSQL's postmaster would not be noticed at once", {{"error", opened.status()}});
    return;
  }
  postmaster_ = peer.pid;
  postmaster_fd_ = *std::move(opened);
}

bool ReadGate::PostmasterHasDied() const {
  pollfd death = {postmaster_fd_.get(), POLLIN, 0};
  return postmaster_fd_.valid() && ::poll(&death, 1, 0) > 0;
}

void ReadGate::LookAtPostmaster() {
  if (!shut() && PostmasterHasDied()) {
    postmaster_fd_.Reset();
    Suspect("PostgreSQL has died");
  }
}

asio::awaitable<void> ReadGate::Wait(asio::steady_timer& timer) {
  if (!shut()) {
    co_return;
  }
  timer.expires_at(asio::steady_timer::time_point::max());
  waiting_.insert(&timer);
  error_code ignored;
  co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  waiting_.erase(&timer);
}

void ReadGate::Barred() {
  Begin();
  WakeIfOpen();
}

void ReadGate::Stop() {
  stopping_ = true;
  retry_.cancel();
}

}  // namespace mg::multipooler
