/// The Admin API over HTTP: upstream's REST routes below /api/v1, and the Connect protocol's unary JSON form at
/// /<package.Service>/<Method> for every unary RPC. JSON is proto3 JSON. A list that could not read every cell names
/// those in the header Multigres-Partial-Cells, with the reasons in Multigres-Partial-Errors. Whatever else the server
/// has to show needs a known caller too, health and readiness excepted.
#pragma once

#include "common/servenv/servenv.h"
#include "components/multiadmin/methods.h"

namespace mg::multiadmin {

/// Adds all routes; `methods` must outlive the server.
void AddHttpApi(servenv::Server* server, const Methods* methods);
/// Has every other page ask who calls, health and readiness excepted; likewise.
void AddGuard(servenv::Server* server, const Methods* methods);

}  // namespace mg::multiadmin
