/// The pooler's calls to its pgctld. Facts: manager-rpcs section 4. Any thread; blocking, each call with a limit.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace mg::multipooler {

enum class PgState { kUnreachable, kNotInitialized, kStopped, kRunning };

struct PgctldStatus {
  PgState state = PgState::kUnreachable;
  int pid = 0;
  bool ready = false;
  std::string message;
};

class PgctldClient {
 public:
  explicit PgctldClient(const std::string& address);
  ~PgctldClient();

  /// kUnreachable at once when nobody listens, or when it does not answer in time.
  PgctldStatus Status(absl::Duration limit);
  absl::Status InitDataDir(absl::Duration limit);
  /// Returns when PostgreSQL accepts connections.
  absl::Status Start(bool as_primary, bool suspected_divergence, absl::Duration limit);
  absl::Status Stop(const std::string& mode, absl::Duration limit);
  absl::Status RestartAsStandby(const std::string& mode, absl::Duration limit);
  /// Also of a server that does not accept connections yet.
  absl::Status ReloadConfig(absl::Duration limit);
  absl::Status PgRewind(const std::string& host, int port, const std::string& application_name, absl::Duration limit);
  /// Cancels calls under way and makes later ones fail, except Status and Stop: for the end of the process.
  void Abort();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mg::multipooler
