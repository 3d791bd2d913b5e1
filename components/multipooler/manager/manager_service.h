/// gRPC's side of the manager: MultipoolerManager and MultipoolerConsensus. Each handler decodes, calls one Manager
/// method and encodes. Facts: manager-rpcs sections 2, 6 and 7.
#pragma once

#include <memory>

namespace grpc {
class Service;
}

namespace mg::multipooler {

class Manager;

/// All refer to `manager`, which must outlive them.
std::unique_ptr<grpc::Service> MakeManagerService(Manager* manager);
std::unique_ptr<grpc::Service> MakeConsensusService(Manager* manager);
/// What goes beyond upstream's contract: a restore from a backup.
std::unique_ptr<grpc::Service> MakeBackupService(Manager* manager);
/// Likewise: taking the pooler out of service.
std::unique_ptr<grpc::Service> MakeDrainService(Manager* manager);
/// Likewise: another durability policy.
std::unique_ptr<grpc::Service> MakeRuleService(Manager* manager);

}  // namespace mg::multipooler
