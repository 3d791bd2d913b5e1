/// The gateway's record in the topology: a process id prefix that no other gateway has, written before clients are let
/// in, removed at a graceful end. Blocking.
#pragma once

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "clustermetadata.pb.h"
#include "common/topology/topology.h"

namespace mg::multigateway {

/// Fills pid_prefix (1 to 2047) and writes the record; tries again for `limit` of time in which etcd answers, however
/// long that takes.
absl::Status Register(topology::Topology* topology, clustermetadata::Multigateway* record, absl::Duration limit);

/// The gateway that owns a prefix; NOT_FOUND.
absl::StatusOr<clustermetadata::Multigateway> FindByPrefix(topology::Topology* topology, std::uint32_t prefix,
                                                           absl::Time deadline);

}  // namespace mg::multigateway
