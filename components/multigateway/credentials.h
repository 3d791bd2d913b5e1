/// Looks roles up at live poolers by GetAuthCredentials. Blocking; any thread.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/rpc/dialer.h"
#include "components/multigateway/router.h"
#include "multipoolerservice.grpc.pb.h"

namespace mg::multigateway {

class Credentials {
 public:
  Credentials(Router* router, rpc::Dialer dialer) : router_(router), dialer_(std::move(dialer)) {}
  /// The role's verifier; empty: it has no password. NOT_FOUND: no such role. UNAVAILABLE: no pooler answers.
  absl::StatusOr<std::string> Verifier(const std::string& pool_database, const std::string& role, absl::Time deadline);

 private:
  std::shared_ptr<multipoolerservice::MultipoolerService::Stub> StubFor(const std::string& address);

  Router* router_;
  const rpc::Dialer dialer_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<multipoolerservice::MultipoolerService::Stub>> stubs_;
};

}  // namespace mg::multigateway
