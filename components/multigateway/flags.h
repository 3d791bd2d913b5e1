/// Flags of multigateway (components contract 4.4). Values; made once in main.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/flags/flags.h"
#include "common/servenv/client_tls_flags.h"

namespace mg::multigateway {

struct Flags {
  std::vector<std::string> topo_servers;
  std::string topo_root;
  std::string cell, service_id;
  std::string default_database;
  int pg_port = 5432;
  std::string pg_bind_address = "127.0.0.1";
  int pg_replica_port = 0;
  absl::Duration authentication_timeout = absl::Seconds(60);
  absl::Duration buffer_window = absl::Seconds(10);
  std::string tls_cert, tls_key;
  int query_metrics_memory = 8 << 20;
  int query_metrics_sql_max_bytes = 4096;
  bool require_ssl = false;
  servenv::EtcdTlsFlags etcd_tls;
  servenv::PoolerTlsFlags pooler_tls;

  void AddTo(flags::FlagSet* flags);
  absl::Status Check() const;

 private:
  /// Accepted for compatibility; what they tune is not in this implementation.
  struct {
    int topo_read_concurrency = 32, low_lag = 30000, high_lag = 0, plan_cache = 4 << 20, sample = 0, buffer_size = 1000,
        drain = 1;
    absl::Duration lock = absl::Seconds(45), remote = absl::Seconds(15), statement = absl::Seconds(30),
                   failover = absl::Seconds(20), between = absl::Minutes(1);
    bool slots = false, buffer = false;
    int lease_ttl = 30;
  } other_;
};

}  // namespace mg::multigateway
