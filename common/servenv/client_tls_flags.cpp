#include "common/servenv/client_tls_flags.h"

#include "common/status/status.h"

namespace mg::servenv {

void EtcdTlsFlags::AddTo(flags::FlagSet* flags) {
  flags->Add("topo-etcd-tls-cert", &tls_.certificate, "client certificate for etcd (PEM)");
  flags->Add("topo-etcd-tls-key", &tls_.key, "its key (PEM)");
  flags->Add("topo-etcd-tls-ca", &tls_.authority, "authority that etcd's certificate must be from (PEM)");
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> EtcdTlsFlags::Load() const {
  rpc::ClientTls tls = tls_;
  if (tls.certificate.empty() && tls.key.empty()) {
    tls = {};
  }
  absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> credentials = rpc::LoadCredentials(tls);
  return credentials.ok() ? credentials : WithContext(credentials.status(), "--topo-etcd-tls-*");
}

void PoolerTlsFlags::AddTo(flags::FlagSet* flags) {
  flags->Add("multipooler-grpc-cert", &tls_.certificate, "client certificate for poolers (PEM)");
  flags->Add("multipooler-grpc-key", &tls_.key, "its key (PEM)");
  flags->Add("multipooler-grpc-ca", &tls_.authority, "authority that poolers' certificates must be from (PEM)");
  flags->Add("multipooler-grpc-crl", &crl_, "not implemented");
  flags->Add("multipooler-grpc-server-name", &tls_.server_name, "name expected in poolers' certificates");
  flags->Add("multipooler-grpc-require-tls", &tls_.require, "refuse to speak plaintext to poolers");
}

absl::StatusOr<rpc::Dialer> PoolerTlsFlags::Load() const {
  if (!crl_.empty()) {
    return absl::InvalidArgumentError("--multipooler-grpc-crl is not implemented");
  }
  absl::StatusOr<rpc::Dialer> dialer = rpc::Dialer::Create(tls_);
  return dialer.ok() ? dialer : WithContext(dialer.status(), "--multipooler-grpc-*");
}

}  // namespace mg::servenv
