#include "shim/control.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace mg::shim {
namespace {

constexpr size_t kMaxClients = 16;
constexpr size_t kMaxLine = 4096;

}  // namespace

bool ParseCommand(const std::string& line, Command* command) {
  char word[16] = {};
  int used = 0;
  if (std::sscanf(line.c_str(), "%15s%n", word, &used) != 1) {
    return false;
  }
  const char* rest = line.c_str() + used;
  command->steps.clear();
  if (std::strcmp(word, "rotate") == 0) {
    command->kind = Command::Kind::kRotate;
    return true;
  }
  if (std::strcmp(word, "signal") == 0) {
    int signal = 0, tree = 0;
    if (std::sscanf(rest, "%d %d", &signal, &tree) < 1 || signal < 1 || signal > 64) {
      return false;
    }
    command->kind = Command::Kind::kSignal;
    command->steps.push_back({signal, 0, tree != 0});
    return true;
  }
  if (std::strcmp(word, "stop") == 0) {
    command->kind = Command::Kind::kStop;
    int signal = 0, wait = 0, tree = 0, n = 0;
    while (std::sscanf(rest, " %d:%d:%d%n", &signal, &wait, &tree, &n) == 3) {
      if (signal < 1 || signal > 64 || wait < 0) {
        return false;
      }
      command->steps.push_back({signal, wait, tree != 0});
      rest += n;
    }
    return !command->steps.empty();
  }
  return false;
}

Control::~Control() {
  if (listener_.valid()) {
    ::unlink(path_.c_str());
  }
}

int Control::Listen(const std::string& run_dir, long long generation) {
  path_ = run_dir + "/control.sock";
  hello_ = "hello 1 " + std::to_string(generation) + "\n";
  ::unlink(path_.c_str());
  UniqueFd directory(::open(run_dir.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!directory.valid() || !listener.valid()) {
    return errno;
  }
  // Through the directory's descriptor: the path itself may be longer than a socket address holds.
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/control.sock", directory.get());
  mode_t mask = ::umask(0177);
  int failed = ::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
  int error = errno;
  ::umask(mask);
  if (failed != 0) {
    return error;
  }
  if (::listen(listener.get(), 8) != 0) {
    return errno;
  }
  listener_ = std::move(listener);
  return 0;
}

void Control::Accept() {
  UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!fd.valid()) {
    return;
  }
  ucred peer{};
  socklen_t size = sizeof peer;
  bool known =
      ::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && (peer.uid == ::geteuid() || peer.uid == 0);
  if (!known || clients_.size() >= kMaxClients) {
    return;
  }
  (void)!::send(fd.get(), hello_.data(), hello_.size(), MSG_NOSIGNAL);
  clients_.push_back({std::move(fd), ""});
}

bool Control::Receive(Client* client, std::vector<Command>* commands) {
  char buffer[512];
  ssize_t n = ::recv(client->fd.get(), buffer, sizeof buffer, 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
    return true;
  }
  if (n <= 0) {
    return false;
  }
  client->input.append(buffer, static_cast<size_t>(n));
  size_t end = 0;
  while ((end = client->input.find('\n')) != std::string::npos) {
    Command command;
    if (ParseCommand(client->input.substr(0, end), &command)) {
      commands->push_back(command);
    }
    client->input.erase(0, end + 1);
  }
  return client->input.size() <= kMaxLine;
}

void Control::Broadcast(const std::string& line) {
  for (Client& client : clients_) {
    (void)!::send(client.fd.get(), line.data(), line.size(), MSG_NOSIGNAL);
  }
}

}  // namespace mg::shim
