/// pgctldservice.PgCtld: the RPCs' translation to PostgresServer and friends. As upstream, every failure is code
/// UNKNOWN with a text.
#pragma once

#include <atomic>
#include <mutex>

#include "components/pgctld/options.h"
#include "components/pgctld/postgres_server.h"
#include "pgctldservice.grpc.pb.h"

namespace mg::pgctld {

class PgCtldService final : public pgctldservice::PgCtld::Service {
 public:
  explicit PgCtldService(const Options& options) : options_(options), server_(options) {}

  grpc::Status Start(grpc::ServerContext*, const pgctldservice::StartRequest*, pgctldservice::StartResponse*) override;
  grpc::Status Stop(grpc::ServerContext*, const pgctldservice::StopRequest*, pgctldservice::StopResponse*) override;
  grpc::Status Restart(grpc::ServerContext*, const pgctldservice::RestartRequest*,
                       pgctldservice::RestartResponse*) override;
  grpc::Status ReloadConfig(grpc::ServerContext*, const pgctldservice::ReloadConfigRequest*,
                            pgctldservice::ReloadConfigResponse*) override;
  grpc::Status Status(grpc::ServerContext*, const pgctldservice::StatusRequest*,
                      pgctldservice::StatusResponse*) override;
  grpc::Status Version(grpc::ServerContext*, const pgctldservice::VersionRequest*,
                       pgctldservice::VersionResponse*) override;
  grpc::Status InitDataDir(grpc::ServerContext*, const pgctldservice::InitDataDirRequest*,
                           pgctldservice::InitDataDirResponse*) override;
  grpc::Status PgRewind(grpc::ServerContext*, const pgctldservice::PgRewindRequest*,
                        pgctldservice::PgRewindResponse*) override;
  grpc::Status StopRestoreCommand(grpc::ServerContext*, const pgctldservice::StopRestoreCommandRequest*,
                                  pgctldservice::StopRestoreCommandResponse*) override;

 private:
  /// The caller's patience: its deadline, its going away, and for a start also a stop that waits for its turn.
  Patience Of(grpc::ServerContext* context, bool yields_to_stop = false);
  /// Before a stop takes its turn: what is under way makes way for it.
  std::unique_lock<std::mutex> LockForStop(const std::string& mode);

  const Options& options_;
  PostgresServer server_;
  std::mutex mutex_;                   ///< one change at a time; Status takes no part
  std::atomic<int> stops_waiting_{0};  ///< a start that only waits for readiness lets them through
};

}  // namespace mg::pgctld
