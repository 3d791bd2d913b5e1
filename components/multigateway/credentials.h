/// Looks roles up at live poolers by GetAuthCredentials: at the primary's, and soon at others too when that one is slow
/// to answer, since it may be frozen or cut off. Blocking; any thread.
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
  struct Asking;
  std::shared_ptr<multipoolerservice::MultipoolerService::Stub> StubFor(const std::string& address);
  void Ask(const std::shared_ptr<Asking>& asking, const clustermetadata::Multipooler& pooler,
           const std::string& address, const std::string& role, absl::Time deadline);
  /// Did not answer when others did: asked last for a while, and by a new connection.
  void Suspect(const std::string& address);

  Router* router_;
  const rpc::Dialer dialer_;
  std::mutex mutex_;  ///< guards the rest
  std::map<std::string, std::shared_ptr<multipoolerservice::MultipoolerService::Stub>> stubs_;
  std::map<std::string, absl::Time> suspects_;  ///< by address: until when
};

}  // namespace mg::multigateway
