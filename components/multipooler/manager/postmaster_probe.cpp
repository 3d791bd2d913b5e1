#include "components/multipooler/manager/postmaster_probe.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/fs/fs.h"

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
  postmaster_ = 0;
  next_ = absl::InfinitePast();
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
  if (!trying_ && !socket_path_.empty() && (now >= next_ || Stopped())) {
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
  postmaster_ = getsockopt(socket_.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? peer.pid : 0;
  if (send(socket_.get(), kQuestion.data(), kQuestion.size(), MSG_NOSIGNAL) < 0) {
    Answered();
  }
}

bool PostmasterProbe::Stopped() const {
  absl::StatusOr<std::string> stat =
      postmaster_ > 0 ? ReadFile(absl::StrCat("/proc/", postmaster_, "/stat")) : absl::NotFoundError("");
  std::size_t name_end = stat.ok() ? stat->rfind(')') : std::string::npos;  // the name may hold anything
  return name_end != std::string::npos && name_end + 2 < stat->size() &&
         absl::ascii_tolower((*stat)[name_end + 2]) == 't';
}

}  // namespace mg::multipooler
