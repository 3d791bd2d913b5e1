/// Calls to pgctld and multipooler: many questions at once for status, single orders for start and stop. Channels are
/// kept per port and dropped when a server is away, so that a restarted one is found at once. Any thread; blocking.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "multipoolermanagerdata.pb.h"
#include "pgctldservice.pb.h"

namespace grpc {
class Channel;
}

namespace mg::local {

/// A Status RPC and its answer.
struct StatusQuestion {
  enum class Server { kPgctld, kMultipooler };
  Server server = Server::kPgctld;
  int port = 0;

  absl::Status status = absl::UnavailableError("not asked");
  pgctldservice::StatusResponse pgctld;
  multipoolermanagerdata::StatusResponse multipooler;
  std::string archive_fails_at;  ///< as the built-in multipooler says beside its answer; empty: archiving works
};

class ComponentRpc {
 public:
  ComponentRpc();
  ~ComponentRpc();

  /// Asks all of them at once; each has its own result. `meanwhile` runs in this thread while they are under way.
  void Ask(std::vector<StatusQuestion>* questions, absl::Time deadline,
           const std::function<void()>& meanwhile = nullptr);

  /// Stops PostgreSQL through its pgctld. Modes: fast, immediate.
  absl::Status StopPostgres(int pgctld_port, const std::string& mode, absl::Time deadline);
  /// Starts it, as a standby. Running already is success.
  absl::Status StartPostgres(int pgctld_port, absl::Time deadline);
  /// Whether a multipooler starts its PostgreSQL again when it ends.
  absl::Status SetPostgresRestarts(int multipooler_port, bool enabled, absl::Time deadline);

  /// Closes every channel; they are opened again when needed.
  void Forget();

 private:
  std::shared_ptr<grpc::Channel> ChannelTo(int port);
  void Drop(int port);

  std::mutex mutex_;
  std::map<int, std::shared_ptr<grpc::Channel>> channels_;
};

}  // namespace mg::local
