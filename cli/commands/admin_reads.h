/// What several commands read from the Admin API, put together. One call at a time per context.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/commands/context.h"
#include "clustermetadata.pb.h"
#include "multigres/cli/v1/output.pb.h"
#include "multipoolermanagerdata.pb.h"

namespace mg::cli {

/// `multipooler/zone1`, as `status` has it; several of a kind in one cell have their id's name behind it.
std::string ComponentName(const char* kind, const clustermetadata::ID& id);

/// What people call poolers: `multipooler/zone1`, and `multipooler/zone1/shop` where the database is not the cluster's
/// default one.
class PoolerNames {
 public:
  /// Asks which database is the default one, unless only that of upstream's usual name is there.
  PoolerNames(Context& context, const std::vector<clustermetadata::Multipooler>& poolers);
  std::string Of(const clustermetadata::Multipooler& pooler) const;
  /// Of one that may not be among the poolers: then only its cell is known.
  std::string Of(const clustermetadata::ID& id) const;

 private:
  std::string default_database_ = "postgres";
  std::map<std::string, std::string> by_id_;  ///< cell/name to the pooler's name
};

/// The pooler that a person means: by what it is called, else as FindRecord.
absl::StatusOr<clustermetadata::Multipooler> FindPooler(Context& context,
                                                        const std::vector<clustermetadata::Multipooler>& poolers,
                                                        const std::string& text);

/// {3,0}; empty for none.
std::string RuleText(const clustermetadata::RuleNumber& rule);

/// NOT_FOUND with the nearest of the known names, or all of them when they are few.
absl::Status NoSuchName(const char* reason, const std::string& kind, const std::string& name,
                        const std::vector<std::string>& known);

/// NOT_FOUND, with the name that was probably meant, where the topology has no cell (no database) of this name.
absl::Status CheckCell(Context& context, const std::string& name);
absl::Status CheckDatabase(Context& context, const std::string& name);
/// `status`, the failure of a command about `name`; where that is not there, what `check`, one of the two, says of it.
absl::Status Suggested(Context& context, const absl::Status& status,
                       absl::Status (*check)(Context&, const std::string&), const std::string& name);
/// What a list was narrowed to by --cell and --database: as above, for what was given.
absl::Status CheckFilters(Context& context);

/// Poolers by database and cell (empty: all). Cells that could not be read are told on stderr and appended.
absl::StatusOr<std::vector<clustermetadata::Multipooler>> ReadPoolers(Context& context, const std::string& database,
                                                                      const std::string& cell,
                                                                      std::vector<std::string>* unreadable,
                                                                      absl::Duration limit = absl::Seconds(10));
/// Those of --database and --cell. A filter that lets nothing through is asked whether it names what there is.
absl::StatusOr<std::vector<clustermetadata::Multipooler>> FilteredPoolers(Context& context);
/// Asks every pooler at once. What does not answer has its reason. `whole`: with all that each says of itself.
std::vector<multigres::cli::v1::ShardOutput> ReadShards(Context& context,
                                                        const std::vector<clustermetadata::Multipooler>& poolers,
                                                        bool whole = false);
/// Its shard with this pooler alone, with all that it says of itself; fails where that one does not answer. `all` has
/// the names, and whom its lag is measured by.
absl::StatusOr<multigres::cli::v1::ShardOutput> ReadPooler(Context& context, const clustermetadata::Multipooler& pooler,
                                                           const std::vector<clustermetadata::Multipooler>& all);
/// Takes passwords out of what a pooler says: whoever set them up by hand may have written one there.
void HideSecrets(multipoolermanagerdata::Status* status);

/// The pooler, gateway or orch that a person means: KIND/CELL, CELL, the id's name, CELL/NAME or CELL_NAME. NOT_FOUND
/// names those that there are; FAILED_PRECONDITION when a cell has several.
template <typename Record>
absl::StatusOr<Record> FindRecord(const std::vector<Record>& records, const char* kind, const std::string& text);

}  // namespace mg::cli
