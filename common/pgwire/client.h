/// A small blocking frontend: connects, logs in by SCRAM or without a password, runs simple queries. For probes; not
/// for data. One thread at a time; every call has a deadline.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace mg::pgwire {

struct ClientOptions {
  std::string host = "127.0.0.1";  ///< numeric address, or the directory of a Unix socket (absolute path)
  int port = 5432;
  std::string user = "postgres", database = "postgres", password;
  std::string application_name = "multigres";
};

class Client {
 public:
  /// The server's own error as UNAVAILABLE (class 57 and 53), UNAUTHENTICATED (28) or FAILED_PRECONDITION, text
  /// "<sqlstate>: <message>".
  static absl::StatusOr<std::unique_ptr<Client>> Connect(const ClientOptions& options, absl::Time deadline);
  virtual ~Client() = default;
  using Row = std::vector<std::optional<std::string>>;
  /// Rows of the last statement of a simple query.
  virtual absl::StatusOr<std::vector<Row>> Query(const std::string& sql, absl::Time deadline) = 0;
  /// What a CancelRequest for this connection must say.
  virtual std::uint32_t process_id() const = 0;
  virtual std::uint32_t secret() const = 0;
};

}  // namespace mg::pgwire
