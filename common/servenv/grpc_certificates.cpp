#include "common/servenv/grpc_certificates.h"

#include <grpc/grpc_security.h>
#include <grpcpp/grpcpp.h>

#include <cstdlib>
#include <mutex>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/fs/fs.h"
#include "common/log/log.h"
#include "common/rpc/pem.h"
#include "common/servenv/file_stamps.h"
#include "common/status/status.h"

namespace mg::servenv {
namespace {

struct Pem {
  std::string certificate, key, authority;
};

/// A text that the server could not use is an error here: gRPC finds out only at a client's handshake.
absl::StatusOr<Pem> Read(const GrpcCertificateFiles& files) {
  Pem pem;
  MG_ASSIGN_OR_RETURN(pem.key, ReadFile(files.key));
  MG_ASSIGN_OR_RETURN(pem.certificate, ReadFile(files.certificate));
  if (!files.chain.empty()) {
    MG_ASSIGN_OR_RETURN(std::string chain, ReadFile(files.chain));
    absl::StrAppend(&pem.certificate, chain);
  }
  if (!files.authority.empty()) {
    MG_ASSIGN_OR_RETURN(pem.authority, ReadFile(files.authority));
  }
  MG_RETURN_IF_ERROR(
      rpc::CheckPem({files.certificate, pem.certificate}, {files.key, pem.key}, {files.authority, pem.authority}));
  return pem;
}

/// gRPC's C++ layer has a way to serve certificates that change, but none that survives a file which cannot be used;
/// the C layer below it asks at each handshake, and keeps what it has when there is nothing better.
class RenewedCredentials final : public grpc::ServerCredentials {
 public:
  RenewedCredentials(GrpcCertificateFiles files, std::vector<std::string> names)
      : files_(std::move(files)),
        names_(std::move(names)),
        stamps_({files_.certificate, files_.key, files_.chain, files_.authority}),
        credentials_(grpc_ssl_server_credentials_create_with_options(
            grpc_ssl_server_credentials_create_options_using_config_fetcher(
                files_.authority.empty() ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
                                         : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY,
                Fetch, this))) {
    if (!names_.empty()) {
      grpc_server_credentials_set_auth_metadata_processor(credentials_, {CheckNames, nullptr, this});
    }
  }
  ~RenewedCredentials() override { grpc_server_credentials_release(credentials_); }

  /// Nobody sets one: who may come is known at the construction.
  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override { std::abort(); }

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  static grpc_ssl_certificate_config_reload_status Fetch(void* self, grpc_ssl_server_certificate_config** config) {
    return static_cast<RenewedCredentials*>(self)->Fetch(config);
  }
  grpc_ssl_certificate_config_reload_status Fetch(grpc_ssl_server_certificate_config** config) {
    std::lock_guard lock(mutex_);
    if (!stamps_.Changed()) {
      return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    }
    absl::StatusOr<Pem> pem = Read(files_);
    if (!pem.ok()) {
      log::Warn("a renewed certificate cannot be used", {{"error", pem.status().message()}});
      return read_ ? GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED : GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_FAIL;
    }
    if (read_) {
      log::Info("the certificate was renewed", {{"file", files_.certificate}});
    }
    read_ = true;
    grpc_ssl_pem_key_cert_pair pair{pem->key.c_str(), pem->certificate.c_str()};
    // This version of gRPC insists on authorities here, also where no client is asked for a certificate: any will do.
    const std::string& authority = pem->authority.empty() ? pem->certificate : pem->authority;
    *config = grpc_ssl_server_certificate_config_create(authority.c_str(), &pair, 1);
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  static void CheckNames(void* self, grpc_auth_context* context, const grpc_metadata*, size_t,
                         grpc_process_auth_metadata_done_cb done, void* user_data) {
    std::string seen;
    for (const char* property : {"x509_subject", "x509_common_name", "x509_subject_alternative_name"}) {
      grpc_auth_property_iterator values = grpc_auth_context_find_properties_by_name(context, property);
      while (const grpc_auth_property* value = grpc_auth_property_iterator_next(&values)) {
        absl::StrAppend(&seen, seen.empty() ? "" : ", ", absl::string_view(value->value, value->value_length));
      }
    }
    for (const std::string& name : static_cast<RenewedCredentials*>(self)->names_) {
      if (absl::StrContains(seen, name)) {
        return done(user_data, nullptr, 0, nullptr, 0, GRPC_STATUS_OK, nullptr);
      }
    }
    done(user_data, nullptr, 0, nullptr, 0, GRPC_STATUS_UNAUTHENTICATED,
         absl::StrCat("a client certificate of ", seen, " is not allowed").c_str());
  }

  const GrpcCertificateFiles files_;
  const std::vector<std::string> names_;
  std::mutex mutex_;  ///< handshakes are made by any thread
  FileStamps stamps_;
  bool read_ = false;
  grpc_server_credentials* const credentials_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> RenewedGrpcCredentials(const GrpcCertificateFiles& files,
                                                                                std::vector<std::string> names) {
  MG_RETURN_IF_ERROR(Read(files).status());
  return std::make_shared<RenewedCredentials>(files, std::move(names));
}

}  // namespace mg::servenv
