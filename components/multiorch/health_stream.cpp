#include "components/multiorch/health_stream.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "common/rpc/rpc.h"
#include "multipoolermanagerservice.grpc.pb.h"

namespace mg::multiorch {
namespace {

constexpr auto kFirstRetry = std::chrono::milliseconds(20);
constexpr auto kLongestRetry = std::chrono::milliseconds(1000);

}  // namespace

struct HealthStream::Impl {
  std::string address;
  rpc::Dialer dialer;
  absl::Duration interval;
  std::function<void(const multipoolermanagerdata::StatusResponse&)> snapshot;
  std::function<void()> lost;

  std::mutex mutex;
  std::condition_variable changed;
  bool stopping = false;
  bool retry_now = false;
  grpc::ClientContext* context = nullptr;
  absl::Time last_word = absl::InfiniteFuture();
  std::thread thread;

  void Heard() {
    std::lock_guard lock(mutex);
    last_word = absl::Now();
  }

  // Until the stream ends. True when it had worked.
  bool Follow() {
    grpc::ClientContext call;
    {
      std::lock_guard lock(mutex);
      if (stopping) {
        return false;
      }
      context = &call;
      last_word = absl::Now();
    }
    // A new channel for each try: an old one would wait out its own back-off first.
    auto stub = multipoolermanager::MultipoolerManager::NewStub(dialer.Dial(address));
    auto stream = stub->ManagerHealthStream(&call);
    multipoolermanagerdata::ManagerHealthStreamClientMessage start;
    std::int64_t nanos = absl::ToInt64Nanoseconds(interval);
    start.mutable_start()->mutable_snapshot_interval()->set_seconds(nanos / 1000000000);
    start.mutable_start()->mutable_snapshot_interval()->set_nanos(static_cast<int>(nanos % 1000000000));
    bool worked = false;
    if (stream->Write(start)) {
      multipoolermanagerdata::ManagerHealthStreamResponse message;
      while (stream->Read(&message)) {
        Heard();
        if (message.has_snapshot()) {
          worked = true;
          snapshot(message.snapshot().status());
        }
      }
    }
    call.TryCancel();
    (void)stream->Finish();
    std::lock_guard lock(mutex);
    context = nullptr;
    return worked;
  }

  void Loop() {
    auto retry = kFirstRetry;
    std::unique_lock lock(mutex);
    while (!stopping) {
      retry_now = false;
      lock.unlock();
      bool worked = Follow();
      lost();
      lock.lock();
      retry = worked ? kFirstRetry : std::min(retry * 2, kLongestRetry);
      changed.wait_for(lock, retry, [&] { return stopping || retry_now; });
    }
  }
};

HealthStream::HealthStream(std::string address, rpc::Dialer dialer, absl::Duration interval,
                           std::function<void(const multipoolermanagerdata::StatusResponse&)> snapshot,
                           std::function<void()> lost)
    : impl_(std::make_unique<Impl>()) {
  impl_->address = std::move(address);
  impl_->dialer = std::move(dialer);
  impl_->interval = interval;
  impl_->snapshot = std::move(snapshot);
  impl_->lost = std::move(lost);
  impl_->thread = std::thread([this] { impl_->Loop(); });
}

HealthStream::~HealthStream() {
  {
    std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
    if (impl_->context != nullptr) {
      impl_->context->TryCancel();
    }
  }
  impl_->changed.notify_all();
  impl_->thread.join();
}

void HealthStream::EndIfSilent(absl::Duration limit) {
  std::lock_guard lock(impl_->mutex);
  if (impl_->context != nullptr && absl::Now() - impl_->last_word > limit) {
    impl_->context->TryCancel();
  }
}

void HealthStream::Retry() {
  std::lock_guard lock(impl_->mutex);
  impl_->retry_now = true;
  impl_->changed.notify_all();
}

}  // namespace mg::multiorch
