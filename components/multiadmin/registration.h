/// Which function answers which RPC.
#pragma once

#include "components/multiadmin/admin.h"
#include "components/multiadmin/auth/token_store.h"
#include "components/multiadmin/backups.h"
#include "components/multiadmin/cells.h"
#include "components/multiadmin/database_service.h"
#include "components/multiadmin/methods.h"
#include "components/multiadmin/restores.h"

namespace mg::multiadmin {

/// All must outlive `methods`' use.
void RegisterMethods(Methods* methods, Admin* admin, Backups* backups, Restores* restores, Cells* cells,
                     TopologyCache* cache, TokenStore* tokens, Databases* databases);

}  // namespace mg::multiadmin
