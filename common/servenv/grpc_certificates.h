/// TLS of a gRPC server whose certificate, key and authorities may be renewed while it runs.
#pragma once

#include <grpcpp/security/server_credentials.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace mg::servenv {

/// PEM files. Empty: none.
struct GrpcCertificateFiles {
  std::string certificate, key;
  std::string chain;      ///< what stands between the certificate and its authority, where that is a file of its own
  std::string authority;  ///< clients then have to show a certificate of it
};

/// Looked at for each new connection. Files that cannot be used, as in the midst of a renewal, are logged, and what was
/// good before stays: the file watcher of the gRPC library closes the port to everybody in that case. TLS 1.2 is the
/// least. `names`: where not empty, a client's certificate has one of them in its subject or alternative names, else
/// its calls are UNAUTHENTICATED. They have to outlive the server. An error: files that cannot be used now.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> RenewedGrpcCredentials(const GrpcCertificateFiles& files,
                                                                                std::vector<std::string> names);

}  // namespace mg::servenv
