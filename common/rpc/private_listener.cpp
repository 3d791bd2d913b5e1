#include <fcntl.h>
#include <grpcpp/server.h>
#include <grpcpp/server_posix.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/fs/fs.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"

namespace mg::rpc {
namespace {

constexpr int kBacklog = 128;
/// Pause after a refusal that lasts (no descriptors left), during which the listener stays readable.
constexpr int kStarvedMillis = 100;

class UnixListener : public PrivateListener {
 public:
  UnixListener(UniqueFd listener, UniqueFd stop, std::string path, const struct stat& identity, bool ours)
      : listener_(std::move(listener)),
        stop_(std::move(stop)),
        path_(std::move(path)),
        identity_(identity),
        ours_(ours) {}

  ~UnixListener() override {
    // The file goes first: whoever looks for it from now on finds no agent, rather than one that does not answer.
    struct stat now {};
    if (ours_ && ::lstat(path_.c_str(), &now) == 0 && now.st_ino == identity_.st_ino &&
        now.st_dev == identity_.st_dev) {
      ::unlink(path_.c_str());
    }
    if (thread_.joinable()) {
      ::eventfd_write(stop_.get(), 1);
      thread_.join();
    }
  }

  void Serve(grpc::Server* server) override {
    thread_ = std::thread([this, server] { Accept(server); });
  }

 private:
  void Accept(grpc::Server* server) {
    pollfd fds[2] = {{.fd = stop_.get(), .events = POLLIN}, {.fd = listener_.get(), .events = POLLIN}};
    for (;;) {
      if (::poll(fds, 2, -1) < 0 && errno != EINTR) {
        return;
      }
      if (fds[0].revents != 0) {
        return;
      }
      UniqueFd peer(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!peer.valid()) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
          ::poll(fds, 1, kStarvedMillis);
        }
        continue;
      }
      ucred credentials = {};
      socklen_t length = sizeof credentials;
      if (::getsockopt(peer.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0 &&
          credentials.uid == ::geteuid()) {
        grpc::AddInsecureChannelFromFd(server, peer.Release());
      }
    }
  }

  UniqueFd listener_, stop_;
  std::string path_;
  struct stat identity_;
  const bool ours_;  ///< the file
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<PrivateListener>> PrivateListener::Open(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return MakeError(absl::StatusCode::kInvalidArgument, absl::StrCat("socket path ", path, " is over 107 bytes"),
                     {.reason = "SOCKET_PATH_TOO_LONG", .hint = "set MULTIGRES_AGENT_SOCKET to a shorter path"});
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  MG_RETURN_IF_ERROR(VerifyPrivateDirectory(DirName(path)));
  struct stat info {};
  if (::lstat(path.c_str(), &info) == 0) {
    if (!S_ISSOCK(info.st_mode)) {
      return MakeError(absl::StatusCode::kFailedPrecondition, absl::StrCat(path, " is no socket"),
                       {.reason = "NOT_A_SOCKET", .hint = absl::StrCat("remove ", path)});
    }
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
      return ErrnoStatus(errno, absl::StrCat("remove ", path));
    }
  }
  UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  UniqueFd stop(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!listener.valid() || !stop.valid()) {
    return ErrnoStatus(errno, "socket");
  }
  // The directory is private, so nobody can come in between bind and chmod.
  if (::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::chmod(path.c_str(), 0600) != 0 || ::lstat(path.c_str(), &info) != 0 ||
      ::listen(listener.get(), kBacklog) != 0) {
    return ErrnoStatus(errno, absl::StrCat("listen on ", path));
  }
  return std::make_unique<UnixListener>(std::move(listener), std::move(stop), path, info, /*ours=*/true);
}

absl::StatusOr<std::unique_ptr<PrivateListener>> PrivateListener::Adopt(UniqueFd listener, const std::string& path) {
  sockaddr_un address = {};
  socklen_t size = sizeof address;
  int type = 0, listens = 0;
  socklen_t int_size = sizeof type;
  bool good = ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0 &&
              address.sun_family == AF_UNIX &&
              ::getsockopt(listener.get(), SOL_SOCKET, SO_TYPE, &type, &int_size) == 0 && type == SOCK_STREAM &&
              ::getsockopt(listener.get(), SOL_SOCKET, SO_ACCEPTCONN, &listens, &int_size) == 0 && listens != 0;
  if (!good) {
    return MakeError(absl::StatusCode::kInvalidArgument, "the socket that was handed over is no listening Unix socket",
                     {.reason = "BAD_SOCKET", .hint = "see ListenStream= of the socket unit"});
  }
  address.sun_path[sizeof address.sun_path - 1] = '\0';
  if (path != address.sun_path) {
    return MakeError(
        absl::StatusCode::kInvalidArgument,
        absl::StrCat("the socket that was handed over is ", address.sun_path, ", and clients look for ", path),
        {.reason = "BAD_SOCKET",
         .hint = "give the socket unit's ListenStream= this path, or set MULTIGRES_AGENT_SOCKET"});
  }
  MG_RETURN_IF_ERROR(VerifyPrivateDirectory(DirName(path)));
  UniqueFd stop(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  int flags = ::fcntl(listener.get(), F_GETFL);
  struct stat info {};
  if (!stop.valid() || flags < 0 || ::fcntl(listener.get(), F_SETFL, flags | O_NONBLOCK) != 0 ||
      ::lstat(path.c_str(), &info) != 0) {
    return ErrnoStatus(errno, absl::StrCat("take over ", path));
  }
  return std::make_unique<UnixListener>(std::move(listener), std::move(stop), path, info, /*ours=*/false);
}

}  // namespace mg::rpc
