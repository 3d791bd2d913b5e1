#include "components/multipooler/manager/postmaster_probe.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace mg::multipooler {
namespace {

// SSLRequest: the first thing that any client may send. Each PostgreSQL answers it with one byte, whatever else it
// would refuse, and says nothing of it in its log.
constexpr std::array<unsigned char, 8> kQuestion = {0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f};

}  // namespace

PostmasterProbe::PostmasterProbe(const PostgresEndpoint& postgres, absl::Duration interval, absl::Duration limit)
    : socket_path_(postgres.socket_directory.empty()
                       ? ""
                       : absl::StrCat(postgres.socket_directory, "/.s.PGSQL.", postgres.port)),
      interval_(interval),
      limit_(limit) {}

void PostmasterProbe::Reset() {
  Answered();
  postmaster_ = ProcessId();
  next_ = absl::InfinitePast();
}

void PostmasterProbe::LetGo() {
  socket_.Reset();
  trying_ = false;
}

void PostmasterProbe::Answered() {
  socket_.Reset();
  trying_ = false;
  silent_ = 0;
}

void PostmasterProbe::Step(absl::Time now) {
  absl::Duration since = now - std::exchange(stepped_, now);
  if (socket_.valid()) {
    char answer = 0;
    ssize_t got = recv(socket_.get(), &answer, 1, MSG_DONTWAIT);
    if (got >= 0 || (errno != EAGAIN && errno != EINTR)) {
      Answered();  // or it has ended, which is noticed otherwise
    }
  }
  if (trying_) {
    waited_ += std::min(since, limit_ / 2);
    if (waited_ >= limit_) {
      socket_.Reset();
      trying_ = false;
      ++silent_;
      next_ = now;
    }
  }
  if (!trying_ && !socket_path_.empty() && (now >= next_ || IsStopped(postmaster_))) {
    trying_ = true;
    next_ = now + interval_;
    waited_ = absl::ZeroDuration();
  }
  if (trying_ && !socket_.valid()) {
    Ask();
  }
}

void PostmasterProbe::Ask() {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socket_ = UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket_.valid() || socket_path_.size() >= sizeof address.sun_path) {
    Answered();  // nothing can be said
    return;
  }
  std::memcpy(address.sun_path, socket_path_.c_str(), socket_path_.size() + 1);
  if (connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    if (errno == EAGAIN) {
      socket_.Reset();  // the queue is full of those that it does not take: asked again at the next step
    } else {
      Answered();  // nobody listens: it ends or has ended, which is noticed otherwise
    }
    return;
  }
  ucred peer{};
  socklen_t size = sizeof peer;
  if (getsockopt(socket_.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid != postmaster_.pid) {
    postmaster_ = IdentifyProcess(peer.pid).value_or(ProcessId());
  }
  if (send(socket_.get(), kQuestion.data(), kQuestion.size(), MSG_NOSIGNAL) < 0) {
    Answered();
  }
}

}  // namespace mg::multipooler
