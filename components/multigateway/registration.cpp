#include "components/multigateway/registration.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/log/log.h"
#include "common/pgwire/message.h"
#include "common/pgwire/scram.h"
#include "common/status/status.h"
#include "common/topology/predecessors.h"

namespace mg::multigateway {
namespace {

using clustermetadata::Multigateway;
constexpr std::uint32_t kMaxPrefix = 2047;
constexpr absl::Duration kTry = absl::Seconds(2);

/// Of all cells that can be read in a part of the time: a cell whose etcd is away must keep no gateway from starting.
absl::StatusOr<std::vector<Multigateway>> All(topology::Topology* topology, absl::Time deadline) {
  absl::Time now = absl::Now();
  MG_ASSIGN_OR_RETURN(topology::Everywhere<Multigateway> all, topology->AllGateways(now + (deadline - now) / 4));
  if (!all.unread.empty()) {
    log::Warn("gateways of some cells are not known: their topology cannot be read",
              {{"cells", static_cast<std::int64_t>(all.unread.size())}, {"first", all.unread.front()}});
  }
  return std::move(all.records);
}

bool Same(const Multigateway& a, const Multigateway& b) {
  return topology::IdString(a.id()) == topology::IdString(b.id());
}

absl::Status TryOnce(topology::Topology* topology, Multigateway* record, absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(std::vector<Multigateway> others, All(topology, deadline));
  std::set<std::uint32_t> used;
  record->set_pid_prefix(0);
  for (const Multigateway& other : others) {
    if (Same(other, *record)) {
      record->set_pid_prefix(other.pid_prefix());
    } else {
      used.insert(other.pid_prefix());
    }
  }
  while (record->pid_prefix() == 0 || used.contains(record->pid_prefix())) {
    if (used.size() >= kMaxPrefix) {
      return absl::ResourceExhaustedError("all 2047 process id prefixes are taken by gateways");
    }
    record->set_pid_prefix(1 + pgwire::ReadUint32(pgwire::RandomBytes(4).data()) % kMaxPrefix);
  }
  MG_RETURN_IF_ERROR(topology->PutGateway(*record, deadline));
  // Two gateways may have chosen at the same moment: the one that sees the other gives way.
  MG_ASSIGN_OR_RETURN(others, All(topology, deadline));
  for (const Multigateway& other : others) {
    if (!Same(other, *record) && other.pid_prefix() == record->pid_prefix()) {
      return absl::AbortedError("another gateway has chosen the same process id prefix");
    }
  }
  // Also for their prefixes, of which there are not many.
  topology::ForgetPredecessors(topology, *record, deadline);
  return absl::OkStatus();
}

}  // namespace

absl::Status Register(topology::Topology* topology, Multigateway* record, absl::Duration limit) {
  absl::Time deadline = absl::Now() + limit;
  for (;;) {
    // Reads wait for an etcd that comes up and for the cell's record; nothing here spins faster than the network.
    absl::Status status = TryOnce(topology, record, absl::Now() + kTry);
    if (status.ok()) {
      return status;
    }
    log::Warn("registration is tried again", {{"error", status}});
    topology->AwaitCell(record->id().cell(), absl::Now() + kTry);
    // An etcd that is away will be back, and to end and be started again would only be later than that.
    if (absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status)) {
      deadline = absl::Now() + limit;
    } else if (absl::Now() >= deadline) {
      return WithContext(status, "register in the topology");
    }
  }
}

absl::StatusOr<Multigateway> FindByPrefix(topology::Topology* topology, std::uint32_t prefix, absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(std::vector<Multigateway> all, All(topology, deadline));
  for (Multigateway& gateway : all) {
    if (gateway.pid_prefix() == prefix) {
      return std::move(gateway);
    }
  }
  return absl::NotFoundError(absl::StrCat("no gateway has the prefix ", prefix));
}

}  // namespace mg::multigateway
