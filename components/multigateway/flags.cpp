#include "components/multigateway/flags.h"

namespace mg::multigateway {

void Flags::AddTo(flags::FlagSet* flags) {
  flags->Add("topo-global-server-addresses", &topo_servers, "etcd endpoints of the global topology");
  flags->Add("topo-global-root", &topo_root, "root of the global topology");
  flags->Add("cell", &cell, "this gateway's cell", {"MT_CELL"});
  flags->Add("service-id", &service_id, "this gateway's name; empty: random", {"MT_SERVICE_ID"});
  flags->Add("default-database", &default_database,
             "database whose PostgreSQL serves names that the topology does not have; empty: the only one there is",
             {"MT_DEFAULT_DATABASE"});
  flags->Add("pg-port", &pg_port, "read-write PostgreSQL port", {"MT_PG_PORT"});
  flags->Add("pg-bind-address", &pg_bind_address, "address of the PostgreSQL ports", {"MT_PG_BIND_ADDRESS"});
  flags->Add("pg-replica-port", &pg_replica_port, "read-only PostgreSQL port; 0: none", {"MT_PG_REPLICA_PORT"});
  flags->Add("authentication-timeout", &authentication_timeout, "time that a login may take",
             {"MT_AUTHENTICATION_TIMEOUT"});
  flags->Add("buffer-window", &buffer_window, "how long a new session waits for a primary", {"MT_BUFFER_WINDOW"});
  flags->Add("pg-tls-cert-file", &tls_cert, "certificate chain (PEM) for TLS on the PostgreSQL ports",
             {"MT_PG_TLS_CERT_FILE"});
  flags->Add("pg-tls-key-file", &tls_key, "its key (PEM)", {"MT_PG_TLS_KEY_FILE"});
  flags->Add("pg-require-ssl", &require_ssl, "refuse sessions without TLS", {"MT_PG_REQUIRE_SSL"});
  const char* compatible = "accepted for compatibility";
  flags->Add("topo-read-concurrency", &other_.topo_read_concurrency, compatible);
  flags->Add("lock-timeout", &other_.lock, compatible, {"MT_LOCK_TIMEOUT"});
  flags->Add("remote-operation-timeout", &other_.remote, compatible, {"MT_REMOTE_OPERATION_TIMEOUT"});
  flags->Add("statement-timeout", &other_.statement, compatible, {"MT_STATEMENT_TIMEOUT"});
  flags->Add("low-replication-lag-ms", &other_.low_lag, compatible, {"MT_LOW_REPLICATION_LAG_MS"});
  flags->Add("high-replication-lag-tolerance-ms", &other_.high_lag, compatible,
             {"MT_HIGH_REPLICATION_LAG_TOLERANCE_MS"});
  flags->Add("plan-cache-memory", &other_.plan_cache, compatible, {"MT_PLAN_CACHE_MEMORY"});
  flags->Add("query-metrics-memory", &query_metrics_memory,
             "bytes that the statistics of queries may take; 0: none are collected", {"MT_QUERY_METRICS_MEMORY"});
  flags->Add("query-metrics-sql-max-bytes", &query_metrics_sql_max_bytes, "longest normalised text that they keep",
             {"MT_QUERY_METRICS_SQL_MAX_BYTES"});
  flags->Add("query-log-sample-rate", &other_.sample, compatible, {"MT_QUERY_LOG_SAMPLE_RATE"});
  flags->Add("enable-slot-based-replication", &other_.slots, compatible, {"MT_ENABLE_SLOT_BASED_REPLICATION"});
  flags->Add("buffer-enabled", &other_.buffer, "accepted for compatibility: new sessions always wait for a primary",
             {"MT_BUFFER_ENABLED"});
  flags->Add("buffer-size", &other_.buffer_size, compatible, {"MT_BUFFER_SIZE"});
  flags->Add("buffer-max-failover-duration", &other_.failover, compatible, {"MT_BUFFER_MAX_FAILOVER_DURATION"});
  flags->Add("buffer-min-time-between-failovers", &other_.between, compatible,
             {"MT_BUFFER_MIN_TIME_BETWEEN_FAILOVERS"});
  flags->Add("buffer-drain-concurrency", &other_.drain, compatible, {"MT_BUFFER_DRAIN_CONCURRENCY"});
  etcd_tls.AddTo(flags);
  pooler_tls.AddTo(flags);
  flags->Add("topo-etcd-lease-ttl", &other_.lease_ttl, compatible);
}

absl::Status Flags::Check() const {
  if (topo_servers.empty() || topo_root.empty()) {
    return absl::InvalidArgumentError("--topo-global-server-addresses and --topo-global-root are required");
  }
  if (cell.empty()) {
    return absl::InvalidArgumentError("--cell is required");
  }
  if (pg_port < 1 || pg_port > 65535 || pg_replica_port < 0 || pg_replica_port > 65535) {
    return absl::InvalidArgumentError("--pg-port must be 1 to 65535, and --pg-replica-port 0 to 65535");
  }
  if (query_metrics_memory < 0 || query_metrics_sql_max_bytes < 16) {
    return absl::InvalidArgumentError(
        "--query-metrics-memory must not be negative, and --query-metrics-sql-max-bytes at least 16");
  }
  if (tls_cert.empty() != tls_key.empty()) {
    return absl::InvalidArgumentError("--pg-tls-cert-file and --pg-tls-key-file go together");
  }
  if (require_ssl && tls_cert.empty()) {
    return absl::InvalidArgumentError("--pg-require-ssl needs --pg-tls-cert-file and --pg-tls-key-file");
  }
  return absl::OkStatus();
}

}  // namespace mg::multigateway
