#include "common/servenv/server_flags.h"

#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/servenv/grpc_certificates.h"
#include "common/status/status.h"

namespace mg::servenv {
namespace {

std::vector<std::string> DefaultConfigPath() {
  if (const char* root = std::getenv("MTDATAROOT"); root != nullptr && *root != '\0') {
    return {root};
  }
  char directory[PATH_MAX];
  return ::getcwd(directory, sizeof directory) == nullptr
             ? std::vector<std::string>()
             : std::vector<std::string>{absl::StrCat(directory, "/multigres_local")};
}

}  // namespace

void ServerFlags::AddTo(flags::FlagSet* flags) {
  config_path = DefaultConfigPath();
  flags->Add("http-port", &http_port, "HTTP port; 0: a free one");
  flags->Add("bind-address", &bind_address, "HTTP bind address; empty: loopback");
  flags->Add("http-tls-cert", &http_tls_cert, "TLS certificate of the HTTP port; empty: plain HTTP");
  flags->Add("http-tls-key", &http_tls_key, "its key");
  flags->Add("hostname", &hostname, "host name for registration; empty: the machine's");
  flags->Add("lameduck-period", &lameduck_period, "time between SIGTERM and closing");
  flags->Add("onterm-timeout", &onterm_timeout, "limit of the work at SIGTERM");
  flags->Add("onclose-timeout", &onclose_timeout, "limit of the work at the end");
  flags->Add("pid-file", &pid_file, "file to write the pid to");
  flags->Add("pprof-http", &pprof_http, "accepted for compatibility; there are no Go profiles");
  flags->Add("pprof", &pprof, "accepted for compatibility; there are no Go profiles");
  flags->Add("service-map", &service_map, "services to enable (grpc-x) or disable (-grpc-x)");
  flags->Add("grpc-auth-mtls-allowed-substrings", &mtls_allowed, "colon-separated names that mTLS clients may have");
  flags->Add("log-err-stacks", &log_err_stacks, "accepted for compatibility");
  flags->Add("log-level", &log_level, "debug, info, warn or error");
  flags->Add("log-format", &log_format, "json or text");
  flags->Add("log-output", &log_output, "stdout, stderr or a path");
  flags->Add("config-path", &config_path, "directories of the config file", {"VT_CONFIG_PATH"});
  flags->Add("config-name", &config_name, "base name of the config file", {"MT_CONFIG_NAME"});
  flags->Add("config-type", &config_type, "type of the config file", {"MT_CONFIG_TYPE"});
  flags->Add("config-file", &config_file, "path of the config file", {"MT_CONFIG_FILE"});
  flags->Add("config-file-not-found-handling", &config_not_found, "ignore, warn, error or exit");
  flags->Add("config-persistence-min-interval", &config_persistence, "accepted for compatibility",
             {"MT_CONFIG_PERSISTENCE_MIN_INTERVAL"});
  flags->Add("grpc-port", &grpc_port, "gRPC port; 0: none");
  flags->Add("grpc-bind-address", &grpc_bind_address, "gRPC bind address; empty: loopback");
  flags->Add("grpc-socket-file", &grpc_socket_file, "also serve gRPC on this Unix socket");
  flags->Add("grpc-auth-mode", &grpc_auth_mode, "mtls, or empty");
  flags->Add("grpc-cert", &grpc_cert, "TLS certificate");
  flags->Add("grpc-key", &grpc_key, "TLS key");
  flags->Add("grpc-ca", &grpc_ca, "authority that client certificates must be from");
  flags->Add("grpc-server-ca", &grpc_server_ca, "certificates to append to the chain sent to clients");
  flags->Add("grpc-crl", &grpc_crl, "not implemented");
  flags->Add("grpc-enable-optional-tls", &grpc_optional_tls, "not implemented");
  flags->Add("grpc-max-connection-age", &max_connection_age, "0: unlimited");
  flags->Add("grpc-max-connection-age-grace", &max_connection_age_grace, "0: unlimited");
  flags->Add("grpc-server-initial-conn-window-size", &conn_window, "0: the library's default");
  flags->Add("grpc-server-initial-window-size", &stream_window, "0: the library's default");
  flags->Add("grpc-max-message-size", &max_message_size, "the longest message, in bytes, both ways");
  flags->Add("grpc-server-keepalive-time", &keepalive_time, "idle time after which a peer is pinged");
  flags->Add("grpc-server-keepalive-timeout", &keepalive_timeout, "time that a ping's answer may take");
  flags->Add("grpc-server-keepalive-enforcement-policy-min-time", &keepalive_min,
             "least time between a client's pings");
  flags->Add("grpc-server-keepalive-enforcement-policy-permit-without-stream", &keepalive_without_stream,
             "clients may ping without streams");
}

absl::Status ServerFlags::Check() const {
  auto refuse = [](const std::string& text) { return absl::InvalidArgumentError(text); };
  if (!grpc_crl.empty()) {
    return refuse("--grpc-crl is not implemented");
  }
  if (grpc_optional_tls) {
    return refuse("--grpc-enable-optional-tls is not implemented");
  }
  if (!grpc_auth_mode.empty() && grpc_auth_mode != "mtls") {
    return refuse(absl::StrCat("--grpc-auth-mode: no such mode: ", grpc_auth_mode));
  }
  if (!mtls_allowed.empty() && grpc_ca.empty()) {
    return refuse("--grpc-auth-mtls-allowed-substrings needs --grpc-ca");
  }
  if (http_tls_cert.empty() != http_tls_key.empty()) {
    return refuse("--http-tls-cert and --http-tls-key must be given together");
  }
  if (grpc_cert.empty() != grpc_key.empty()) {
    return refuse("--grpc-cert and --grpc-key must be given together");
  }
  if ((grpc_auth_mode == "mtls" || !grpc_ca.empty()) && grpc_cert.empty()) {
    return refuse("client certificates need --grpc-cert and --grpc-key");
  }
  return absl::OkStatus();
}

void ServerFlags::Apply(grpc::ServerBuilder* builder) const {
  auto milliseconds = [](absl::Duration d) { return static_cast<int>(absl::ToInt64Milliseconds(d)); };
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, milliseconds(keepalive_time));
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, milliseconds(keepalive_timeout));
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, milliseconds(keepalive_min));
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, keepalive_without_stream ? 1 : 0);
  if (max_connection_age > absl::ZeroDuration()) {
    builder->AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, milliseconds(max_connection_age));
  }
  if (max_connection_age_grace > absl::ZeroDuration()) {
    builder->AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, milliseconds(max_connection_age_grace));
  }
  if (stream_window > 0) {
    builder->AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, stream_window);
  }
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> ServerFlags::Credentials() const {
  if (grpc_cert.empty()) {
    return grpc::InsecureServerCredentials();
  }
  return RenewedGrpcCredentials(
      {.certificate = grpc_cert, .key = grpc_key, .chain = grpc_server_ca, .authority = grpc_ca}, AllowedNames());
}

std::vector<std::string> ServerFlags::AllowedNames() const {
  return absl::StrSplit(mtls_allowed, ':', absl::SkipEmpty());
}

}  // namespace mg::servenv
