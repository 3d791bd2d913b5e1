#include "agentd/adminproxy/forwarded_call.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc/rpc.h"

namespace mg::adminproxy {
namespace {

absl::string_view View(grpc::string_ref text) { return absl::string_view(text.data(), text.size()); }

/// Of the connection rather than of the call.
bool IsOfConnection(absl::string_view key) {
  return absl::StartsWith(key, "grpc-") || absl::StartsWith(key, ":") || key == "user-agent" || key == "content-type" ||
         key == "te" || key == "host";
}

/// What a caller says to the agent itself: which cluster, for one.
bool IsForAgent(absl::string_view key) { return absl::StartsWith(key, "multigres-"); }

}  // namespace

class ForwardedCall::CallerSide : public grpc::ServerGenericBidiReactor {
 public:
  explicit CallerSide(std::shared_ptr<ForwardedCall> call) : call_(std::move(call)) {}
  void OnReadDone(bool ok) override { call_->CallerRead(ok); }
  void OnWriteDone(bool ok) override { call_->CallerWritten(ok); }
  void OnCancel() override { call_->CallerCancelled(); }
  void OnDone() override {
    // The last reference may be ours, and the call owns this object.
    std::shared_ptr<ForwardedCall> call = std::move(call_);
  }

 private:
  std::shared_ptr<ForwardedCall> call_;
};

class ForwardedCall::UpstreamSide : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  explicit UpstreamSide(std::shared_ptr<ForwardedCall> call) : call_(std::move(call)) {}
  void OnReadInitialMetadataDone(bool ok) override { call_->UpstreamMetadata(ok); }
  void OnReadDone(bool ok) override { call_->UpstreamRead(ok); }
  void OnWriteDone(bool ok) override { call_->UpstreamWritten(ok); }
  void OnDone(const grpc::Status& status) override {
    std::shared_ptr<ForwardedCall> call = std::move(call_);
    call->UpstreamDone(status);
  }

 private:
  std::shared_ptr<ForwardedCall> call_;
};

ForwardedCall::ForwardedCall(grpc::GenericCallbackServerContext* context) : context_(context) {}
ForwardedCall::~ForwardedCall() = default;

grpc::ServerGenericBidiReactor* ForwardedCall::TakeReactor() {
  caller_ = std::make_unique<CallerSide>(shared_from_this());
  return caller_.get();
}

void ForwardedCall::Forward(std::shared_ptr<grpc::Channel> channel, const std::string& token, Unanswered unanswered) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (finished_) {
    return;
  }
  if (cancelled_) {
    return FinishLocked(grpc::Status::CANCELLED);
  }
  channel_ = std::move(channel);
  unanswered_ = std::move(unanswered);
  method_ = context_->method();
  bool authorized = false;
  for (const auto& [key, value] : context_->client_metadata()) {
    if (!IsOfConnection(View(key)) && !IsForAgent(View(key))) {
      upstream_context_.AddMetadata(std::string(View(key)), std::string(View(value)));
      authorized |= View(key) == "authorization";
    }
  }
  if (!authorized && !token.empty()) {
    upstream_context_.AddMetadata("authorization", absl::StrCat("Bearer ", token));
  }
  if (absl::FromChrono(context_->deadline()) < absl::Now() + absl::Hours(24 * 365)) {
    upstream_context_.set_deadline(context_->deadline());
  }
  stub_ = std::make_unique<grpc::GenericStub>(channel_);
  upstream_ = std::make_unique<UpstreamSide>(shared_from_this());
  stub_->PrepareBidiStreamingCall(&upstream_context_, method_, {}, upstream_.get());
  // Writes are begun from the caller's reactions: the hold keeps the upstream's end from coming in between.
  upstream_->AddHold();
  upstream_->StartCall();
  caller_->StartRead(&request_);
}

void ForwardedCall::Refuse(const absl::Status& status) {
  std::lock_guard<std::mutex> lock(mutex_);
  FinishLocked(rpc::ToGrpc(status));
}

void ForwardedCall::FinishLocked(const grpc::Status& status) {
  if (!finished_) {
    finished_ = true;
    caller_->Finish(status);
  }
}

void ForwardedCall::CallerRead(bool ok) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (upstream_over_) {
    return;
  }
  if (ok) {
    upstream_->StartWrite(&request_);
  } else {
    upstream_->StartWritesDone();
  }
}

void ForwardedCall::UpstreamWritten(bool ok) {
  std::lock_guard<std::mutex> lock(mutex_);
  sent_ |= ok;
  if (ok && !finished_ && !upstream_over_) {
    request_.Clear();
    caller_->StartRead(&request_);
  }
}

void ForwardedCall::UpstreamMetadata(bool ok) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (ok) {
    for (const auto& [key, value] : upstream_context_.GetServerInitialMetadata()) {
      if (!IsOfConnection(View(key))) {
        context_->AddInitialMetadata(std::string(View(key)), std::string(View(value)));
      }
    }
    if (!finished_) {
      caller_->StartSendInitialMetadata();
    }
  }
  upstream_->StartRead(&response_);
}

void ForwardedCall::UpstreamRead(bool ok) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (ok) {
    caller_->StartWrite(&response_);
    return;
  }
  upstream_over_ = true;
  upstream_->RemoveHold();
}

void ForwardedCall::CallerWritten(bool ok) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!ok) {
    upstream_context_.TryCancel();
  }
  response_.Clear();
  upstream_->StartRead(&response_);
}

void ForwardedCall::CallerCancelled() {
  std::lock_guard<std::mutex> lock(mutex_);
  cancelled_ = true;
  if (upstream_ == nullptr) {
    return FinishLocked(grpc::Status::CANCELLED);
  }
  upstream_context_.TryCancel();
}

void ForwardedCall::UpstreamDone(const grpc::Status& status) {
  std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& [key, value] : upstream_context_.GetServerTrailingMetadata()) {
    if (!IsOfConnection(View(key))) {
      context_->AddTrailingMetadata(std::string(View(key)), std::string(View(value)));
    }
  }
  // What the Admin API itself says has details.
  bool unanswered = status.error_code() == grpc::StatusCode::UNAVAILABLE && status.error_details().empty();
  FinishLocked(unanswered ? rpc::ToGrpc(unanswered_(rpc::FromGrpc(status), sent_)) : status);
}

}  // namespace mg::adminproxy
