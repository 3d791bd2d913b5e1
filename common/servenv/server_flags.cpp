#include "common/servenv/server_flags.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/fs/fs.h"
#include "common/status/status.h"

namespace mg::servenv {
namespace {

/// How often certificate files are looked at.
constexpr unsigned kCertificateSeconds = 5;

std::vector<std::string> DefaultConfigPath() {
  if (const char* root = std::getenv("MTDATAROOT"); root != nullptr && *root != '\0') {
    return {root};
  }
  char directory[PATH_MAX];
  return ::getcwd(directory, sizeof directory) == nullptr
             ? std::vector<std::string>()
             : std::vector<std::string>{absl::StrCat(directory, "/multigres_local")};
}

/// Lets calls in whose client certificate has one of the names in its subject or its alternative names.
class SubjectCheck final : public grpc::AuthMetadataProcessor {
 public:
  explicit SubjectCheck(std::vector<std::string> names) : names_(std::move(names)) {}
  bool IsBlocking() const override { return false; }

  grpc::Status Process(const InputMetadata&, grpc::AuthContext* context, OutputMetadata*, OutputMetadata*) override {
    std::string seen;
    for (const char* property : {"x509_subject", "x509_common_name", "x509_subject_alternative_name"}) {
      for (const grpc::string_ref& value : context->FindPropertyValues(property)) {
        absl::StrAppend(&seen, seen.empty() ? "" : ", ", absl::string_view(value.data(), value.size()));
      }
    }
    for (const std::string& name : names_) {
      if (absl::StrContains(seen, name)) {
        return grpc::Status::OK;
      }
    }
    return grpc::Status(grpc::StatusCode::UNAUTHENTICATED,
                        absl::StrCat("a client certificate of ", seen, " is not allowed"));
  }

 private:
  const std::vector<std::string> names_;
};

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
  // Read now, so that a file that is missing is an error at the start rather than at the first connection.
  MG_ASSIGN_OR_RETURN(std::string key, ReadFile(grpc_key));
  MG_ASSIGN_OR_RETURN(std::string chain, ReadFile(grpc_cert));
  std::string authority, more;
  if (!grpc_ca.empty()) {
    MG_ASSIGN_OR_RETURN(authority, ReadFile(grpc_ca));
  }
  if (!grpc_server_ca.empty()) {
    MG_ASSIGN_OR_RETURN(more, ReadFile(grpc_server_ca));
  }
  std::shared_ptr<grpc::ServerCredentials> credentials;
  if (more.empty()) {
    // Certificates are renewed while servers run; connections that are there keep theirs. TLS 1.2 is the library's
    // least.
    grpc::experimental::TlsServerCredentialsOptions options(
        std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(grpc_key, grpc_cert, grpc_ca,
                                                                             kCertificateSeconds));
    options.watch_identity_key_cert_pairs();
    if (!grpc_ca.empty()) {
      options.watch_root_certs();
      options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    }
    credentials = grpc::experimental::TlsServerCredentials(options);
  } else {
    // A chain of two files cannot be watched.
    grpc::SslServerCredentialsOptions options(grpc_ca.empty()
                                                  ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
                                                  : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    options.pem_key_cert_pairs.push_back({key, chain + more});
    options.pem_root_certs = authority;
    credentials = grpc::SslServerCredentials(options);
  }
  if (std::vector<std::string> names = AllowedNames(); !names.empty()) {
    credentials->SetAuthMetadataProcessor(std::make_shared<SubjectCheck>(std::move(names)));
  }
  return credentials;
}

std::vector<std::string> ServerFlags::AllowedNames() const {
  return absl::StrSplit(mtls_allowed, ':', absl::SkipEmpty());
}

}  // namespace mg::servenv
