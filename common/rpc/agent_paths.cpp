// OpenSSL 3 wants its hashes fetched by name, which sets all of it up first: a third of what a short command takes.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <fcntl.h>
#include <openssl/sha.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "common/fs/fs.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"

namespace mg::rpc {
namespace {

bool IsDirectoryOf(const std::string& path, unsigned uid) {
  struct stat info {};
  return !path.empty() && path.front() == '/' && ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode) &&
         info.st_uid == uid;
}

std::string ShortHash(const std::string& text) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256_CTX context;
  SHA256_Init(&context);
  SHA256_Update(&context, text.data(), text.size());
  SHA256_Final(digest, &context);
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest), 4));
}

}  // namespace

AgentPaths FindAgentPaths(const std::string& socket_override, const std::string& runtime_dir, unsigned uid,
                          const std::string& home, const std::string& default_home) {
  AgentPaths paths;
  if (!socket_override.empty()) {
    paths.directory = DirName(socket_override);
    paths.socket = socket_override;
  } else {
    paths.directory =
        IsDirectoryOf(runtime_dir, uid) ? JoinPath(runtime_dir, "multigres") : absl::StrCat("/tmp/multigres-", uid);
    paths.socket = JoinPath(paths.directory,
                            home == default_home ? "agent.sock" : absl::StrCat("agent-", ShortHash(home), ".sock"));
  }
  std::string base = BaseName(paths.socket);
  if (size_t dot = base.rfind('.'); dot != std::string::npos && dot > 0) {
    base.resize(dot);
  }
  paths.discovery = JoinPath(paths.directory, base + ".json");
  return paths;
}

absl::Status VerifyPrivateDirectory(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) {
    return ErrnoStatus(errno, absl::StrCat("stat ", path));
  }
  const char* what = nullptr;
  std::string hint = absl::StrCat("remove ", path, ", or set MULTIGRES_AGENT_SOCKET to a path in a private directory");
  if (!S_ISDIR(info.st_mode)) {
    what = "is not a directory";
  } else if (info.st_uid != ::geteuid()) {
    return MakeError(absl::StatusCode::kPermissionDenied,
                     absl::StrCat("directory ", path, " belongs to uid ", info.st_uid, ", not to this user"),
                     {.reason = "FOREIGN_DIRECTORY", .hint = hint});
  } else if ((info.st_mode & 077) != 0) {
    what = "is open to other users";
    hint = absl::StrCat("chmod 700 ", path, ", or set MULTIGRES_AGENT_SOCKET to a path in a private directory");
  } else {
    return absl::OkStatus();
  }
  return MakeError(absl::StatusCode::kPermissionDenied, absl::StrCat(path, " ", what),
                   {.reason = "DIRECTORY_NOT_PRIVATE", .hint = hint});
}

absl::StatusOr<UniqueFd> ConnectPrivate(const std::string& path, absl::Duration limit) {
  MG_RETURN_IF_ERROR(VerifyPrivateDirectory(DirName(path)));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return MakeError(absl::StatusCode::kInvalidArgument, absl::StrCat("socket path ", path, " is over 107 bytes"),
                     {.reason = "SOCKET_PATH_TOO_LONG", .hint = "set MULTIGRES_AGENT_SOCKET to a shorter path"});
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) {
    return ErrnoStatus(errno, absl::StrCat("connect to ", path));
  }
  if (info.st_uid != ::geteuid()) {
    return MakeError(absl::StatusCode::kPermissionDenied,
                     absl::StrCat("socket ", path, " belongs to uid ", info.st_uid, ", not to this user"),
                     {.reason = "FOREIGN_SOCKET", .hint = absl::StrCat("remove ", path)});
  }
  // A connect to a Unix socket is done at once, unless the listener's queue is full: then it blocks, which is right
  // here.
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) {
    return ErrnoStatus(errno, "socket");
  }
  const timeval time = absl::ToTimeval(std::max(limit, absl::Milliseconds(1)));  // 0 is for ever
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    if (errno == ECONNREFUSED) {
      return MakeError(absl::StatusCode::kUnavailable, absl::StrCat("nobody listens on ", path),
                       {.reason = "STALE_SOCKET"});
    }
    if (errno == EAGAIN) {
      return absl::DeadlineExceededError(absl::StrCat("connect to ", path, ": who listens there takes no connection"));
    }
    return ErrnoStatus(errno, absl::StrCat("connect to ", path));
  }
  ucred peer = {};
  socklen_t length = sizeof peer;
  if (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) {
    return ErrnoStatus(errno, absl::StrCat("peer of ", path));
  }
  if (peer.uid != ::geteuid()) {
    return MakeError(absl::StatusCode::kPermissionDenied,
                     absl::StrCat("process ", peer.pid, " of uid ", peer.uid, " listens on ", path),
                     {.reason = "FOREIGN_SOCKET", .hint = absl::StrCat("remove ", path)});
  }
  int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags < 0 || ::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
    return ErrnoStatus(errno, "fcntl");
  }
  return fd;
}

}  // namespace mg::rpc
