/// One PostgreSQL server under its shim: start, stop, state. Calls are serialised by the owner (PgCtldService's lock);
/// State may be called from any thread.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "components/pgctld/options.h"

namespace mg::pgctld {

/// Gives a path to PostgreSQL's user when there is one. Needs root then.
absl::Status GiveToUser(const std::string& path, const std::string& user);

enum class ServerState { kNotInitialized, kStopped, kStarting, kRunning, kStopping };

struct ServerInfo {
  ServerState state = ServerState::kStopped;
  int pid = 0;
  bool ready = false;   ///< accepts connections
  std::string version;  ///< of the binaries that the data needs
  absl::Duration uptime;
};

class PostgresServer {
 public:
  explicit PostgresServer(const Options& options) : options_(options) {}

  bool Initialized() const;
  ServerInfo State() const;

  struct StartOptions {
    bool as_primary = false;
    bool local_only = false;  ///< no TCP, for the work right after initdb
  };
  /// Starts and waits until it accepts connections. True: it ran already.
  absl::StatusOr<bool> Start(const StartOptions& start);
  /// smart, fast or immediate; each followed by what is harsher within the timeout. True: it did not run.
  absl::StatusOr<bool> Stop(const std::string& mode);
  absl::Status Reload();
  /// Whether the last stop was unclean, from pg_controldata.
  absl::StatusOr<bool> NeedsCrashRecovery() const;
  /// Recovers in single-user mode, as the contract's preparation of a rewind.
  absl::Status CrashRecovery() const;

 private:
  absl::Status RemoveStalePidFile() const;
  absl::Status WriteStandbySignal(bool as_primary) const;
  absl::Status WaitReady(absl::Time deadline) const;

  const Options& options_;
};

}  // namespace mg::pgctld
