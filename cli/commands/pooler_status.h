/// `pooler status` and `pooler replication`: what poolers say of themselves, their PostgreSQL and its replication.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "cli/commands/context.h"
#include "cli/output/table.h"
#include "clustermetadata.pb.h"
#include "multigres/cli/v1/output.pb.h"

namespace mg::cli {

int RunPoolerStatus(Context& context);
int RunPoolerReplication(Context& context);

/// The poolers of a shard beside each other.
Table PoolerTable(const multigres::cli::v1::ShardOutput& shard);

/// The pooler that the last argument names.
absl::StatusOr<clustermetadata::Multipooler> NamedPooler(Context& context);

/// That a pooler does not answer, without gRPC's own words; other errors as they are.
absl::Status OfPooler(Context& context, const clustermetadata::Multipooler& pooler, const absl::Status& status);

}  // namespace mg::cli
