#include "components/multipooler/manager/leader_check.h"

#include "absl/strings/str_cat.h"
#include "common/consensus/policy.h"
#include "common/consensus/position.h"
#include "common/topology/topology.h"

namespace mg::multipooler {

absl::Status CheckInForce(const clustermetadata::ShardRule& rule, const std::vector<NodeAnswer>& answers) {
  consensus::Cohort unknown = consensus::CohortOf(rule);
  for (const NodeAnswer& answer : answers) {
    if (answer.promised_term > rule.rule_number().coordinator_term() ||
        consensus::Compare(answer.highest, rule.rule_number()) > 0) {
      return absl::FailedPreconditionError(absl::StrCat(topology::IdString(answer.id), " has heard of a rule after ",
                                                        consensus::ToString(rule.rule_number())));
    }
    std::erase_if(unknown, [&](const clustermetadata::ID& id) { return consensus::SameNode(id, answer.id); });
  }
  if (consensus::CheckRecruitmentQuorum(rule, unknown).ok()) {
    return absl::UnavailableError(absl::StrCat("too few nodes answer to know whether rule ",
                                               consensus::ToString(rule.rule_number()), " is still in force"));
  }
  return absl::OkStatus();
}

}  // namespace mg::multipooler
