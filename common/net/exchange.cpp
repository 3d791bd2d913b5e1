#include "common/net/exchange.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/fs/unique_fd.h"
#include "common/status/status.h"

namespace mg::net {

namespace {

enum class Phase { kConnecting, kSending, kReading, kDone };

struct Conversation {
  Exchange* exchange;
  UniqueFd fd;
  Phase phase = Phase::kConnecting;
  size_t sent = 0;

  std::string Place() const {
    return exchange->unix_path.empty() ? absl::StrCat("127.0.0.1:", exchange->port) : exchange->unix_path;
  }
  void End(absl::Status status) {
    exchange->status = std::move(status);
    phase = Phase::kDone;
    fd.Reset();
  }
  void Fail(int error, absl::string_view what) {
    End(absl::UnavailableError(absl::StrCat(what, " ", Place(), ": ", std::strerror(error))));
  }
};

void Begin(Conversation* c) {
  c->exchange->received.clear();
  bool is_unix = !c->exchange->unix_path.empty();
  c->fd = UniqueFd(socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!c->fd.valid()) {
    return c->Fail(errno, "make a socket for");
  }
  int result = 0;
  if (is_unix) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (c->exchange->unix_path.size() >= sizeof(address.sun_path)) {
      return c->Fail(ENAMETOOLONG, "connect to");
    }
    std::memcpy(address.sun_path, c->exchange->unix_path.data(), c->exchange->unix_path.size());
    result = connect(c->fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address));
  } else {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(c->exchange->port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    result = connect(c->fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address));
  }
  if (result != 0 && errno != EINPROGRESS) {
    c->Fail(errno, "connect to");
  }
}

void Send(Conversation* c) {
  const std::string& request = c->exchange->request;
  while (c->sent < request.size()) {
    ssize_t size = send(c->fd.get(), request.data() + c->sent, request.size() - c->sent, MSG_NOSIGNAL);
    if (size < 0 && errno == EINTR) {
      continue;
    }
    if (size < 0 && errno == EAGAIN) {
      return;
    }
    if (size < 0) {
      return c->Fail(errno, "send to");
    }
    c->sent += static_cast<size_t>(size);
  }
  c->phase = Phase::kReading;
  if (!c->exchange->complete) {
    c->End(absl::OkStatus());
  }
}

void Read(Conversation* c) {
  char buffer[4096];
  for (;;) {
    ssize_t size = recv(c->fd.get(), buffer, sizeof(buffer), 0);
    if (size < 0 && errno == EINTR) {
      continue;
    }
    if (size < 0 && errno == EAGAIN) {
      return;
    }
    if (size < 0) {
      return c->Fail(errno, "read from");
    }
    c->exchange->received.append(buffer, static_cast<size_t>(size));
    if (c->exchange->complete(c->exchange->received)) {
      return c->End(absl::OkStatus());
    }
    if (size == 0) {
      return c->End(absl::UnavailableError(absl::StrCat(c->Place(), " closed the connection without an answer")));
    }
  }
}

void Advance(Conversation* c) {
  if (c->phase == Phase::kConnecting) {
    int error = 0;
    socklen_t size = sizeof(error);
    getsockopt(c->fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) {
      return c->Fail(error, "connect to");
    }
    c->phase = Phase::kSending;
  }
  if (c->phase == Phase::kSending) {
    Send(c);
  }
  if (c->phase == Phase::kReading) {
    Read(c);
  }
}

}  // namespace

void RunExchanges(std::vector<Exchange>* exchanges, absl::Time deadline) {
  std::vector<Conversation> all;
  all.reserve(exchanges->size());
  for (Exchange& exchange : *exchanges) {
    all.push_back({.exchange = &exchange});
    Begin(&all.back());
  }
  for (;;) {
    std::vector<pollfd> fds;
    std::vector<Conversation*> waiting;
    for (Conversation& c : all) {
      if (c.phase != Phase::kDone) {
        fds.push_back({c.fd.get(), static_cast<short>(c.phase == Phase::kReading ? POLLIN : POLLOUT), 0});
        waiting.push_back(&c);
      }
    }
    if (waiting.empty()) {
      return;
    }
    double left = std::max(0.0, absl::ToDoubleMilliseconds(deadline - absl::Now()));
    int ready = poll(fds.data(), fds.size(), static_cast<int>(std::min(left + 0.999, 3'600'000.0)));
    if (ready < 0 && errno == EINTR) {
      continue;
    }
    if (ready <= 0) {
      for (Conversation* c : waiting) {
        c->End(absl::DeadlineExceededError(absl::StrCat(c->Place(), " gave no answer in time")));
      }
      return;
    }
    for (size_t i = 0; i < fds.size(); ++i) {
      if (fds[i].revents != 0) {
        Advance(waiting[i]);
      }
    }
  }
}

absl::Status TryConnect(int port, absl::Time deadline) {
  std::vector<Exchange> one(1);
  one[0].port = port;
  RunExchanges(&one, deadline);
  return one[0].status;
}

}  // namespace mg::net
