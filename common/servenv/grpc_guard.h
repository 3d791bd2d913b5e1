/// Keeps what the gRPC library serves by itself (reflection) from callers that are not let in. Health stays open.
#pragma once

#include <memory>
#include <vector>

#include "common/servenv/servenv.h"

namespace grpc::experimental {
class ServerInterceptorFactoryInterface;
}

namespace mg::servenv {

/// For ServerBuilder; asks `guard` for every call of reflection. A refused caller's requests are emptied before the
/// library reads them, and the call ends with the guard's status.
std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> GuardReflection(GrpcGuard guard);

}  // namespace mg::servenv
