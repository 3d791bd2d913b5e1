#include "components/multigateway/credentials.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <condition_variable>
#include <vector>

#include "absl/time/clock.h"
#include "common/rpc/rpc.h"
#include "common/topology/topology.h"

namespace mg::multigateway {
namespace {

// Who has not answered by then is not waited for alone.
constexpr absl::Duration kNextAfter = absl::Milliseconds(100);
// A standby that does not know a role may lag behind: so long somebody else can know it.
constexpr absl::Duration kDoubt = absl::Milliseconds(500);
constexpr absl::Duration kCallLimit = absl::Seconds(2);
constexpr absl::Duration kSuspicion = absl::Seconds(5);

bool Leads(const clustermetadata::Multipooler& pooler) {
  return pooler.routing_state().role() == clustermetadata::ROUTING_ROLE_PRIMARY;
}

}  // namespace

// One look-up. Calls that it no longer waits for end by themselves, and hold it until then.
struct Credentials::Asking {
  struct Call {
    std::string address;
    bool leads = false;
    bool ended = false;
    absl::Time begun;
    grpc::ClientContext context;
    multipoolerservice::GetAuthCredentialsRequest request;
    multipoolerservice::GetAuthCredentialsResponse response;
    grpc::Status status;
    std::shared_ptr<multipoolerservice::MultipoolerService::Stub> stub;
  };
  std::mutex mutex;  ///< guards the rest; calls are appended by the looking thread only
  std::condition_variable answered;
  std::vector<std::shared_ptr<Call>> calls;
};

std::shared_ptr<multipoolerservice::MultipoolerService::Stub> Credentials::StubFor(const std::string& address) {
  std::lock_guard lock(mutex_);
  auto& stub = stubs_[address];
  if (stub == nullptr) {
    stub = multipoolerservice::MultipoolerService::NewStub(dialer_.Dial(address));
  }
  return stub;
}

void Credentials::Suspect(const std::string& address) {
  std::lock_guard lock(mutex_);
  suspects_[address] = absl::Now() + kSuspicion;
  stubs_.erase(address);
}

void Credentials::Ask(const std::shared_ptr<Asking>& asking, const clustermetadata::Multipooler& pooler,
                      const std::string& address, const std::string& role, absl::Time deadline) {
  auto call = std::make_shared<Asking::Call>();
  call->address = address;
  call->leads = Leads(pooler);
  call->begun = absl::Now();
  call->request.set_database(pooler.shard_key().database());
  call->request.set_username(role);
  call->stub = StubFor(address);
  rpc::SetDeadline(&call->context, std::min(deadline, absl::Now() + kCallLimit));
  {
    std::lock_guard lock(asking->mutex);
    asking->calls.push_back(call);
  }
  call->stub->async()->GetAuthCredentials(&call->context, &call->request, &call->response,
                                          [asking, call](const grpc::Status& status) {
                                            std::lock_guard lock(asking->mutex);
                                            call->status = status;
                                            call->ended = true;
                                            asking->answered.notify_all();
                                          });
}

absl::StatusOr<std::string> Credentials::Verifier(const std::string& pool_database, const std::string& role,
                                                  absl::Time deadline) {
  absl::Status last = absl::UnavailableError("no pooler is known yet");
  std::vector<std::pair<clustermetadata::Multipooler, std::string>> sources, suspects;
  for (clustermetadata::Multipooler& pooler : router_->ForCredentials(pool_database)) {
    absl::StatusOr<std::string> address = topology::AddressOf(pooler, "grpc");
    if (!address.ok()) {
      last = address.status();
      continue;
    }
    std::lock_guard lock(mutex_);
    auto suspect = suspects_.find(*address);
    bool suspected = suspect != suspects_.end() && absl::Now() < suspect->second;
    (suspected ? suspects : sources).emplace_back(std::move(pooler), *std::move(address));
  }
  sources.insert(sources.end(), suspects.begin(), suspects.end());
  auto asking = std::make_shared<Asking>();
  absl::StatusOr<std::string> result = absl::UnknownError("");
  std::size_t next = 0;
  absl::Time next_at = absl::InfinitePast();
  absl::Time unknown_since = absl::InfiniteFuture();
  while (true) {
    absl::Time now = absl::Now();
    if (next < sources.size() && now >= next_at) {
      Ask(asking, sources[next].first, sources[next].second, role, deadline);
      ++next;
      next_at = now + kNextAfter;
    }
    std::unique_lock lock(asking->mutex);
    bool open = false, unknown = false, done = false;
    for (const auto& call : asking->calls) {
      open |= !call->ended;
      if (!call->ended) {
        continue;
      }
      if (call->status.ok()) {
        result = call->response.scram_hash();
        done = true;
        break;
      }
      if (call->status.error_code() == grpc::StatusCode::NOT_FOUND) {
        unknown = true;
        result = absl::NotFoundError(call->status.error_message());
        done |= call->leads;
      } else {
        last = absl::UnavailableError(call->status.error_message());
      }
    }
    if (unknown) {
      unknown_since = std::min(unknown_since, now);
    }
    bool all = next == sources.size() && !open;
    if (done || all || now >= deadline || now >= unknown_since + kDoubt) {
      if (!done && !unknown) {
        result = last;
      }
      break;
    }
    if (!open && next < sources.size()) {
      next_at = now;  // whoever was asked has failed: on to the next at once
      continue;
    }
    absl::Time until = std::min(deadline, unknown_since + kDoubt);
    asking->answered.wait_until(lock, absl::ToChronoTime(next < sources.size() ? std::min(until, next_at) : until));
  }
  std::vector<std::shared_ptr<Asking::Call>> silent;
  {
    std::lock_guard lock(asking->mutex);
    std::copy_if(asking->calls.begin(), asking->calls.end(), std::back_inserter(silent),
                 [](const auto& call) { return !call->ended; });
  }
  for (const auto& call : silent) {
    if (absl::Now() - call->begun >= kNextAfter) {
      Suspect(call->address);
    }
    call->context.TryCancel();
  }
  return result;
}

}  // namespace mg::multigateway
