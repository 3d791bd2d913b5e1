#include "components/multiorch/bookkeeping.h"

#include "common/consensus/policy.h"
#include "common/topology/topology.h"
#include "components/multiorch/decision.h"

namespace mg::multiorch {
namespace {

constexpr absl::Duration kShutDownFor = absl::Hours(24);
constexpr absl::Duration kSilentFor = absl::Hours(4);
constexpr absl::Duration kSettling = absl::Hours(1);

}  // namespace

std::vector<clustermetadata::ID> Forgotten(const std::vector<clustermetadata::Multipooler>& records,
                                           const ShardView& view, absl::Time watching_since, absl::Time now) {
  std::vector<clustermetadata::ID> forgotten;
  const clustermetadata::ShardRule* rule = HighestRule(view);
  if (rule == nullptr || now - watching_since < kSettling) {
    return forgotten;
  }
  for (const clustermetadata::Multipooler& record : records) {
    const clustermetadata::PoolerLifecycle& lifecycle = record.lifecycle_status();
    auto known = view.poolers.find(topology::IdString(record.id()));
    bool gone = lifecycle.status() == clustermetadata::LIFECYCLE_SHUTDOWN
                    ? now - absl::FromUnixSeconds(lifecycle.updated().seconds()) > kShutDownFor
                    : known != view.poolers.end() && !known->second.connected &&
                          now - known->second.unreachable_since > kSilentFor;
    if (gone && !consensus::Contains(consensus::CohortOf(*rule), record.id())) {
      forgotten.push_back(record.id());
    }
  }
  return forgotten;
}

}  // namespace mg::multiorch
