/// The Admin API over gRPC: every RPC of the table of rules, by its name. A list call that could not read every cell
/// names those in the trailing metadata `multigres-partial-cells`, with the reasons in `multigres-partial-errors`.
#pragma once

#include <grpcpp/impl/service_type.h>
#include <grpcpp/support/status.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "components/multiadmin/cache/topology_cache.h"
#include "components/multiadmin/methods.h"

namespace grpc {
class ServerContext;
class ServerContextBase;
}  // namespace grpc

namespace mg::multiadmin {

/// What a call over gRPC brings along.
Credentials CredentialsOf(const grpc::ServerContextBase& context);

/// One call of a stream that changes something, by Methods::Stream. Not begun for a caller that has given up while this
/// process could not listen.
grpc::Status ServeStream(const Methods& methods, const char* method, const grpc::ServerContext& context,
                         const google::protobuf::Message& request,
                         const std::function<StreamEnd(absl::Time deadline)>& act);

/// All unary RPCs of one service of the table.
class GrpcService : public grpc::Service {
 public:
  /// `methods` must outlive this. `name` is as in a path: multiadmin.MultiadminService.
  GrpcService(const std::string& name, const Methods* methods);

 protected:
  int unary_count() const { return static_cast<int>(names_.size()); }

 private:
  std::vector<std::string> names_;  ///< gRPC keeps pointers to them
};

class Databases;
class Restores;

/// One for each service of the table, streams included. What they serve must outlive them.
std::vector<std::unique_ptr<grpc::Service>> MakeGrpcServices(const Methods* methods, TopologyCache* cache,
                                                             Databases* databases, Restores* restores);

}  // namespace mg::multiadmin
