#include "components/multiadmin/watch_service.h"

#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/impl/codegen/server_callback_handlers.h>
#include <grpcpp/impl/rpc_service_method.h>
#include <grpcpp/support/server_callback.h>

#include <algorithm>
#include <atomic>
#include <functional>

#include "absl/strings/str_join.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"

namespace mg::multiadmin {
namespace {

namespace v1 = multigres::admin::v1;

constexpr char kWatch[] = "/multigres.admin.v1.TopologyService/WatchTopology";
constexpr int kMaxWatchers = 200;

/// Adds what came, changed and went of one cell's records.
template <typename Record, typename Put>
void Compare(const Records<Record>* before, const Records<Record>& after, v1::WatchTopologyResponse* out, Put put) {
  auto find = [](const Records<Record>& records, const Record& wanted) -> const Record* {
    auto it = std::find_if(records.begin(), records.end(),
                           [&](const auto& record) { return record->id().name() == wanted.id().name(); });
    return it == records.end() ? nullptr : it->get();
  };
  for (const auto& record : after) {
    if (before == nullptr || find(*before, *record) != record.get()) {
      *put(out->add_changes()) = *record;
    }
  }
  for (const auto& record : before == nullptr ? Records<Record>() : *before) {
    if (find(after, *record) == nullptr) {
      *out->add_changes()->mutable_deleted_component() = record->id();
    }
  }
}

class Watcher : public grpc::ServerWriteReactor<v1::WatchTopologyResponse> {
 public:
  Watcher(TopologyCache* cache, v1::WatchTopologyRequest request, std::function<absl::Status()> admitted,
          std::atomic<int>* watchers)
      : cache_(cache), request_(std::move(request)), admitted_(std::move(admitted)), watchers_(watchers) {}

  /// Keeps itself alive until OnDone.
  void Start(std::shared_ptr<Watcher> self) {
    self_ = std::move(self);
    subscription_ = cache_->Subscribe([this] { Next(); });
    Next();
  }

  void Next() {
    std::lock_guard lock(mutex_);
    if (writing_ || ended_) {
      return;  // once it is written, this is done again
    }
    std::shared_ptr<const TopologyView> view = cache_->Peek();
    if (view == nullptr || view == told_) {
      return;
    }
    // A token that was revoked, or has expired, since the stream began shows nothing any more.
    if (absl::Status admitted = admitted_(); !admitted.ok() && !absl::IsUnavailable(admitted)) {
      // (Whether there were too many other failures from its address is of no interest here.)
      return End(rpc::ToGrpc(absl::IsResourceExhausted(admitted)
                                 ? MakeError(absl::StatusCode::kUnauthenticated, "the token is not known here any more",
                                             {.reason = "TOKEN_UNKNOWN"})
                                 : admitted));
    }
    message_ = Difference(told_.get(), *view, request_);
    bool first = told_ == nullptr;
    told_ = std::move(view);
    std::string unreachable = absl::StrJoin(message_.unreachable_cells(), ",");
    if (first || message_.changes_size() > 0 || unreachable_ != unreachable) {
      unreachable_ = std::move(unreachable);
      writing_ = true;
      StartWrite(&message_);
    }
  }

  void OnWriteDone(bool ok) override {
    {
      std::lock_guard lock(mutex_);
      writing_ = false;
      if (!ok) {
        return End(grpc::Status::CANCELLED);
      }
    }
    Next();
  }

  void OnCancel() override {
    std::lock_guard lock(mutex_);
    End(grpc::Status::CANCELLED);
  }

  void OnDone() override {
    // Waits for a callback of the cache that is under way; none comes after it.
    subscription_.reset();
    --*watchers_;
    std::shared_ptr<Watcher> self = std::move(self_);
  }

 private:
  void End(const grpc::Status& status) {
    if (!ended_) {
      ended_ = true;
      Finish(status);
    }
  }

  TopologyCache* const cache_;
  const v1::WatchTopologyRequest request_;
  const std::function<absl::Status()> admitted_;
  std::atomic<int>* const watchers_;
  std::shared_ptr<Watcher> self_;
  std::unique_ptr<TopologyCache::Subscription> subscription_;
  std::mutex mutex_;
  std::shared_ptr<const TopologyView> told_;
  v1::WatchTopologyResponse message_;
  std::string unreachable_;
  bool writing_ = false, ended_ = false;
};

class Refusal : public grpc::ServerWriteReactor<v1::WatchTopologyResponse> {
 public:
  explicit Refusal(const absl::Status& status) { Finish(rpc::ToGrpc(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

v1::WatchTopologyResponse Difference(const TopologyView* before, const TopologyView& after,
                                     const v1::WatchTopologyRequest& request) {
  v1::WatchTopologyResponse out;
  out.set_snapshot(before == nullptr);
  out.set_revision(after.revision);
  auto wanted = [&](const std::string& cell) {
    return request.cells().empty() ||
           std::find(request.cells().begin(), request.cells().end(), cell) != request.cells().end();
  };
  static const auto* const kNone = new CellView();
  for (const auto& [name, cell] : after.cells) {
    auto old = before == nullptr ? after.cells.end() : before->cells.find(name);
    const CellView* was = before == nullptr || old == before->cells.end() ? nullptr : &old->second;
    if (was == nullptr || was->cell != cell.cell) {
      v1::Cell& put = *out.add_changes()->mutable_cell();
      *put.mutable_cell() = *cell.cell;
      put.set_version(cell.version);
    }
    if (!cell.readable.ok()) {
      out.add_unreachable_cells(name);
    }
    if (!wanted(name)) {
      continue;
    }
    was = was == nullptr ? kNone : was;
    Compare(&was->poolers, cell.poolers, &out, [](v1::TopologyChange* c) { return c->mutable_pooler(); });
    Compare(&was->gateways, cell.gateways, &out, [](v1::TopologyChange* c) { return c->mutable_gateway(); });
    Compare(&was->orchs, cell.orchs, &out, [](v1::TopologyChange* c) { return c->mutable_orch(); });
  }
  for (const auto& [name, database] : after.databases) {
    auto old = before == nullptr ? after.databases.end() : before->databases.find(name);
    if (before == nullptr || old == before->databases.end() || old->second.database != database.database) {
      *out.add_changes()->mutable_database() = *database.database;
    }
  }
  if (before != nullptr) {
    for (const auto& [name, cell] : before->cells) {
      if (!after.cells.contains(name)) {
        out.add_changes()->set_deleted_cell(name);
      }
    }
    for (const auto& [name, database] : before->databases) {
      if (!after.databases.contains(name)) {
        out.add_changes()->set_deleted_database(name);
      }
    }
  }
  return out;
}

TopologyGrpcService::TopologyGrpcService(const Methods* methods, TopologyCache* cache)
    : GrpcService("multigres.admin.v1.TopologyService", methods) {
  auto watchers = std::make_shared<std::atomic<int>>(0);
  AddMethod(new grpc::internal::RpcServiceMethod(kWatch, grpc::internal::RpcMethod::SERVER_STREAMING, nullptr));
  using Handler = grpc::internal::CallbackServerStreamingHandler<v1::WatchTopologyRequest, v1::WatchTopologyResponse>;
  MarkMethodCallback(
      unary_count(),
      new Handler([methods, cache, watchers](
                      grpc::CallbackServerContext* context,
                      const v1::WatchTopologyRequest* request) -> grpc::ServerWriteReactor<v1::WatchTopologyResponse>* {
        auto admitted = [gate = methods->gate(), credentials = CredentialsOf(*context), wanted = *request] {
          return gate->Admit(*FindRule(kWatch), credentials, [&] { return RequestText(wanted); }).status();
        };
        if (absl::Status status = admitted(); !status.ok()) {
          return new Refusal(status);
        }
        if (watchers->fetch_add(1) >= kMaxWatchers) {
          watchers->fetch_sub(1);
          return new Refusal(absl::ResourceExhaustedError("too many follow the topology"));
        }
        auto watcher = std::make_shared<Watcher>(cache, *request, admitted, watchers.get());
        Watcher* reactor = watcher.get();
        watcher->Start(std::move(watcher));
        return reactor;
      }));
}

}  // namespace mg::multiadmin
