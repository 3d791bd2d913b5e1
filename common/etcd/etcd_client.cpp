#include "common/etcd/etcd_client.h"

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/status/status.h"
#include "etcd/rpc.grpc.pb.h"

namespace mg::etcd {
namespace {

namespace pb = etcdserverpb;

constexpr int kMaxMessage = 64 << 20;
constexpr absl::Duration kReconnectPause = absl::Milliseconds(50);

/// One byte more than the prefix: every key that begins with it is below.
std::string PrefixEnd(std::string prefix) {
  while (!prefix.empty()) {
    auto last = static_cast<unsigned char>(prefix.back());
    if (last < 0xff) {
      prefix.back() = static_cast<char>(last + 1);
      return prefix;
    }
    prefix.pop_back();
  }
  return std::string(1, '\0');
}

absl::Status FromGrpc(const grpc::Status& status, const std::string& what) {
  if (status.ok()) {
    return absl::OkStatus();
  }
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                      absl::StrCat("etcd: ", what, ": ", status.error_message()));
}

KeyValue Convert(const mvccpb::KeyValue& kv) {
  return {.key = kv.key(), .value = kv.value(), .mod_revision = kv.mod_revision()};
}

void Prepare(grpc::ClientContext* context, absl::Time deadline) {
  context->set_deadline(absl::ToChronoTime(std::min(deadline, absl::Now() + absl::Hours(1))));
  // An etcd that comes up within the deadline answers; a refused connection is not final.
  context->set_wait_for_ready(true);
}

class WatchImpl final : public Client::Watch {
 public:
  WatchImpl(std::shared_ptr<grpc::Channel> channel, std::string prefix,
            std::function<void(const RangeResult&)> snapshot, std::function<void(const WatchEvent&)> event,
            std::function<void(const absl::Status&)> lost)
      : kv_(pb::KV::NewStub(channel)),
        watch_(pb::Watch::NewStub(channel)),
        prefix_(std::move(prefix)),
        snapshot_(std::move(snapshot)),
        event_(std::move(event)),
        lost_(std::move(lost)),
        thread_([this] { Run(); }) {}

  ~WatchImpl() override {
    {
      std::lock_guard lock(mutex_);
      stopped_ = true;
      if (context_ != nullptr) {
        context_->TryCancel();
      }
      changed_.notify_all();
    }
    thread_.join();
  }

 private:
  /// Makes `context` the one that the destructor cancels; false: it is too late.
  bool Enter(grpc::ClientContext* context) {
    std::lock_guard lock(mutex_);
    context_ = stopped_ ? nullptr : context;
    return !stopped_;
  }

  void Leave() {
    std::lock_guard lock(mutex_);
    context_ = nullptr;
  }

  void Run() {
    for (;;) {
      absl::Status status = Session();
      std::unique_lock lock(mutex_);
      if (stopped_) {
        return;
      }
      lock.unlock();
      if (lost_ && !status.ok()) {
        lost_(status);
      }
      lock.lock();
      changed_.wait_for(lock, absl::ToChronoMilliseconds(kReconnectPause), [this] { return stopped_; });
    }
  }

  /// From a read of the whole prefix until the stream breaks.
  absl::Status Session() {
    grpc::ClientContext read_context;
    read_context.set_wait_for_ready(true);
    if (!Enter(&read_context)) {
      return absl::CancelledError("stopped");
    }
    pb::RangeRequest range;
    range.set_key(prefix_);
    range.set_range_end(PrefixEnd(prefix_));
    range.set_sort_order(pb::RangeRequest::ASCEND);
    pb::RangeResponse answer;
    grpc::Status read = kv_->Range(&read_context, range, &answer);
    Leave();
    if (!read.ok()) {
      return FromGrpc(read, absl::StrCat("read ", prefix_));
    }
    RangeResult result;
    result.revision = answer.header().revision();
    for (const auto& kv : answer.kvs()) {
      result.entries.push_back(Convert(kv));
    }
    snapshot_(result);

    grpc::ClientContext context;
    if (!Enter(&context)) {
      return absl::CancelledError("stopped");
    }
    std::unique_ptr<grpc::ClientReaderWriter<pb::WatchRequest, pb::WatchResponse>> stream = watch_->Watch(&context);
    pb::WatchRequest request;
    request.mutable_create_request()->set_key(prefix_);
    request.mutable_create_request()->set_range_end(PrefixEnd(prefix_));
    request.mutable_create_request()->set_start_revision(result.revision + 1);
    bool broken = !stream->Write(request);
    pb::WatchResponse response;
    while (!broken && stream->Read(&response)) {
      // Cancelled by the server: history was compacted, or it shuts down. The whole state is read again.
      if (response.canceled()) {
        break;
      }
      for (const auto& event : response.events()) {
        event_({.deleted = event.type() == mvccpb::Event::DELETE, .entry = Convert(event.kv())});
      }
    }
    context.TryCancel();
    Leave();
    return FromGrpc(stream->Finish(), absl::StrCat("watch ", prefix_));
  }

  std::unique_ptr<pb::KV::Stub> kv_;
  std::unique_ptr<pb::Watch::Stub> watch_;
  const std::string prefix_;
  const std::function<void(const RangeResult&)> snapshot_;
  const std::function<void(const WatchEvent&)> event_;
  const std::function<void(const absl::Status&)> lost_;
  std::mutex mutex_;
  std::condition_variable changed_;
  grpc::ClientContext* context_ = nullptr;
  bool stopped_ = false;
  std::thread thread_;
};

class ClientImpl final : public Client {
 public:
  ClientImpl(const std::vector<std::string>& endpoints, std::shared_ptr<grpc::ChannelCredentials> credentials) {
    std::string target = endpoints.size() == 1 ? endpoints[0] : "";
    if (endpoints.size() > 1) {
      for (const std::string& endpoint : endpoints) {
        absl::StrAppend(&target, target.empty() ? "ipv4:" : ",", endpoint);
      }
    }
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(kMaxMessage);
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 20);
    arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 20);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 200);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    // A machine that is gone closes no connection, and a watch only listens. etcd bears a ping each 5 s.
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 6000);
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 2000);
    arguments.SetLoadBalancingPolicyName("round_robin");
    channel_ = grpc::CreateCustomChannel(
        target, credentials != nullptr ? std::move(credentials) : grpc::InsecureChannelCredentials(), arguments);
    kv_ = pb::KV::NewStub(channel_);
  }

  absl::StatusOr<KeyValue> Get(const std::string& key, absl::Time deadline) override {
    grpc::ClientContext context;
    Prepare(&context, deadline);
    pb::RangeRequest request;
    request.set_key(key);
    pb::RangeResponse response;
    MG_RETURN_IF_ERROR(FromGrpc(kv_->Range(&context, request, &response), absl::StrCat("read ", key)));
    if (response.kvs().empty()) {
      return absl::NotFoundError(absl::StrCat("node doesn't exist: ", key));
    }
    return Convert(response.kvs(0));
  }

  absl::StatusOr<RangeResult> GetPrefix(const std::string& prefix, bool keys_only, absl::Time deadline) override {
    grpc::ClientContext context;
    Prepare(&context, deadline);
    pb::RangeRequest request;
    request.set_key(prefix);
    request.set_range_end(PrefixEnd(prefix));
    request.set_keys_only(keys_only);
    request.set_sort_order(pb::RangeRequest::ASCEND);
    pb::RangeResponse response;
    MG_RETURN_IF_ERROR(FromGrpc(kv_->Range(&context, request, &response), absl::StrCat("list ", prefix)));
    RangeResult result;
    result.revision = response.header().revision();
    result.cluster_id = response.header().cluster_id();
    for (const auto& kv : response.kvs()) {
      result.entries.push_back(Convert(kv));
    }
    return result;
  }

  absl::StatusOr<std::int64_t> Create(const std::string& key, const std::string& value, absl::Time deadline) override {
    pb::TxnRequest request;
    pb::Compare& compare = *request.add_compare();
    compare.set_key(key);
    compare.set_target(pb::Compare::CREATE);
    compare.set_result(pb::Compare::EQUAL);
    compare.set_create_revision(0);
    SetPut(&request, key, value);
    return Transact(request, key, absl::AlreadyExistsError(absl::StrCat("node already exists: ", key)), deadline);
  }

  absl::StatusOr<std::int64_t> Put(const std::string& key, const std::string& value, absl::Time deadline) override {
    grpc::ClientContext context;
    Prepare(&context, deadline);
    pb::PutRequest request;
    request.set_key(key);
    request.set_value(value);
    pb::PutResponse response;
    MG_RETURN_IF_ERROR(FromGrpc(kv_->Put(&context, request, &response), absl::StrCat("write ", key)));
    return response.header().revision();
  }

  absl::StatusOr<std::int64_t> PutIf(const std::string& key, const std::string& value, std::int64_t mod_revision,
                                     absl::Time deadline) override {
    pb::TxnRequest request;
    CompareRevision(&request, key, mod_revision);
    SetPut(&request, key, value);
    return Transact(request, key, absl::AbortedError(absl::StrCat("bad node version: ", key)), deadline);
  }

  absl::Status Delete(const std::string& key, absl::Time deadline) override {
    grpc::ClientContext context;
    Prepare(&context, deadline);
    pb::DeleteRangeRequest request;
    request.set_key(key);
    pb::DeleteRangeResponse response;
    MG_RETURN_IF_ERROR(FromGrpc(kv_->DeleteRange(&context, request, &response), absl::StrCat("delete ", key)));
    return response.deleted() == 0 ? absl::NotFoundError(absl::StrCat("node doesn't exist: ", key)) : absl::OkStatus();
  }

  absl::Status DeleteIf(const std::string& key, std::int64_t mod_revision, absl::Time deadline) override {
    pb::TxnRequest request;
    CompareRevision(&request, key, mod_revision);
    request.add_success()->mutable_request_delete_range()->set_key(key);
    absl::Status status =
        Transact(request, key, absl::AbortedError(absl::StrCat("bad node version: ", key)), deadline).status();
    if (absl::IsAborted(status) && absl::IsNotFound(Get(key, deadline).status())) {
      return absl::NotFoundError(absl::StrCat("node doesn't exist: ", key));
    }
    return status;
  }

  absl::StatusOr<std::int64_t> Commit(const Transaction& transaction, absl::Time deadline) override {
    pb::TxnRequest request;
    for (const Transaction::Condition& condition : transaction.conditions) {
      CompareRevision(&request, condition.key, condition.mod_revision);
      if (condition.prefix_unchanged_since) {
        pb::Compare& compare = *request.mutable_compare(request.compare_size() - 1);
        compare.set_range_end(PrefixEnd(condition.key));
        compare.set_result(pb::Compare::LESS);
        compare.set_mod_revision(condition.mod_revision + 1);
      }
    }
    for (const auto& [key, value] : transaction.puts) {
      SetPut(&request, key, value);
    }
    for (const std::string& key : transaction.deletes) {
      request.add_success()->mutable_request_delete_range()->set_key(key);
    }
    return Transact(request, "several keys", absl::AbortedError("one of several keys has changed"), deadline);
  }

  std::unique_ptr<Watch> WatchPrefix(const std::string& prefix, std::function<void(const RangeResult&)> snapshot,
                                     std::function<void(const WatchEvent&)> event,
                                     std::function<void(const absl::Status&)> lost) override {
    return std::make_unique<WatchImpl>(channel_, prefix, std::move(snapshot), std::move(event), std::move(lost));
  }

 private:
  static void CompareRevision(pb::TxnRequest* request, const std::string& key, std::int64_t mod_revision) {
    pb::Compare& compare = *request->add_compare();
    compare.set_key(key);
    compare.set_target(pb::Compare::MOD);
    compare.set_result(pb::Compare::EQUAL);
    compare.set_mod_revision(mod_revision);
  }

  static void SetPut(pb::TxnRequest* request, const std::string& key, const std::string& value) {
    pb::PutRequest& put = *request->add_success()->mutable_request_put();
    put.set_key(key);
    put.set_value(value);
  }

  absl::StatusOr<std::int64_t> Transact(const pb::TxnRequest& request, const std::string& key,
                                        const absl::Status& refused, absl::Time deadline) {
    grpc::ClientContext context;
    Prepare(&context, deadline);
    pb::TxnResponse response;
    MG_RETURN_IF_ERROR(FromGrpc(kv_->Txn(&context, request, &response), absl::StrCat("write ", key)));
    if (!response.succeeded()) {
      return refused;
    }
    return response.header().revision();
  }

  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<pb::KV::Stub> kv_;
};

}  // namespace

std::unique_ptr<Client> Client::Create(const std::vector<std::string>& endpoints,
                                       std::shared_ptr<grpc::ChannelCredentials> credentials) {
  return std::make_unique<ClientImpl>(endpoints, std::move(credentials));
}

}  // namespace mg::etcd
