#include "components/multigateway/pooler_health.h"

#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <utility>

#include "common/log/log.h"
#include "common/topology/topology.h"
#include "multipoolerservice.grpc.pb.h"

namespace mg::multigateway {
namespace {

constexpr std::chrono::milliseconds kFirstRetry(20);
constexpr std::chrono::milliseconds kLongestRetry(1000);
/// A stream that has said nothing yet is given up after this; later the pooler's own recommendation counts.
constexpr std::chrono::milliseconds kFirstSilence(3000);
constexpr std::chrono::milliseconds kLeastSilence(1000);
/// Of a pooler that recommends nothing.
constexpr std::chrono::milliseconds kUsualSilence(60000);

}  // namespace

struct PoolerHealth::Shared {
  rpc::Dialer dialer;
  std::function<void()> changed;
  std::mutex changed_mutex;  ///< one call at a time; taken before `mutex`
  mutable std::mutex mutex;  ///< guards the rest
  std::condition_variable idle;
  int open = 0;  ///< streams that have not ended for good
  std::map<std::string, State> states;

  void Tell() {
    std::lock_guard lock(changed_mutex);
    changed();
  }
};

// One pooler. Lives until its last callback has returned: each call and each pause for a retry holds a reference.
class PoolerHealth::Stream : public std::enable_shared_from_this<Stream> {
 public:
  Stream(std::shared_ptr<Shared> shared, std::string id, std::string address)
      : shared_(std::move(shared)), id_(std::move(id)), address_(std::move(address)) {}

  const std::string& address() const { return address_; }

  void Begin() {
    {
      std::lock_guard lock(shared_->mutex);
      ++shared_->open;
    }
    Call();
  }

  void End() {
    std::lock_guard lock(mutex_);
    ended_ = true;
    if (call_ != nullptr) {
      call_->context.TryCancel();
    }
    if (pause_ != nullptr) {
      pause_->Cancel();
    }
    if (silence_ != nullptr) {
      silence_->Cancel();
    }
  }

 private:
  // A call owns itself until OnDone.
  struct Reader : grpc::ClientReadReactor<multipoolerservice::StreamPoolerHealthResponse> {
    explicit Reader(std::shared_ptr<Stream> owner)
        : stream(std::move(owner)),
          // A new channel for each try: an old one would wait out its own back-off first.
          stub(multipoolerservice::MultipoolerService::NewStub(stream->shared_->dialer.Dial(stream->address_))) {}
    void Start() {
      stub->async()->StreamPoolerHealth(&context, &request, this);
      StartRead(&message);
      StartCall();
    }
    void OnReadDone(bool ok) override {
      if (ok) {
        stream->Heard(message);
        StartRead(&message);
      }
    }
    void OnDone(const grpc::Status&) override {
      std::shared_ptr<Stream> owner = std::move(stream);
      owner->Forget();
      delete this;
      owner->Lost();
    }

    std::shared_ptr<Stream> stream;
    std::unique_ptr<multipoolerservice::MultipoolerService::Stub> stub;
    grpc::ClientContext context;
    multipoolerservice::StreamPoolerHealthRequest request;
    multipoolerservice::StreamPoolerHealthResponse message;
  };

  void Call() {
    Reader* call = nullptr;
    {
      std::lock_guard lock(mutex_);
      pause_.reset();
      if (!ended_) {
        call = call_ = new Reader(shared_from_this());
        silence_limit_ = kFirstSilence;
        WatchSilence();
      }
    }
    if (call == nullptr) {
      Gone();
    } else {
      call->Start();
    }
  }

  // A frozen pooler, or a connection that was cut without a word: TCP itself would find out after minutes. Under the
  // lock.
  void WatchSilence() {
    last_word_ = std::chrono::steady_clock::now();
    if (silence_ == nullptr) {
      SetSilenceAlarm(silence_limit_);
    }
  }

  void SetSilenceAlarm(std::chrono::milliseconds after) {
    silence_ = std::make_unique<grpc::Alarm>();
    silence_->Set(std::chrono::system_clock::now() + after, [self = shared_from_this()](bool) { self->Listen(); });
  }

  // When the alarm has gone off, or was called off.
  void Listen() {
    std::unique_ptr<grpc::Alarm> gone;  // not destroyed under the lock
    std::lock_guard lock(mutex_);
    gone = std::move(silence_);
    if (ended_ || call_ == nullptr) {
      return;
    }
    auto silent = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - last_word_);
    if (silent >= silence_limit_) {
      log::Warn("a pooler says nothing any more", {{"pooler", id_}, {"milliseconds", silent.count()}});
      call_->context.TryCancel();
    } else {
      SetSilenceAlarm(silence_limit_ - silent);
    }
  }

  // From here on nobody cancels the call any more.
  void Forget() {
    std::lock_guard lock(mutex_);
    call_ = nullptr;
  }

  void Heard(const multipoolerservice::StreamPoolerHealthResponse& message) {
    {
      std::lock_guard lock(mutex_);
      if (ended_) {
        return;
      }
      retry_ = kFirstRetry;
      last_word_ = std::chrono::steady_clock::now();
      const auto& recommended = message.recommended_staleness_timeout();
      silence_limit_ = message.has_recommended_staleness_timeout()
                           ? std::max(kLeastSilence, std::chrono::milliseconds(recommended.seconds() * 1000 +
                                                                               recommended.nanos() / 1000000))
                           : kUsualSilence;
    }
    // Who answers at an address that was another pooler's says so.
    if (topology::IdString(message.pooler_id()) != id_) {
      return;
    }
    bool news = false;
    {
      std::lock_guard lock(shared_->mutex);
      auto [known, first] = shared_->states.try_emplace(id_);
      const clustermetadata::RoutingState& routing = known->second.routing;
      const clustermetadata::RoutingState& said = message.routing_state();
      news = first || known->second.serving != message.serving_status() || routing.role() != said.role() ||
             routing.rule().coordinator_term() != said.rule().coordinator_term() ||
             routing.rule().leader_subterm() != said.rule().leader_subterm();
      known->second = {.serving = message.serving_status(), .routing = said};
    }
    if (news) {  // most messages only say that it is there: every session would look at its route for nothing
      shared_->Tell();
    }
  }

  void Lost() {
    bool known = false;
    {
      std::lock_guard lock(shared_->mutex);
      known = shared_->states.erase(id_) > 0;
    }
    if (known) {
      log::Debug("health stream lost", {{"pooler", id_}});
      shared_->Tell();
    }
    std::unique_lock lock(mutex_);
    if (ended_) {
      lock.unlock();
      Gone();
      return;
    }
    auto at = std::chrono::system_clock::now() + retry_;
    retry_ = std::min(retry_ * 2, kLongestRetry);
    pause_ = std::make_unique<grpc::Alarm>();
    pause_->Set(at, [self = shared_from_this()](bool) { self->Call(); });
  }

  void Gone() {
    std::lock_guard lock(shared_->mutex);
    shared_->states.erase(id_);
    --shared_->open;
    shared_->idle.notify_all();
  }

  const std::shared_ptr<Shared> shared_;
  const std::string id_, address_;
  std::mutex mutex_;  ///< guards the rest
  bool ended_ = false;
  Reader* call_ = nullptr;
  std::chrono::milliseconds retry_ = kFirstRetry;
  std::unique_ptr<grpc::Alarm> pause_;  ///< until the next try
  std::chrono::steady_clock::time_point last_word_;
  std::chrono::milliseconds silence_limit_ = kFirstSilence;
  std::unique_ptr<grpc::Alarm> silence_;  ///< until the pooler has been silent for too long
};

PoolerHealth::PoolerHealth(rpc::Dialer dialer, std::function<void()> changed) : shared_(std::make_shared<Shared>()) {
  shared_->dialer = std::move(dialer);
  shared_->changed = std::move(changed);
}

PoolerHealth::~PoolerHealth() { Stop(); }

void PoolerHealth::Stop() {
  {
    std::lock_guard lock(streams_mutex_);
    for (const auto& [id, stream] : streams_) {
      stream->End();
    }
    streams_.clear();
    stopped_ = true;
  }
  std::unique_lock lock(shared_->mutex);
  shared_->idle.wait(lock, [this] { return shared_->open == 0; });
}

void PoolerHealth::Follow(const std::vector<clustermetadata::Multipooler>& poolers) {
  std::lock_guard lock(streams_mutex_);
  if (stopped_) {
    return;
  }
  std::map<std::string, std::shared_ptr<Stream>> kept;
  for (const clustermetadata::Multipooler& pooler : poolers) {
    absl::StatusOr<std::string> address = topology::AddressOf(pooler, "grpc");
    if (!address.ok()) {
      continue;
    }
    std::string id = topology::IdString(pooler.id());
    auto known = streams_.find(id);
    if (known != streams_.end() && known->second->address() == *address) {
      kept.insert(streams_.extract(known));
      continue;
    }
    auto stream = std::make_shared<Stream>(shared_, id, *std::move(address));
    stream->Begin();
    kept.emplace(std::move(id), std::move(stream));
  }
  for (const auto& [id, stream] : streams_) {
    stream->End();
  }
  streams_ = std::move(kept);
}

std::optional<PoolerHealth::State> PoolerHealth::Of(const clustermetadata::ID& id) const {
  std::lock_guard lock(shared_->mutex);
  auto found = shared_->states.find(topology::IdString(id));
  if (found == shared_->states.end()) {
    return std::nullopt;
  }
  return found->second;
}

}  // namespace mg::multigateway
