#include "common/topology/predecessors.h"

#include "common/log/log.h"

namespace mg::topology {
namespace {

template <typename Record>
bool IsPredecessor(const Record& other, const Record& own) {
  if (other.id().name() == own.id().name() || other.hostname() != own.hostname()) {
    return false;
  }
  for (const char* name : {"grpc", "http"}) {
    absl::StatusOr<std::string> ours = AddressOf(own, name), theirs = AddressOf(other, name);
    if (ours.ok() && theirs.ok() && *ours == *theirs && own.port_map().at(name) != 0) {
      return true;
    }
  }
  return false;
}

template <typename Record, typename Delete>
void Forget(const absl::StatusOr<std::vector<Record>>& records, const Record& own, Delete remove) {
  absl::Status status = records.status();
  for (const Record& other : records.ok() ? *records : std::vector<Record>()) {
    if (IsPredecessor(other, own)) {
      log::Info("a predecessor's record is deleted", {{"id", IdString(other.id())}});
      status.Update(remove(other.id()));
    }
  }
  if (!status.ok()) {
    log::Warn("records of predecessors may be left in the topology", {{"error", status}});
  }
}

}  // namespace

void ForgetPredecessors(Topology* topology, const clustermetadata::Multigateway& own, absl::Time deadline) {
  Forget(topology->Gateways(own.id().cell(), deadline), own,
         [&](const clustermetadata::ID& id) { return topology->DeleteGateway(id, deadline); });
}

void ForgetPredecessors(Topology* topology, const clustermetadata::Multiorch& own, absl::Time deadline) {
  Forget(topology->Orchs(own.id().cell(), deadline), own,
         [&](const clustermetadata::ID& id) { return topology->DeleteOrch(id, deadline); });
}

}  // namespace mg::topology
