/// Command line and environment of multipooler. Facts: components contract, sections 2 and 4.4.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/servenv/client_tls_flags.h"
#include "components/multipooler/manager/config.h"

namespace mg::flags {
class FlagSet;
}

namespace mg::multipooler {

struct Options {
  std::string pgctld_address = "localhost:15200";
  std::vector<std::string> topo_servers;
  std::string topo_root;
  std::string cell;
  std::string database = "postgres";
  std::string table_group;
  std::string shard;
  std::string service_id;
  std::string socket_file;
  std::string pooler_dir;
  int pg_port = 5432;
  int pooler_pg_port = 0;
  absl::Duration response_limit = absl::Seconds(1);
  absl::Duration stale_read_limit = absl::Seconds(3);
  servenv::EtcdTlsFlags etcd_tls;
  int heartbeat_ms = 1000;
  absl::Duration staleness_timeout;
  std::string admin_user = "postgres";
  std::string admin_password;
  std::string admin_password_file;
  absl::Duration remote_operation_timeout = absl::Seconds(15);
  int global_capacity = 100;
  absl::Duration dial_timeout = absl::Seconds(5);
  absl::Duration idle_timeout = absl::Minutes(5);
  absl::Duration max_lifetime = absl::Hours(1);

  /// Binds the flags. Those of upstream that have no meaning here are taken and hidden.
  void AddTo(flags::FlagSet* flags);
  /// Checks them and makes the manager's configuration. Reads PGDATA and MULTIGRES_* from the environment.
  absl::StatusOr<Config> ToConfig(const std::string& hostname, int grpc_port) const;
};

}  // namespace mg::multipooler
