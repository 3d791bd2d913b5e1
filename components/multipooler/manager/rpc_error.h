/// Errors on the wire as upstream's poolers send them: gRPC status plus one detail mtrpc.RPCError, and behind it our
/// own where the error has a reason. Facts: manager-rpcs section 2.
#pragma once

#include "absl/status/status.h"

namespace grpc {
class Status;
}

namespace mg::multipooler {

/// A PostgreSQL error travels as code UNKNOWN (or its own, when `status` has another meaning) with pg_diagnostic.
grpc::Status ToRpcError(const absl::Status& status);

}  // namespace mg::multipooler
