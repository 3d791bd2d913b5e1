/// multiorch: founds a shard, appoints its leader, and keeps the others behind it.
#include <grpcpp/impl/service_type.h>

#include <condition_variable>
#include <cstdio>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/flags/flags.h"
#include "common/log/log.h"
#include "common/servenv/servenv.h"
#include "common/status/status.h"
#include "common/topology/topology.h"
#include "components/multiorch/options.h"
#include "components/multiorch/orch_service.h"
#include "components/multiorch/registration.h"
#include "components/multiorch/shard_engine.h"

int main(int argc, char** argv) {
  namespace mo = mg::multiorch;
  mg::servenv::Server server("multiorch", "Founds shards, appoints leaders, and watches over both.");
  mo::Options options;
  options.AddTo(&server.flags());
  if (std::optional<int> done = server.Init(argc, argv); done.has_value()) {
    return *done;
  }
  auto fail = [](const absl::Status& status) {
    mg::log::Error("cannot start", {{"error", status}});
    std::fprintf(stderr, "Error: %s\n", std::string(status.message()).c_str());
    return 1;
  };
  absl::StatusOr<std::vector<clustermetadata::ShardKey>> shards = options.Shards();
  if (!shards.ok()) {
    return fail(shards.status());
  }
  if (absl::Status status = server.StartHttp(); !status.ok()) {
    return fail(status);
  }
  absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> etcd = options.etcd_tls.Load();
  absl::StatusOr<mg::rpc::Dialer> poolers = options.pooler_tls.Load();
  if (!etcd.ok() || !poolers.ok()) {
    return fail(etcd.ok() ? poolers.status() : etcd.status());
  }
  std::unique_ptr<mg::topology::Topology> topology =
      mg::topology::Topology::Create(options.topo_servers, options.topo_root, *etcd);
  clustermetadata::Multiorch record;
  record.mutable_id()->set_component(clustermetadata::ID::MULTIORCH);
  record.mutable_id()->set_cell(options.cell);
  record.mutable_id()->set_name(options.service_id.empty() ? mg::topology::RandomName() : options.service_id);
  record.set_hostname(server.hostname());
  (*record.mutable_port_map())["grpc"] = server.grpc_port();
  (*record.mutable_port_map())["http"] = server.http_port();

  std::vector<std::unique_ptr<mo::ShardEngine>> engines;
  std::vector<mo::ShardEngine*> plain;
  for (const clustermetadata::ShardKey& shard : *shards) {
    mo::EngineOptions engine{.shard = shard,
                             .self = record.id(),
                             .health_interval = options.health_interval,
                             .cycle = options.recovery_cycle,
                             .dialer = *poolers};
    engines.push_back(std::make_unique<mo::ShardEngine>(engine, topology.get()));
    plain.push_back(engines.back().get());
  }
  std::unique_ptr<grpc::Service> service = mo::MakeOrchService(plain);
  server.AddService(service.get());
  std::unique_ptr<grpc::Service> wishes = mo::MakeWishService(plain);
  server.AddService(wishes.get());
  mo::Registration registration(topology.get(), record);
  server.SetReadyCheck(
      [&] { return registration.registered() && topology->CellNames(absl::Now() + absl::Seconds(4)).ok(); });
  server.OnRun([&] {
    registration.Start();
    for (auto& engine : engines) {
      engine->Start();
    }
  });
  server.OnTerm([&] {
    for (auto& engine : engines) {
      engine->Stop();
    }
    registration.Remove();
  });
  int exit_status = server.Run();
  for (auto& engine : engines) {
    engine->Stop();
  }
  return exit_status;
}
