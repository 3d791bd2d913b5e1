/// gRPC glue that the agent, the CLI and the components share: error codec, channels, the private Unix-socket listener.
/// The only common folder whose sources see grpcpp beyond what servenv needs. Any thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/fs/unique_fd.h"

namespace grpc {
class Channel;
class ClientContext;
class Server;
class Status;
}  // namespace grpc

namespace mg::rpc {

/// absl::Status to the wire: the same code and message; an ErrorDetail travels as google.rpc.Status in the status
/// details with google.rpc.ErrorInfo{reason, domain "multigres.dev", metadata: hint, subject, log_tail lines joined by
/// \n}.
grpc::Status ToGrpc(const absl::Status& status);
absl::Status FromGrpc(const grpc::Status& status);

/// A google.rpc.Status as bytes, for places that are not gRPC. OK is empty.
std::string EncodeStatus(const absl::Status& status);
absl::Status DecodeStatus(const std::string& bytes);

/// A channel over a connected descriptor, which it owns. It does not reconnect.
std::shared_ptr<grpc::Channel> ChannelFromFd(UniqueFd fd);
/// Channel to `host:port` or `unix:/path`, plaintext, messages up to 16 MiB, own subchannel pool, reconnects after at
/// most 1 s.
std::shared_ptr<grpc::Channel> DialPlain(const std::string& target);
void SetDeadline(grpc::ClientContext* context, absl::Time deadline);

/// Where the agent's socket is: $MULTIGRES_AGENT_SOCKET, else $XDG_RUNTIME_DIR/multigres/agent.sock, else
/// /tmp/multigres-<uid>/agent.sock; with a home that is not the default, agent-<8 hex of sha256(home)>.sock.
struct AgentPaths {
  std::string directory;  ///< 0700, this user's
  std::string socket;
  std::string discovery;  ///< agent.json beside it: socket, pid, start time, versions, protocol range
};
/// `runtime_dir` is the value of XDG_RUNTIME_DIR; it is passed over when it is no directory of this user (sudo and su
/// leave the former user's).
AgentPaths FindAgentPaths(const std::string& socket_override, const std::string& runtime_dir, unsigned uid,
                          const std::string& home, const std::string& default_home);

/// OK for a real directory (no symlink) of this user that nobody else may enter; NOT_FOUND when there is none; else
/// PERMISSION_DENIED. Changes nothing.
absl::Status VerifyPrivateDirectory(const std::string& path);

/// Connects to a private Unix socket and verifies that a process of this user listens there. UNAVAILABLE: nobody
/// listens (`reason` STALE_SOCKET when the file is there); NOT_FOUND: no such file; PERMISSION_DENIED: somebody else's.
/// DEADLINE_EXCEEDED: the listener takes no connection within `limit`. The descriptor is non-blocking.
absl::StatusOr<UniqueFd> ConnectPrivate(const std::string& path, absl::Duration limit = absl::Seconds(5));

/// Listens on a private Unix socket, checks each peer's uid (SO_PEERCRED) and hands good connections to a gRPC server;
/// others are closed before a byte is read. Owns its accept thread.
class PrivateListener {
 public:
  /// The caller holds the agent's lock, so an existing socket file is stale and is replaced. PERMISSION_DENIED when the
  /// directory is not private to this user; INVALID_ARGUMENT for a path over 107 bytes.
  static absl::StatusOr<std::unique_ptr<PrivateListener>> Open(const std::string& path);
  /// One that somebody else made and keeps (systemd): a listening Unix stream socket at exactly this path, whose file
  /// is left alone at the end. INVALID_ARGUMENT for anything else; PERMISSION_DENIED as above.
  static absl::StatusOr<std::unique_ptr<PrivateListener>> Adopt(UniqueFd listener, const std::string& path);
  virtual ~PrivateListener() = default;          ///< stops accepting, removes the socket file
  virtual void Serve(grpc::Server* server) = 0;  ///< starts the accept thread; the server must outlive the listener
};

}  // namespace mg::rpc
