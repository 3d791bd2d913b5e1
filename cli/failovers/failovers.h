/// Tells changes of a primary from what orchs, poolers and gateways log: what was noticed, who was recruited and
/// promoted, when the rule was written, the gateways knew, and the former primary was back. Pure; any thread.
#pragma once

#include <string>
#include <vector>

#include "multigres/agent/v1/agent.pb.h"
#include "multigres/cli/v1/output.pb.h"

namespace mg::cli {

/// For TailLogs: the kinds whose records are needed, and the expression for those that matter.
extern const std::vector<std::string> kFailoverKinds;
extern const char kFailoverRecords[];

/// `records` are structured and in the order of time. Oldest first; one that is under way or failed has no new primary.
std::vector<multigres::cli::v1::FailoverOutput> TellFailovers(
    const std::vector<multigres::agent::v1::LogRecord>& records);

/// The same as events, one for each step, in the order of time.
std::vector<multigres::agent::v1::Event> EventsOf(const std::vector<multigres::cli::v1::FailoverOutput>& failovers,
                                                  const std::string& cluster);

/// For people.
std::string FailoverText(const multigres::cli::v1::FailoverOutput& failover);

}  // namespace mg::cli
