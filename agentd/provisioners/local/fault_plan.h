/// What a fault means in this cluster: which processes it hits, which ports a partition leaves open, where a file can
/// take a disk's space. Reads the run directories and changes nothing.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agentd/provisioners/local/model.h"
#include "multigres/state/v1/state.pb.h"

namespace mg::local {

/// `kill`, `freeze` …; empty for a kind that is not known.
std::string FaultWord(v1::FaultKind kind);

/// Components that a target means: one by its name, all of a cell, or `primary`, for which `primary` is the component
/// that leads (empty: not known). NOT_FOUND with what there is.
absl::StatusOr<std::vector<const v1::ComponentSpec*>> FaultTargets(const Model& model, const std::string& target,
                                                                   const std::string& primary);

/// The record of the fault, ready to be written. Refused with the reason: a component that does not run, one that a
/// fault of this kind cannot hit, a disk that must not be filled.
absl::StatusOr<multigres::state::v1::FaultRecord> PlanFault(const Model& model, const v1::InjectFaultRequest& request,
                                                            const std::vector<const v1::ComponentSpec*>& targets);

}  // namespace mg::local
