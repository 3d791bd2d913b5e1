/// The pooler's PostgreSQL endpoint for gateways of other machines: TCP with mutual TLS, carried to the private Unix
/// socket of the pool. Owns one thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace mg::multipooler {

struct RemoteOptions {
  std::string address = "127.0.0.1";
  int port = 0;
  std::string certificate, key, authority;  ///< PEM files, all needed
  std::vector<std::string> names;           ///< parts of subjects that may come in; empty: all of the authority
  std::string socket_path;                  ///< the pool's
};

class RemoteEndpoint {
 public:
  static std::unique_ptr<RemoteEndpoint> Create(RemoteOptions options);
  virtual ~RemoteEndpoint() = default;  ///< cuts every connection off
  /// INVALID_ARGUMENT for the files, UNAVAILABLE for the port.
  virtual absl::Status Start() = 0;
};

}  // namespace mg::multipooler
