#include "components/multigateway/credentials.h"

#include <grpcpp/grpcpp.h>

#include "absl/time/clock.h"
#include "common/rpc/rpc.h"
#include "common/topology/topology.h"

namespace mg::multigateway {

std::shared_ptr<multipoolerservice::MultipoolerService::Stub> Credentials::StubFor(const std::string& address) {
  std::lock_guard lock(mutex_);
  auto& stub = stubs_[address];
  if (stub == nullptr) {
    stub = multipoolerservice::MultipoolerService::NewStub(dialer_.Dial(address));
  }
  return stub;
}

absl::StatusOr<std::string> Credentials::Verifier(const std::string& pool_database, const std::string& role,
                                                  absl::Time deadline) {
  absl::Status last = absl::UnavailableError("no pooler is known yet");
  for (const clustermetadata::Multipooler& pooler : router_->ForCredentials(pool_database)) {
    absl::StatusOr<std::string> address = topology::AddressOf(pooler, "grpc");
    if (!address.ok()) {
      last = address.status();
      continue;
    }
    grpc::ClientContext context;
    rpc::SetDeadline(&context, std::min(deadline, absl::Now() + absl::Seconds(2)));
    multipoolerservice::GetAuthCredentialsRequest request;
    request.set_database(pooler.shard_key().database());
    request.set_username(role);
    multipoolerservice::GetAuthCredentialsResponse response;
    grpc::Status status = StubFor(*address)->GetAuthCredentials(&context, request, &response);
    if (status.ok()) {
      return response.scram_hash();
    }
    if (status.error_code() == grpc::StatusCode::NOT_FOUND) {
      return absl::NotFoundError(status.error_message());
    }
    last = absl::UnavailableError(status.error_message());
  }
  return last;
}

}  // namespace mg::multigateway
