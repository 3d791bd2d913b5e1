/// What the commands for single components share.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/commands/context.h"
#include "multigres/provisioner/v1/provisioner.pb.h"

namespace mg::cli {

/// The components that the words name, in the cluster's order, none twice: a word is a component (multipooler/zone1), a
/// kind (multipooler) or a cell (zone1). COMPONENT_NOT_FOUND before anything is done with the others.
absl::StatusOr<std::vector<std::string>> SelectComponents(const multigres::provisioner::v1::ClusterStatus& status,
                                                          const std::vector<std::string>& words);

/// SelectComponents of the cluster that this command is about; asks the agent only where a word needs it.
absl::StatusOr<std::vector<std::string>> NamedComponents(Context& context);

/// Says on stderr which running components need this one, those left out that the command is about as well. Says
/// nothing when that cannot be found out: the command itself then tells what is wrong.
void WarnOfDependants(Context& context, const std::string& component, const std::vector<std::string>& also);

}  // namespace mg::cli
