#include "agentd/adminproxy/admin_proxy.h"

#include <grpcpp/channel.h>
#include <grpcpp/generic/async_generic_service.h>

#include <map>
#include <mutex>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agentd/adminproxy/forwarded_call.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"

namespace mg::adminproxy {
namespace {

using multigres::provisioner::v1::ClusterSelector;

ClusterSelector SelectorOf(const grpc::GenericCallbackServerContext& context) {
  const auto& metadata = context.client_metadata();
  auto value = [&](const std::string& key) {
    for (const std::string& name : {key, key + "-bin"}) {
      auto it = metadata.find(name);
      if (it != metadata.end()) {
        return std::string(it->second.data(), it->second.size());
      }
    }
    return std::string();
  };
  ClusterSelector selector;
  selector.set_name(value("multigres-cluster"));
  selector.set_config_path(value("multigres-config-path"));
  selector.set_working_directory(value("multigres-working-directory"));
  selector.set_home_is_explicit(value("multigres-home-explicit") == "true");
  return selector;
}

/// Channels by address, kept as long as they work.
class Channels {
 public:
  std::shared_ptr<grpc::Channel> Get(const std::string& address) {
    std::lock_guard<std::mutex> lock(mutex_);
    std::shared_ptr<grpc::Channel>& channel = channels_[address];
    if (channel == nullptr) {
      channel = rpc::DialPlain(address);
    }
    return channel;
  }

  /// After a failure to connect: the next call dials anew, rather than fail by this channel's back-off.
  void Forget(const std::string& address) {
    std::lock_guard<std::mutex> lock(mutex_);
    channels_.erase(address);
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<grpc::Channel>> channels_;
};

absl::Status Unanswered(const std::string& address, const absl::Status& status, bool sent) {
  if (sent) {
    return MakeError(absl::StatusCode::kUnavailable,
                     absl::StrCat("the answer did not arrive: the Admin API at ", address,
                                  " ended during the call, and what was begun may go on"),
                     {.reason = "ADMIN_API_UNAVAILABLE",
                      .hint = "see what has become of it before you repeat the command; multigres status shows whether "
                              "multiadmin runs again",
                      .subject = "multiadmin"});
  }
  return MakeError(absl::StatusCode::kUnavailable,
                   absl::StrCat("the Admin API at ", address, " does not answer: ", std::string(status.message())),
                   {.reason = "ADMIN_API_UNAVAILABLE",
                    .hint = "see multigres status; multigres up starts what is missing",
                    .subject = "multiadmin"});
}

/// Answers what nobody here knows.
class Unknown : public grpc::ServerGenericBidiReactor {
 public:
  explicit Unknown(const std::string& method) {
    Finish(grpc::Status(grpc::StatusCode::UNIMPLEMENTED, absl::StrCat("the agent has no method ", method)));
  }
  void OnDone() override { delete this; }
};

}  // namespace

class AdminProxy::Service : public grpc::CallbackGenericService {
 public:
  Service(Resolve resolve, Execute execute) : resolve_(std::move(resolve)), execute_(std::move(execute)) {}

 private:
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* context) override {
    if (!Forwards(context->method())) {
      return new Unknown(context->method());
    }
    auto call = std::make_shared<ForwardedCall>(context);
    grpc::ServerGenericBidiReactor* reactor = call->TakeReactor();
    execute_([this, call, selector = SelectorOf(*context)] {
      absl::StatusOr<Target> target = resolve_(selector);
      if (!target.ok()) {
        return call->Refuse(target.status());
      }
      call->Forward(channels_->Get(target->address), target->token,
                    [channels = channels_, address = target->address](const absl::Status& status, bool sent) {
                      channels->Forget(address);
                      return Unanswered(address, status, sent);
                    });
    });
    return reactor;
  }

  const Resolve resolve_;
  const Execute execute_;
  const std::shared_ptr<Channels> channels_ = std::make_shared<Channels>();
};

AdminProxy::AdminProxy(Resolve resolve, Execute execute)
    : service_(std::make_unique<Service>(std::move(resolve), std::move(execute))) {}

AdminProxy::~AdminProxy() = default;

grpc::CallbackGenericService* AdminProxy::service() { return service_.get(); }

bool AdminProxy::Forwards(const std::string& method) {
  return absl::StartsWith(method, "/multiadmin.MultiadminService/") || absl::StartsWith(method, "/multigres.admin.v1.");
}

}  // namespace mg::adminproxy
