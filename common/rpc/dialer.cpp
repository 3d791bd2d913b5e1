#include "common/rpc/dialer.h"

#include <grpcpp/channel.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include "absl/strings/match.h"
#include "common/fs/fs.h"
#include "common/rpc/channel_arguments.h"
#include "common/status/status.h"

namespace mg::rpc {

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> LoadCredentials(const ClientTls& tls) {
  if (tls.certificate.empty() != tls.key.empty()) {
    return absl::InvalidArgumentError("a client certificate and its key go together");
  }
  if (!tls.any()) {
    if (tls.require) {
      return absl::InvalidArgumentError("TLS is required, but no certificate and no authority is given");
    }
    return std::shared_ptr<grpc::ChannelCredentials>();
  }
  grpc::SslCredentialsOptions options;
  if (!tls.authority.empty()) {
    MG_ASSIGN_OR_RETURN(options.pem_root_certs, ReadFile(tls.authority));
  }
  if (!tls.certificate.empty()) {
    MG_ASSIGN_OR_RETURN(options.pem_cert_chain, ReadFile(tls.certificate));
    MG_ASSIGN_OR_RETURN(options.pem_private_key, ReadFile(tls.key));
  }
  return grpc::SslCredentials(options);
}

absl::StatusOr<Dialer> Dialer::Create(const ClientTls& tls) {
  Dialer dialer;
  MG_ASSIGN_OR_RETURN(dialer.credentials_, LoadCredentials(tls));
  dialer.server_name_ = tls.server_name;
  return dialer;
}

std::shared_ptr<grpc::Channel> Dialer::Dial(const std::string& target) const {
  grpc::ChannelArguments arguments = StandardArguments();
  if (credentials_ == nullptr || absl::StartsWith(target, "unix:")) {
    return grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
  }
  if (!server_name_.empty()) {
    arguments.SetSslTargetNameOverride(server_name_);
  }
  return grpc::CreateCustomChannel(target, credentials_, arguments);
}

}  // namespace mg::rpc
