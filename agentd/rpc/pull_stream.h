/// The writing side of a server stream that pulls: whenever gRPC can take a message, the source is asked for one, and
/// when there is none, the stream rests until it is woken. So what waits for a slow reader is the source's decision,
/// and one message at most is held here. Private to agentd/rpc.
#pragma once

#include <grpcpp/support/server_callback.h>

#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include "absl/status/status.h"
#include "common/rpc/rpc.h"

namespace mg::rpc {

/// What a source gave.
enum class Pull { kItem, kNothingYet, kEnd };

/// Any thread. The call's lifetime is gRPC's; this object lives as long as anyone holds it.
template <typename Response>
class PullStream : public std::enable_shared_from_this<PullStream<Response>> {
 public:
  /// Fills the message, or sets the status that ends the call. Never called twice at once; must not block.
  using Source = std::function<Pull(Response*, absl::Status*)>;

  /// Makes the stream and the reactor that the handler returns to gRPC.
  static std::pair<std::shared_ptr<PullStream>, grpc::ServerWriteReactor<Response>*> Make() {
    auto stream = std::make_shared<PullStream>();
    stream->reactor_ = new Reactor(stream);
    return {stream, stream->reactor_};
  }

  /// Sets the source and begins. `keep` lives as long as the call: a subscription, a reading thread.
  void Attach(Source source, std::shared_ptr<void> keep = nullptr) {
    // Destroyed without the lock: to end a reading thread may mean to wait for one that wants the lock.
    std::shared_ptr<void> unused = std::move(keep);
    std::lock_guard<std::mutex> lock(mutex_);
    if (reactor_ != nullptr) {
      source_.swap(source);
      keep_.swap(unused);
      PumpLocked();
    }
  }

  /// Ends the call with an error, or OK.
  void End(const absl::Status& status) {
    Attach([status](Response*, absl::Status* end) {
      *end = status;
      return Pull::kEnd;
    });
  }

  /// There may be more.
  void Wake() {
    std::lock_guard<std::mutex> lock(mutex_);
    PumpLocked();
  }

  std::function<void()> Waker() {
    return [self = this->shared_from_this()] { self->Wake(); };
  }

 private:
  class Reactor : public grpc::ServerWriteReactor<Response> {
   public:
    explicit Reactor(std::shared_ptr<PullStream> stream) : stream_(std::move(stream)) {}
    void OnWriteDone(bool ok) override { stream_->Written(ok); }
    void OnCancel() override { stream_->Cancelled(); }
    void OnDone() override {
      stream_->Done();
      delete this;
    }

   private:
    const std::shared_ptr<PullStream> stream_;
  };

  void PumpLocked() {
    if (reactor_ == nullptr || writing_ || finished_) {
      return;
    }
    if (cancelled_) {
      finished_ = true;
      reactor_->Finish(grpc::Status::CANCELLED);
      return;
    }
    if (!source_) {
      return;
    }
    absl::Status end;
    message_.Clear();
    switch (source_(&message_, &end)) {
      case Pull::kItem:
        writing_ = true;
        reactor_->StartWrite(&message_);
        return;
      case Pull::kNothingYet:
        return;
      case Pull::kEnd:
        finished_ = true;
        reactor_->Finish(ToGrpc(end));
        return;
    }
  }

  void Written(bool ok) {
    std::lock_guard<std::mutex> lock(mutex_);
    writing_ = false;
    cancelled_ = cancelled_ || !ok;
    PumpLocked();
  }

  void Cancelled() {
    std::lock_guard<std::mutex> lock(mutex_);
    cancelled_ = true;
    PumpLocked();
  }

  void Done() {
    Source source;
    std::shared_ptr<void> keep;
    std::lock_guard<std::mutex> lock(mutex_);
    reactor_ = nullptr;
    source.swap(source_);
    keep.swap(keep_);
  }

  std::mutex mutex_;
  Reactor* reactor_ = nullptr;
  Source source_;
  std::shared_ptr<void> keep_;
  Response message_;
  bool writing_ = false;
  bool finished_ = false;
  bool cancelled_ = false;
};

}  // namespace mg::rpc
