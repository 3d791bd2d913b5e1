/// Calls to one pooler. Any thread; blocking with a limit; Cancel ends all calls under way.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/rpc/dialer.h"
#include "consensusdata.pb.h"
#include "multipoolermanagerdata.pb.h"

namespace mg::multiorch {

class PoolerClient {
 public:
  PoolerClient(const std::string& address, const rpc::Dialer& dialer);
  ~PoolerClient();

  absl::StatusOr<clustermetadata::ConsensusStatus> Recruit(const consensusdata::RecruitRequest& request,
                                                           absl::Duration limit);
  absl::StatusOr<clustermetadata::ConsensusStatus> Promote(const consensusdata::PromoteRequest& request,
                                                           absl::Duration limit);
  absl::StatusOr<clustermetadata::ConsensusStatus> SetPrimary(const consensusdata::SetPrimaryRequest& request,
                                                              absl::Duration limit);
  absl::Status UpdateConsensusRule(const multipoolermanagerdata::UpdateConsensusRuleRequest& request,
                                   absl::Duration limit);
  /// UNIMPLEMENTED: a pooler of another make. The rule that is in force afterwards.
  absl::StatusOr<clustermetadata::ShardRule> ChangePolicy(const clustermetadata::RuleNumber& expected,
                                                          const clustermetadata::DurabilityPolicy& policy,
                                                          const clustermetadata::ID& coordinator,
                                                          const std::string& reason, absl::Duration limit);
  absl::Status ResignLeadership(absl::Duration limit);
  void Cancel();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mg::multiorch
