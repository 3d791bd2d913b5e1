#include "tests/integration/multiadmin_sandbox.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc/rpc.h"
#include "multipoolermanagerservice.grpc.pb.h"
#include "tests/integration/pgctld_sandbox.h"

namespace mg::tests {

class ScriptedManager final : public multipoolermanager::MultipoolerManager::Service {
 public:
  grpc::Status Status(grpc::ServerContext*, const multipoolermanagerdata::StatusRequest*,
                      multipoolermanagerdata::StatusResponse* response) override {
    response->mutable_status()->set_postgres_ready(true);
    response->mutable_status()->set_wal_position("0/3000060");
    response->mutable_consensus_status()->mutable_id()->set_name("p1");
    return grpc::Status::OK;
  }
  grpc::Status SetPostgresRestartsEnabled(grpc::ServerContext*,
                                          const multipoolermanagerdata::SetPostgresRestartsEnabledRequest* request,
                                          multipoolermanagerdata::SetPostgresRestartsEnabledResponse*) override {
    enabled = request->enabled() ? 1 : 0;
    return grpc::Status::OK;
  }
  /// Lasts as long as somebody wants it.
  grpc::Status VerifyBackups(grpc::ServerContext* context, const multipoolermanagerdata::VerifyBackupsRequest*,
                             multipoolermanagerdata::VerifyBackupsResponse*) override {
    std::unique_lock lock(mutex);
    verifying = true;
    changed.notify_all();
    const absl::Time end = absl::Now() + absl::Seconds(20);
    while (!context->IsCancelled() && absl::Now() < end) {
      changed.wait_for(lock, std::chrono::milliseconds(10));  // a call tells nobody of its cancellation
    }
    verifying = false;
    changed.notify_all();
    return grpc::Status::CANCELLED;
  }
  bool Await(bool wanted) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::seconds(10), [&] { return verifying == wanted; });
  }
  std::atomic<int> enabled = -1;
  std::mutex mutex;
  std::condition_variable changed;
  bool verifying = false;
};

bool MultiadminSandbox::AwaitVerification(bool wanted) { return manager_->Await(wanted); }

namespace {

constexpr char kRoot[] = "/multigres/global";

absl::Time Soon() { return absl::Now() + absl::Seconds(20); }

clustermetadata::ID Id(clustermetadata::ID::ComponentType component, const std::string& cell, const std::string& name) {
  clustermetadata::ID id;
  id.set_component(component);
  id.set_cell(cell);
  id.set_name(name);
  return id;
}

}  // namespace

MultiadminSandbox::MultiadminSandbox(const std::vector<std::string>& flags)
    : http_port_(FreePort()),
      grpc_port_(FreePort()),
      topology_(topology::Topology::Create({global_.address()}, kRoot)),
      manager_(std::make_unique<ScriptedManager>()) {
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &manager_port_);
  builder.RegisterService(manager_.get());
  manager_server_ = builder.BuildAndStart();
  WriteRecords();
  std::vector<std::string> argv{LibexecProgram("multiadmin"),
                                absl::StrCat("--http-port=", http_port_),
                                absl::StrCat("--grpc-port=", grpc_port_),
                                "--service-map=grpc-multiadmin",
                                absl::StrCat("--topo-global-server-addresses=", global_.address()),
                                absl::StrCat("--topo-global-root=", kRoot)};
  argv.insert(argv.end(), flags.begin(), flags.end());
  process_ = std::make_unique<ChildProcess>(argv, global_.directory() + "/multiadmin.log");
  channel_ = grpc::CreateChannel(absl::StrCat("127.0.0.1:", grpc_port_), grpc::InsecureChannelCredentials());
  EXPECT_TRUE(channel_->WaitForConnected(absl::ToChronoTime(Soon())));
  stub_ = multiadmin::MultiadminService::NewStub(channel_);
}

MultiadminSandbox::~MultiadminSandbox() {
  process_.reset();
  manager_server_->Shutdown(std::chrono::system_clock::now());
}

int MultiadminSandbox::restarts_enabled() const { return manager_->enabled; }

void MultiadminSandbox::WriteRecords() {
  clustermetadata::Database database;
  database.set_name("postgres");
  for (const char* name : {"zone1", "zone2", "zone3"}) {
    clustermetadata::Cell cell;
    cell.set_name(name);
    cell.add_server_addresses(std::string(name) == "zone2" ? zone2_.address() : global_.address());
    cell.set_root(absl::StrCat("/multigres/", name));
    database.add_cells(name);
    EXPECT_TRUE(topology_->CreateCell(cell, Soon()).ok());

    clustermetadata::Multipooler pooler;
    *pooler.mutable_id() = Id(clustermetadata::ID::MULTIPOOLER, name, absl::StrCat("p", name[4] - '0'));
    pooler.mutable_shard_key()->set_database("postgres");
    pooler.mutable_shard_key()->set_table_group("default");
    pooler.mutable_shard_key()->set_shard("0-inf");
    pooler.set_hostname("localhost");
    if (std::string(name) == "zone1") {
      (*pooler.mutable_port_map())["grpc"] = manager_port_;
    } else if (std::string(name) == "zone2") {
      (*pooler.mutable_port_map())["grpc"] = 1;  // nobody listens there
    }
    EXPECT_TRUE(topology_->PutPooler(pooler, Soon()).ok());
    clustermetadata::Multigateway gateway;
    *gateway.mutable_id() = Id(clustermetadata::ID::MULTIGATEWAY, name, "g");
    EXPECT_TRUE(topology_->PutGateway(gateway, Soon()).ok());
    clustermetadata::Multiorch orch;
    *orch.mutable_id() = Id(clustermetadata::ID::MULTIORCH, name, "o");
    EXPECT_TRUE(topology_->PutOrch(orch, Soon()).ok());
  }
  EXPECT_TRUE(topology_->CreateDatabase(database, Soon()).ok());
}

}  // namespace mg::tests
