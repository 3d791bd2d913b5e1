/// One forwarded call: pumps messages between the caller and the upstream, one at a time each way. Private to
/// agentd/adminproxy.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"

namespace mg::adminproxy {

/// Any thread. Lives until both sides are done.
///
///   caller --StartRead--> request --StartWrite--> upstream        until the caller half-closes
///   caller <--StartWrite-- response <--StartRead-- upstream       until the upstream has no more; then its status
class ForwardedCall : public std::enable_shared_from_this<ForwardedCall> {
 public:
  explicit ForwardedCall(grpc::GenericCallbackServerContext* context);
  ~ForwardedCall();

  /// The reactor for gRPC; before anything else.
  grpc::ServerGenericBidiReactor* TakeReactor();
  /// What to answer where the upstream did not: `status` is gRPC's own; `sent`: it had the request, or a part of it.
  using Unanswered = std::function<absl::Status(const absl::Status& status, bool sent)>;

  /// Begins to forward over `channel`, with `token` when the caller brings no authorization.
  void Forward(std::shared_ptr<grpc::Channel> channel, const std::string& token, Unanswered unanswered);
  /// Answers with an error instead of forwarding.
  void Refuse(const absl::Status& status);

 private:
  class CallerSide;
  class UpstreamSide;

  void CallerRead(bool ok);
  void CallerWritten(bool ok);
  void CallerCancelled();
  void UpstreamMetadata(bool ok);
  void UpstreamRead(bool ok);
  void UpstreamWritten(bool ok);
  void UpstreamDone(const grpc::Status& status);
  void FinishLocked(const grpc::Status& status);

  grpc::GenericCallbackServerContext* const context_;
  std::mutex mutex_;
  std::unique_ptr<CallerSide> caller_;
  std::unique_ptr<UpstreamSide> upstream_;
  std::unique_ptr<grpc::GenericStub> stub_;
  std::shared_ptr<grpc::Channel> channel_;
  grpc::ClientContext upstream_context_;
  Unanswered unanswered_;
  std::string method_;
  grpc::ByteBuffer request_, response_;
  bool cancelled_ = false;      ///< by the caller
  bool finished_ = false;       ///< the caller has its status
  bool sent_ = false;           ///< something of the request
  bool upstream_over_ = false;  ///< no operation may be begun on the upstream any more
};

}  // namespace mg::adminproxy
