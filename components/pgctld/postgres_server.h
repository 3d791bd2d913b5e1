/// One PostgreSQL server under its shim: start, stop, state. The shim's files are the truth, so a server that an
/// earlier pgctld started is simply found. Start, Stop, Reload and the recovery calls are serialised by the owner
/// (PgCtldService's lock); State, Running and StopAtOnce may be called from any thread at any time.
#pragma once

#include <functional>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/pginstall/pginstall.h"
#include "components/pgctld/options.h"

namespace mg::pgctld {

enum class ServerState { kNotInitialized, kStopped, kStarting, kRunning, kStopping };

struct ServerInfo {
  ServerState state = ServerState::kStopped;
  int pid = 0;
  bool ready = false;   ///< accepts connections, asked now
  std::string version;  ///< of the binaries that the data needs
  absl::Duration uptime;
  std::string message;  ///< why it does not run, for people; may be empty
};

/// Bound of a call: its own time, and the caller's patience. `cancelled` may be empty.
struct Patience {
  absl::Time deadline = absl::InfiniteFuture();
  std::function<bool()> cancelled;
};

/// In which role a server comes up: by standby.signal, which is written, removed, or left as it is.
enum class StartRole { kStandby, kPrimary, kUnchanged };

class PostgresServer {
 public:
  explicit PostgresServer(const Options& options) : options_(options) {}

  bool Initialized() const;
  bool Running() const;
  int Pid() const;  ///< of the postmaster; 0: none
  ServerInfo State() const;
  bool IsStandby() const;  ///< standby.signal is there

  struct StartOptions {
    StartRole role = StartRole::kStandby;
    bool local_only = false;  ///< no TCP, for the work right after initdb
  };
  /// Starts and waits until it accepts connections. True: it ran already. CANCELLED leaves it starting.
  absl::StatusOr<bool> Start(const StartOptions& start, const Patience& patience = {});
  /// smart, fast or immediate (empty: fast), each followed by what is harsher within the bound: smart, fast, the end of
  /// walsenders whose standbys do not answer, immediate, SIGKILL. True: it did not run. CANCELLED leaves the ladder to
  /// the shim.
  absl::StatusOr<bool> Stop(const std::string& mode, const Patience& patience = {});
  /// An immediate stop that does not wait for a Start or Stop under way, which then ends soon.
  void StopAtOnce();
  absl::Status Reload();
  /// Whether the last stop was unclean, from pg_controldata.
  absl::StatusOr<bool> NeedsCrashRecovery() const;
  /// Recovers in single-user mode, as the contract's preparation of a rewind. Removes standby.signal, without which
  /// single-user mode does not work; Start writes it again.
  absl::Status CrashRecovery() const;
  /// The installation that the data needs. Remembered, for finding it runs programs.
  absl::StatusOr<pginstall::Installation> Installation() const;
  std::string socket_path() const;

 private:
  absl::Status WriteStandbySignal(StartRole role) const;
  absl::Status WaitReady(const Patience& patience) const;
  absl::Status Launch(const StartOptions& start);

  const Options& options_;
  mutable std::mutex mutex_;  ///< guards the two below
  mutable std::string known_major_;
  mutable pginstall::Installation known_;
};

}  // namespace mg::pgctld
