/// The Admin API over HTTP: upstream's REST routes below /api/v1, and the Connect unary JSON form at
/// /multiadmin.MultiadminService/<Method>. JSON is proto3 JSON. A list that could not read every cell names
/// those in the header Multigres-Partial-Cells, with the reasons in Multigres-Partial-Errors.
#pragma once

#include "common/servenv/servenv.h"
#include "components/multiadmin/admin.h"
#include "components/multiadmin/backups.h"

namespace mg::multiadmin {

/// Adds all routes; `admin` must outlive the server.
void AddHttpApi(servenv::Server* server, Admin* admin, Backups* backups);

}  // namespace mg::multiadmin
