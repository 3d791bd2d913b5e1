/// A pgctld with real PostgreSQL in a place of its own, held by a shim as the agent would hold it. At its end nothing
/// of it runs. One thread.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/pgsql/connection.h"
#include "common/process/helper.h"
#include "pgctldservice.grpc.pb.h"

namespace mg::tests {

class PgctldSandbox {
 public:
  /// `user`: whom pgctld itself runs as, when the test is root; empty: the test's own user.
  explicit PgctldSandbox(const std::string& user = "");
  ~PgctldSandbox();
  PgctldSandbox(const PgctldSandbox&) = delete;
  PgctldSandbox& operator=(const PgctldSandbox&) = delete;

  /// Whether this machine can run these tests: PostgreSQL, and its user when the test is root.
  static bool Possible();

  std::string directory() const { return directory_; }
  std::string pooler_dir() const { return directory_ + "/pooler"; }
  std::string data_dir() const { return pooler_dir() + "/pg_data"; }
  std::string log_dir() const { return directory_ + "/postgres-log"; }
  /// Whom PostgreSQL runs as, when that is not the test's own user; else empty.
  std::string postgres_user() const { return postgres_user_; }
  int port() const { return port_; }
  std::map<std::string, std::string>& environment() { return environment_; }
  std::vector<std::string>& flags() { return flags_; }

  /// Starts `pgctld server` and waits until it answers.
  void Serve();
  /// Kills pgctld by -9 and waits until it and its shim are gone.
  void KillPgctld();
  /// A one-shot command.
  HelperResult Run(const std::vector<std::string>& words);

  /// A copy of a data directory that was initialised once for all tests.
  void CopyTemplate();

  pgctldservice::StatusResponse Status();
  grpc::Status Start(bool as_primary, pgctldservice::StartResponse* response = nullptr);
  grpc::Status Stop(const std::string& mode, pgctldservice::StopResponse* response = nullptr);
  grpc::Status Restart(bool as_standby, const std::string& mode = "fast");
  grpc::Status Init(pgctldservice::InitDataDirResponse* response = nullptr);
  pgctldservice::PgCtld::Stub& stub() { return *stub_; }

  absl::StatusOr<std::unique_ptr<pgsql::Connection>> Connect(const std::string& password = "secret",
                                                             bool over_tcp = false);
  /// The value of a query's first column and row; the error's text when there is one.
  std::string Ask(const std::string& sql);

 private:
  static const std::string& Template();

  std::string directory_, user_, postgres_user_, password_ = "secret";
  int port_ = 0, grpc_port_ = 0, http_port_ = 0;
  std::map<std::string, std::string> environment_;
  std::vector<std::string> flags_;
  std::unique_ptr<pgctldservice::PgCtld::Stub> stub_;
};

/// A TCP port of loopback that is free now.
int FreePort();
/// Polls until it is true; false after the bound.
bool Eventually(const std::function<bool()>& predicate, absl::Duration bound = absl::Seconds(20));

}  // namespace mg::tests
