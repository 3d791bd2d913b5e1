/// The flags that all of upstream's servers share (components contract 4.1 and 4.2). Values after Parse; main thread
/// only.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/flags/flags.h"

namespace grpc {
class ServerBuilder;
class ServerCredentials;
}  // namespace grpc

namespace mg::servenv {

struct ServerFlags {
  int http_port = 0;
  std::string bind_address, hostname;
  absl::Duration lameduck_period = absl::Milliseconds(50);
  absl::Duration onterm_timeout = absl::Seconds(30);
  absl::Duration onclose_timeout = absl::Seconds(10);
  std::string pid_file;
  bool pprof_http = true;
  std::vector<std::string> pprof, service_map;
  std::string mtls_allowed, http_tls_cert, http_tls_key;
  bool log_err_stacks = false;
  std::string log_level = "info", log_format = "json", log_output = "stdout";
  std::vector<std::string> config_path;
  std::string config_name = "mtconfig", config_type, config_file, config_not_found = "warn";
  absl::Duration config_persistence = absl::Seconds(1);

  int grpc_port = 0;
  std::string grpc_bind_address, grpc_socket_file, grpc_auth_mode, grpc_cert, grpc_key, grpc_ca, grpc_server_ca,
      grpc_crl;
  bool grpc_optional_tls = false;
  absl::Duration max_connection_age = absl::ZeroDuration(), max_connection_age_grace = absl::ZeroDuration();
  int conn_window = 0, stream_window = 0;
  absl::Duration keepalive_time = absl::Seconds(10), keepalive_timeout = absl::Seconds(10),
                 keepalive_min = absl::Seconds(10);
  bool keepalive_without_stream = false;
  int max_message_size = 16 << 20;  ///< bytes, both ways

  void AddTo(flags::FlagSet* flags);
  /// INVALID_ARGUMENT for what cannot hold together or is not implemented.
  absl::Status Check() const;
  /// Keepalive and connection ages.
  void Apply(grpc::ServerBuilder* builder) const;
  /// Parts of a client certificate's subject, one of which it must have; empty: any that the authority signed.
  std::vector<std::string> AllowedNames() const;
  absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> Credentials() const;
};

}  // namespace mg::servenv
