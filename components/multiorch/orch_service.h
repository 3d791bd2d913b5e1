/// gRPC's side of an orch: MultiorchService. Facts: manager-rpcs section 8.
#pragma once

#include <memory>
#include <vector>

namespace grpc {
class Service;
}

namespace mg::multiorch {

class ShardEngine;

/// The engines must outlive it.
/// multigres.orch.v1.OrchService.
std::unique_ptr<grpc::Service> MakeWishService(std::vector<ShardEngine*> engines);

std::unique_ptr<grpc::Service> MakeOrchService(std::vector<ShardEngine*> engines);

}  // namespace mg::multiorch
