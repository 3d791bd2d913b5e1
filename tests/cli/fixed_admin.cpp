// An Admin API that always says the same, so that what the CLI prints of it can be compared byte by byte: two cells,
// one database, a primary, a standby and a pooler that does not answer. Prints its port and stays until its stdin ends.
//   fixed-admin [CERT KEY CA]       with TLS; CA non-empty: a client certificate is needed
// FIXED_ADMIN_TOKEN in the environment: calls without this bearer token are refused.
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "common/fs/fs.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"
#include "multiadminservice.grpc.pb.h"
#include "multigres/admin/v1/cell.grpc.pb.h"

namespace {

namespace pb = multiadmin;
using clustermetadata::ID;

void SetId(ID* id, ID::ComponentType component, const std::string& cell, const std::string& name) {
  id->set_component(component);
  id->set_cell(cell);
  id->set_name(name);
}

template <typename Record>
void SetEndpoint(Record* record, ID::ComponentType component, const std::string& cell, int base) {
  SetId(record->mutable_id(), component, cell, cell == "zone1" ? "bcdf2456" : "ghjk7899");
  record->set_hostname("127.0.0.1");
  (*record->mutable_port_map())["http"] = base;
  (*record->mutable_port_map())["grpc"] = base + 70;
}

void SetPooler(clustermetadata::Multipooler* pooler, const std::string& cell, const std::string& name, int number) {
  SetId(pooler->mutable_id(), ID::MULTIPOOLER, cell, name);
  pooler->mutable_shard_key()->set_database("postgres");
  pooler->mutable_shard_key()->set_table_group("default");
  pooler->mutable_shard_key()->set_shard("0-inf");
  pooler->set_hostname("127.0.0.1");
  (*pooler->mutable_port_map())["grpc"] = 15270 + number;
  (*pooler->mutable_port_map())["postgres"] = 25432 + number;
  pooler->set_serving_status(number == 2 ? clustermetadata::DRAINING : clustermetadata::SERVING);
  pooler->mutable_routing_state()->set_role(number == 0 ? clustermetadata::ROUTING_ROLE_PRIMARY
                                                        : clustermetadata::ROUTING_ROLE_REPLICA);
  pooler->mutable_routing_state()->mutable_rule()->set_coordinator_term(3);
}

class FixedAdmin final : public pb::MultiadminService::Service {
 public:
  explicit FixedAdmin(std::string token) : token_(std::move(token)) {}

  grpc::Status GetCellNames(grpc::ServerContext* context, const pb::GetCellNamesRequest*,
                            pb::GetCellNamesResponse* response) override {
    response->add_names("zone1");
    response->add_names("zone2");
    return Allowed(context);
  }
  grpc::Status GetCell(grpc::ServerContext* context, const pb::GetCellRequest* request,
                       pb::GetCellResponse* response) override {
    if (request->name() != "zone1") {
      return {grpc::StatusCode::NOT_FOUND, "cell '" + request->name() + "' not found"};
    }
    response->mutable_cell()->set_name("zone1");
    response->mutable_cell()->add_server_addresses("127.0.0.1:2379");
    response->mutable_cell()->set_root("/multigres/zone1");
    return Allowed(context);
  }
  grpc::Status GetDatabaseNames(grpc::ServerContext* context, const pb::GetDatabaseNamesRequest*,
                                pb::GetDatabaseNamesResponse* response) override {
    response->add_names("postgres");
    return Allowed(context);
  }
  /// The process dies under the call.
  grpc::Status VerifyBackups(grpc::ServerContext*, const pb::VerifyBackupsRequest*,
                             pb::VerifyBackupsResponse*) override {
    std::_Exit(1);
  }
  grpc::Status GetDatabase(grpc::ServerContext* context, const pb::GetDatabaseRequest*,
                           pb::GetDatabaseResponse* response) override {
    auto* database = response->mutable_database();
    database->set_name("postgres");
    database->add_cells("zone1");
    database->add_cells("zone2");
    database->mutable_backup_location()->mutable_filesystem()->set_path("/srv/backups <a&b>");
    database->mutable_bootstrap_durability_policy()->set_policy_name("AT_LEAST_2");
    return Allowed(context);
  }
  grpc::Status GetGateways(grpc::ServerContext* context, const pb::GetGatewaysRequest*,
                           pb::GetGatewaysResponse* response) override {
    for (const char* cell : {"zone1", "zone2"}) {
      auto* gateway = response->add_gateways();
      SetEndpoint(gateway, ID::MULTIGATEWAY, cell, 15100);
      (*gateway->mutable_port_map())["postgres"] = 15432;
    }
    return Allowed(context);
  }
  grpc::Status GetOrchs(grpc::ServerContext* context, const pb::GetOrchsRequest*,
                        pb::GetOrchsResponse* response) override {
    SetEndpoint(response->add_orchs(), ID::MULTIORCH, "zone1", 15300);
    return Allowed(context);
  }
  grpc::Status GetPoolers(grpc::ServerContext* context, const pb::GetPoolersRequest*,
                          pb::GetPoolersResponse* response) override {
    SetPooler(response->add_poolers(), "zone1", "pppp2222", 0);
    SetPooler(response->add_poolers(), "zone2", "ssss4444", 1);
    SetPooler(response->add_poolers(), "zone3", "xxxx6666", 2);
    return Allowed(context);
  }
  grpc::Status GetPoolerStatus(grpc::ServerContext* context, const pb::GetPoolerStatusRequest* request,
                               pb::GetPoolerStatusResponse* response) override {
    const std::string& cell = request->pooler_id().cell();
    if (cell == "zone3") {
      return mg::rpc::ToGrpc(mg::MakeError(absl::StatusCode::kUnavailable,
                                           "failed to get status of pooler 'zone3/xxxx6666': connection refused",
                                           {.reason = "POOLER_SILENT"}));
    }
    auto& status = *response->mutable_status();
    status.set_postgres_ready(true);
    status.set_postgres_running(true);
    status.set_wal_position("0/3000060");
    if (cell == "zone1") {
      auto& primary = *status.mutable_primary_status();
      status.set_pooler_type(clustermetadata::PRIMARY);
      status.set_postgres_status(multipoolermanagerdata::POSTGRES_STATUS_PRIMARY);
      primary.set_lsn("0/3000060");
      SetId(primary.add_connected_followers(), ID::MULTIPOOLER, "zone2", "ssss4444");
      primary.set_max_wal_senders(25);
      auto& sync = *primary.mutable_sync_replication_config();
      sync.set_synchronous_commit(multipoolermanagerdata::SYNCHRONOUS_COMMIT_REMOTE_WRITE);
      sync.set_synchronous_method(multipoolermanagerdata::SYNCHRONOUS_METHOD_ANY);
      sync.set_num_sync(1);
      sync.add_standby_application_names("zone1_pppp2222");
      sync.add_standby_application_names("zone2_ssss4444");
      sync.add_standby_application_names("zone3_xxxx6666");
    } else {
      status.set_pooler_type(clustermetadata::REPLICA);
      status.set_postgres_status(multipoolermanagerdata::POSTGRES_STATUS_STANDBY);
      auto& replication = *status.mutable_replication_status();
      replication.set_wal_replay_pause_state("pause requested");
      replication.set_last_xact_replay_timestamp(
          absl::FormatTime("%Y-%m-%d %H:%M:%E3S+00", absl::FromUnixSeconds(SecondsAgo(200)), absl::UTCTimeZone()));
      replication.mutable_last_msg_receive_time()->set_seconds(SecondsAgo(200));
      replication.mutable_wal_receiver_status_interval()->set_seconds(1);
      replication.mutable_wal_receiver_timeout()->set_seconds(10);
      auto& followed = *replication.mutable_primary_conn_info();
      followed.set_user("postgres");
      followed.set_application_name("zone2_ssss4444");
      followed.set_raw("host=127.0.0.1 port=25432 user=postgres password='not to be shown' passfile=/srv/passfile");
      replication.set_last_receive_lsn("0/3000060");
      replication.set_last_replay_lsn("0/3000028");
      replication.set_wal_receiver_status("streaming");
      replication.mutable_lag()->set_nanos(250000000);
      replication.mutable_primary_conn_info()->set_host("127.0.0.1");
      replication.mutable_primary_conn_info()->set_port(25432);
    }
    auto& rule =
        *response->mutable_consensus_status()->mutable_current_position()->mutable_position()->mutable_decision();
    rule.mutable_rule_number()->set_coordinator_term(3);
    rule.mutable_durability_policy()->set_policy_name("AT_LEAST_2");
    SetId(rule.mutable_leader_id(), ID::MULTIPOOLER, "zone1", "pppp2222");
    SetId(rule.add_cohort_members(), ID::MULTIPOOLER, "zone1", "pppp2222");
    SetId(rule.add_cohort_members(), ID::MULTIPOOLER, "zone2", "ssss4444");
    return Allowed(context);
  }

  grpc::Status GetGatewayQueries(grpc::ServerContext* context, const pb::GetGatewayQueriesRequest* request,
                                 pb::GetGatewayQueriesResponse* response) override {
    if (request->gateway_id().cell() == "zone2") {
      return mg::rpc::ToGrpc(mg::MakeError(absl::StatusCode::kUnavailable,
                                           "gateway 'zone2/ghjk7899' does not answer: Deadline Exceeded",
                                           {.reason = "GATEWAY_SILENT"}));
    }
    auto& snapshot = *response->mutable_snapshot();
    snapshot.set_tracked_fingerprints(2);
    for (const char* sql : {"select * from a_table_with_a_long_name where first_column = $1 and second_column > $2",
                            "insert into t values ($1)"}) {
      auto& row = *snapshot.add_queries();
      row.set_fingerprint(snapshot.queries_size() == 1 ? "0e646990d6d0cb69" : "1b2c3d4e5f607182");
      row.set_normalized_sql(sql);
      row.set_calls(snapshot.queries_size() == 1 ? 1234567 : 3);
      row.set_total_rows(12);
      row.mutable_total_duration()->set_seconds(77 / snapshot.queries_size());
      for (auto* duration : {row.mutable_average_duration(), row.mutable_min_duration(), row.mutable_max_duration(),
                             row.mutable_p50_duration(), row.mutable_p99_duration()}) {
        duration->set_nanos(1'500'000);
      }
      row.mutable_last_seen()->set_seconds(SecondsAgo(200));
      const double most = snapshot.queries_size() == 1 ? 10 : 20;
      for (double rate : {0.0, 0.5 * most, most}) {
        row.add_call_rate_trends(rate);
        row.add_total_time_ms_trends(15 * (most - rate));
        row.add_p50_ms_trends(1.5);
        row.add_p99_ms_trends(rate);
        row.add_rows_rate_trends(2 * rate);
      }
    }
    return Allowed(context);
  }
  grpc::Status GetGatewayConsolidator(grpc::ServerContext* context, const pb::GetGatewayConsolidatorRequest*,
                                      pb::GetGatewayConsolidatorResponse* response) override {
    auto& stats = *response->mutable_stats();
    stats.set_unique_statements(1);
    stats.set_total_references(3);
    stats.set_connection_count(2);
    auto& statement = *stats.add_prepared_statements();
    statement.set_name("stmt0");
    statement.set_query("select\n1");
    statement.set_refs(3);
    return Allowed(context);
  }
  grpc::Status GetBackups(grpc::ServerContext* context, const pb::GetBackupsRequest*,
                          pb::GetBackupsResponse* response) override {
    auto& backup = *response->add_backups();
    backup.set_backup_id("20260105-093012F");
    backup.set_database("postgres");
    backup.set_type("full");
    backup.set_status(pb::BACKUP_STATUS_COMPLETE);
    backup.set_backup_size_bytes(31'000'000);
    backup.set_routing_role(clustermetadata::ROUTING_ROLE_REPLICA);
    backup.set_stop_lsn("0/3000060");
    backup.mutable_stop_timestamp()->set_seconds(SecondsAgo(3 * 86400 + 60));
    return Allowed(context);
  }

 private:
  static std::int64_t SecondsAgo(std::int64_t seconds) { return std::time(nullptr) - seconds; }

  grpc::Status Allowed(grpc::ServerContext* context) const {
    const auto& metadata = context->client_metadata();
    auto sent = metadata.find("authorization");
    bool good = token_.empty() || (sent != metadata.end() && sent->second == "Bearer " + token_);
    return good ? grpc::Status::OK : grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "the token is not known");
  }

  std::string token_;
};

/// Of what upstream lacks: a cell in which components live.
class FixedCells final : public multigres::admin::v1::CellService::Service {
 public:
  grpc::Status DeleteCell(grpc::ServerContext*, const multigres::admin::v1::DeleteCellRequest* request,
                          multigres::admin::v1::DeleteCellResponse*) override {
    return mg::rpc::ToGrpc(mg::MakeError(
        absl::StatusCode::kFailedPrecondition,
        "cell '" + request->name() +
            "' is not empty: multigateway-zone2-ghjk7899, multipooler-zone2-ssss4444 (pooler 'zone2/ssss4444') and "
            "/poolers/multipooler-zone2-ssss4444/Pooler",
        {.reason = "CELL_NOT_EMPTY", .hint = "stop them first"}));
  }
};

std::shared_ptr<grpc::ServerCredentials> Credentials(int argc, char** argv) {
  if (argc != 4) {
    return grpc::InsecureServerCredentials();
  }
  grpc::SslServerCredentialsOptions options;
  if (std::string ca = argv[3]; !ca.empty()) {
    options.pem_root_certs = mg::ReadFile(ca).value();
    options.client_certificate_request = GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY;
  }
  options.pem_key_cert_pairs.push_back({mg::ReadFile(argv[2]).value(), mg::ReadFile(argv[1]).value()});
  return grpc::SslServerCredentials(options);
}

}  // namespace

int main(int argc, char** argv) {
  const char* token = std::getenv("FIXED_ADMIN_TOKEN");
  FixedAdmin service(token == nullptr ? "" : token);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", Credentials(argc, argv), &port);
  builder.RegisterService(&service);
  FixedCells cells;
  builder.RegisterService(&cells);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  std::cout << port << std::endl;
  std::cin.get();
  return 0;
}
