/// Where clients find a cluster's databases.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agentd/provisioners/contract.h"
#include "agentd/provisioners/local/model.h"

namespace mg::local {

/// By the gateway of a cell (empty: of the first one) to a database (empty: the default one). NOT_FOUND where it is
/// seen that there is no such database; blocks for that, two seconds at most. `psql` is the program, empty: none.
absl::StatusOr<provisioners::Provisioner::Connection> ConnectionTo(const Model& model, const std::string& cell,
                                                                   const std::string& database, bool read_only,
                                                                   const std::string& psql);

/// Whether clients reach a database of this name: one of the cluster's, `managed`, or one of those that the default
/// database's PostgreSQL has of `its_own` (CREATE DATABASE). Where that one could not be asked nothing is wrong yet.
absl::Status CheckDatabase(const std::string& name, const std::vector<std::string>& managed,
                           const absl::StatusOr<std::vector<std::string>>& its_own);

}  // namespace mg::local
