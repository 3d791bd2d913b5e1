#include "common/rpc/dialer.h"

#include <grpcpp/channel.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include "absl/strings/match.h"
#include "common/fs/fs.h"
#include "common/rpc/channel_arguments.h"
#include "common/rpc/dial_far.h"
#include "common/rpc/pem.h"
#include "common/status/status.h"

namespace mg::rpc {
namespace {

/// gRPC's bound of one attempt at a connection is its least time between two.
constexpr int kFarConnectMillis = 20000;

std::shared_ptr<grpc::Channel> Connect(const std::string& target,
                                       const std::shared_ptr<grpc::ChannelCredentials>& credentials,
                                       const std::string& server_name, grpc::ChannelArguments arguments) {
  if (credentials == nullptr || absl::StartsWith(target, "unix:")) {
    return grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
  }
  if (!server_name.empty()) {
    arguments.SetSslTargetNameOverride(server_name);
  }
  return grpc::CreateCustomChannel(target, credentials, arguments);
}

}  // namespace

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
  MG_RETURN_IF_ERROR(CheckPem({tls.certificate, options.pem_cert_chain}, {tls.key, options.pem_private_key},
                              {tls.authority, options.pem_root_certs}));
  if (tls.authority.empty() && !tls.machine_authorities.empty()) {
    MG_ASSIGN_OR_RETURN(options.pem_root_certs, ReadFile(tls.machine_authorities));
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
  return Connect(target, credentials_, server_name_, StandardArguments());
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> DialFar(const ClientTls& tls, const std::string& target) {
  MG_ASSIGN_OR_RETURN(std::shared_ptr<grpc::ChannelCredentials> credentials, LoadCredentials(tls));
  grpc::ChannelArguments arguments = StandardArguments();
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kFarConnectMillis);
  return Connect(target, credentials, tls.server_name, std::move(arguments));
}

}  // namespace mg::rpc
