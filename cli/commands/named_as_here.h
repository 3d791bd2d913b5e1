/// Errors of the Admin API under the names that people know: those of cells' components are not known there.
#pragma once

#include "absl/status/status.h"

namespace mg::cli {

class Context;

/// The error with `kind/cell[/database]` in the place of every id (multipooler-zone1-bcdf2456, 'zone1/bcdf2456') whose
/// component is registered and the only one of that name. Asks the Admin API only where there is an id.
absl::Status NamedAsHere(Context& context, const absl::Status& status);

}  // namespace mg::cli
