// Many poolers that are one process: registers databases whose poolers it answers for itself (Status), then prints
// `ready` and stays until its stdin ends. For measuring what walks over a large topology.
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/topology/topology.h"
#include "multipoolermanagerservice.grpc.pb.h"

namespace {

clustermetadata::ID IdOf(const std::string& cell, int database) {
  clustermetadata::ID id;
  id.set_component(clustermetadata::ID::MULTIPOOLER);
  id.set_cell(cell);
  id.set_name(absl::StrCat("sim", database));
  return id;
}

/// The poolers of one cell; they all say the same. The first cell leads.
class Poolers final : public multipoolermanager::MultipoolerManager::Service {
 public:
  Poolers(const std::vector<std::string>& cells, bool leads) {
    multipoolermanagerdata::Status& status = *answer_.mutable_status();
    status.set_postgres_ready(true);
    status.set_postgres_running(true);
    status.set_wal_position("0/3000060");
    if (leads) {
      status.mutable_primary_status()->set_lsn("0/3000060");
    } else {
      status.mutable_replication_status()->set_last_receive_lsn("0/3000060");
      status.mutable_replication_status()->set_last_replay_lsn("0/3000028");
      status.mutable_replication_status()->set_wal_receiver_status("streaming");
    }
    auto& rule =
        *answer_.mutable_consensus_status()->mutable_current_position()->mutable_position()->mutable_decision();
    rule.mutable_rule_number()->set_coordinator_term(1);
    rule.mutable_durability_policy()->set_policy_name("AT_LEAST_2");
    *rule.mutable_leader_id() = IdOf(cells[0], 0);
    for (const std::string& cell : cells) {
      *rule.add_cohort_members() = IdOf(cell, 0);
    }
  }

  grpc::Status Status(grpc::ServerContext*, const multipoolermanagerdata::StatusRequest*,
                      multipoolermanagerdata::StatusResponse* response) override {
    *response = answer_;
    return grpc::Status::OK;
  }

 private:
  multipoolermanagerdata::StatusResponse answer_;
};

absl::Status Register(mg::topology::Topology& topology, const std::vector<std::string>& cells,
                      const std::vector<int>& ports, int databases) {
  absl::Time deadline = absl::Now() + absl::Minutes(1);
  for (int i = 1; i <= databases; ++i) {
    clustermetadata::Database database;
    database.set_name(absl::StrCat("sim", i));
    database.mutable_cells()->Add(cells.begin(), cells.end());
    if (absl::Status made = topology.CreateDatabase(database, deadline); !made.ok()) {
      return made;
    }
    for (size_t cell = 0; cell < cells.size(); ++cell) {
      clustermetadata::Multipooler record;
      *record.mutable_id() = IdOf(cells[cell], i);
      record.mutable_shard_key()->set_database(database.name());
      record.mutable_shard_key()->set_table_group("default");
      record.mutable_shard_key()->set_shard("0-inf");
      record.set_hostname("127.0.0.1");
      (*record.mutable_port_map())["grpc"] = ports[cell];
      (*record.mutable_port_map())["postgres"] = ports[cell];
      record.set_serving_status(clustermetadata::SERVING);
      if (absl::Status put = topology.PutPooler(record, deadline); !put.ok()) {
        return put;
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  int databases = 0;
  if (argc != 5 || !absl::SimpleAtoi(argv[4], &databases)) {
    std::cerr << "usage: bench-poolers ETCD ROOT CELL,… DATABASES\n";
    return 2;
  }
  std::vector<std::string> cells = absl::StrSplit(argv[3], ',', absl::SkipEmpty());
  std::vector<std::unique_ptr<Poolers>> services;
  std::vector<std::unique_ptr<grpc::Server>> servers;
  std::vector<int> ports;
  for (const std::string& cell : cells) {
    services.push_back(std::make_unique<Poolers>(cells, cell == cells[0]));
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(services.back().get());
    servers.push_back(builder.BuildAndStart());
    ports.push_back(port);
  }
  absl::Status registered = Register(*mg::topology::Topology::Create({argv[1]}, argv[2]), cells, ports, databases);
  if (!registered.ok()) {
    std::cerr << registered << "\n";
    return 1;
  }
  std::cout << "ready" << std::endl;
  std::cin.get();
  return 0;
}
