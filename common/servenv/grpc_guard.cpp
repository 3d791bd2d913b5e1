#include "common/servenv/grpc_guard.h"

#include <google/protobuf/message_lite.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/support/server_interceptor.h>

#include <optional>

#include "absl/strings/match.h"
#include "common/rpc/rpc.h"

namespace mg::servenv {
namespace {

namespace experimental = grpc::experimental;

class ReflectionGuard final : public experimental::Interceptor {
 public:
  ReflectionGuard(const GrpcGuard* guard, experimental::ServerRpcInfo* info) : guard_(guard), info_(info) {}

  void Intercept(experimental::InterceptorBatchMethods* batch) override {
    using Point = experimental::InterceptionHookPoints;
    if (batch->QueryInterceptionHookPoint(Point::POST_RECV_INITIAL_METADATA)) {
      absl::Status admitted = (*guard_)(info_->method(), *info_->server_context());
      if (!admitted.ok()) {
        refused_ = rpc::ToGrpc(admitted);
      }
    }
    if (refused_.has_value() && batch->QueryInterceptionHookPoint(Point::POST_RECV_MESSAGE)) {
      // Null at the end of the client's stream. The library's own service has protobuf messages, which begin so.
      if (auto* message = static_cast<google::protobuf::MessageLite*>(batch->GetRecvMessage()); message != nullptr) {
        message->Clear();
      }
    }
    if (refused_.has_value() && batch->QueryInterceptionHookPoint(Point::PRE_SEND_STATUS)) {
      batch->ModifySendStatus(*refused_);
    }
    batch->Proceed();
  }

 private:
  const GrpcGuard* const guard_;
  experimental::ServerRpcInfo* const info_;
  std::optional<grpc::Status> refused_;
};

class Factory final : public experimental::ServerInterceptorFactoryInterface {
 public:
  explicit Factory(GrpcGuard guard) : guard_(std::move(guard)) {}

  experimental::Interceptor* CreateServerInterceptor(experimental::ServerRpcInfo* info) override {
    return absl::StartsWith(info->method(), "/grpc.reflection.") ? new ReflectionGuard(&guard_, info) : nullptr;
  }

 private:
  const GrpcGuard guard_;
};

}  // namespace

std::vector<std::unique_ptr<experimental::ServerInterceptorFactoryInterface>> GuardReflection(GrpcGuard guard) {
  std::vector<std::unique_ptr<experimental::ServerInterceptorFactoryInterface>> factories;
  factories.push_back(std::make_unique<Factory>(std::move(guard)));
  return factories;
}

}  // namespace mg::servenv
