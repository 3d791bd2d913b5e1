/// Flags for TLS towards etcd and towards poolers, which several of upstream's servers share (components contract 4.2
/// and 4.3). Values after Parse; main thread only.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/flags/flags.h"
#include "common/rpc/dialer.h"

namespace mg::servenv {

/// --topo-etcd-tls-*: TLS is on only when certificate and key are both given.
class EtcdTlsFlags {
 public:
  void AddTo(flags::FlagSet* flags);
  /// nullptr: plaintext. INVALID_ARGUMENT, or a file that cannot be read.
  absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> Load() const;

 private:
  rpc::ClientTls tls_;
};

/// --multipooler-grpc-*: gRPC to poolers (and a gateway's PostgreSQL connections to poolers of other machines).
class PoolerTlsFlags {
 public:
  void AddTo(flags::FlagSet* flags);
  absl::StatusOr<rpc::Dialer> Load() const;
  const rpc::ClientTls& tls() const { return tls_; }

 private:
  rpc::ClientTls tls_;
  std::string crl_;
};

}  // namespace mg::servenv
