/// A multiadmin over two etcds: the global one with the cells zone1 and zone3, and one that zone2 has for itself. A
/// pooler manager of the test's own answers for zone1's pooler. One thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/topology/topology.h"
#include "multiadminservice.grpc.pb.h"
#include "tests/integration/child_process.h"
#include "tests/integration/etcd_sandbox.h"

namespace grpc {
class Server;
}

namespace mg::tests {

class ScriptedManager;

class MultiadminSandbox {
 public:
  /// `flags` are further ones of multiadmin; what a token file among them holds is the caller's affair.
  explicit MultiadminSandbox(const std::vector<std::string>& flags = {"--auth=none"});
  ~MultiadminSandbox();
  MultiadminSandbox(const MultiadminSandbox&) = delete;
  MultiadminSandbox& operator=(const MultiadminSandbox&) = delete;

  std::string global_address() { return global_.address(); }
  const std::string& directory() { return global_.directory(); }
  int http_port() const { return http_port_; }
  int grpc_port() const { return grpc_port_; }
  ::multiadmin::MultiadminService::Stub& stub() { return *stub_; }
  std::shared_ptr<grpc::Channel> channel() { return channel_; }
  topology::Topology& topology() { return *topology_; }
  EtcdSandbox& zone2() { return zone2_; }
  ChildProcess& process() { return *process_; }
  /// What SetPostgresRestartsEnabled told zone1's pooler last; -1: nothing.
  int restarts_enabled() const;
  /// Whether zone1's pooler verifies its backups, or has stopped to, within ten seconds.
  bool AwaitVerification(bool wanted);

 private:
  void WriteRecords();

  EtcdSandbox global_, zone2_;
  int http_port_, grpc_port_, manager_port_ = 0;
  std::unique_ptr<topology::Topology> topology_;
  std::unique_ptr<ScriptedManager> manager_;
  std::unique_ptr<grpc::Server> manager_server_;
  std::unique_ptr<ChildProcess> process_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<::multiadmin::MultiadminService::Stub> stub_;
};

}  // namespace mg::tests
