// A component for the random walk: cheap to start, with a grandchild that has left its session, and with manners that a
// file changes while it runs. It answers GET /live on its port:
//
//   ok         200
//   unready    503
//   silent     not at all
//   stubborn   200, but SIGTERM is not heard
//   broken     it ends with status 3 as soon as it starts
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

namespace {

std::string ModeIn(const char* path) {
  std::string mode;
  std::ifstream(path) >> mode;
  return mode;
}

void Answer(int client, const std::string& mode) {
  char request[1024];
  if (::recv(client, request, sizeof request, 0) <= 0) {
    return;
  }
  std::string status = mode == "unready" ? "503 Service Unavailable" : "200 OK";
  std::string reply = "HTTP/1.1 " + status + "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
  (void)!::send(client, reply.data(), reply.size(), MSG_NOSIGNAL);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s PORT MODE_FILE\n", argv[0]);
    return 2;
  }
  if (ModeIn(argv[2]) == "broken") {
    std::puts("it was broken on purpose");
    return 3;
  }
  if (::fork() == 0) {
    ::setsid();
    ::prctl(PR_SET_NAME, "walk-grandchild");
    for (;;) {
      ::pause();
    }
  }
  ::prctl(PR_SET_NAME, "walk-main");  // tells it from a grandchild that has not come so far
  int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int on = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(std::atoi(argv[1])));
  if (::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || ::listen(listener, 16) != 0) {
    std::perror("listen");
    return 1;
  }
  std::puts("it listens");
  std::fflush(stdout);
  std::vector<int> unanswered;
  for (;;) {
    int client = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) {
      continue;
    }
    std::string mode = ModeIn(argv[2]);
    ::signal(SIGTERM, mode == "stubborn" ? SIG_IGN : SIG_DFL);
    if (mode == "silent") {
      unanswered.push_back(client);
      continue;
    }
    Answer(client, mode);
    ::close(client);
  }
}
