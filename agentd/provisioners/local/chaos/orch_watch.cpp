#include "agentd/provisioners/local/chaos/orch_watch.h"

#include <grpcpp/grpcpp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc/rpc.h"
#include "multiorchservice.grpc.pb.h"

namespace mg::local {
namespace {

constexpr char kTableGroup[] = "default";
constexpr char kShard[] = "0-inf";
constexpr absl::Duration kOneAnswer = absl::Seconds(1);
constexpr int kPauseMilliseconds = 20;

}  // namespace

OrchWatch::OrchWatch(const multigres::state::v1::FaultRecord& record)
    : database_(record.database()), ending_(::eventfd(0, EFD_CLOEXEC)) {
  for (const auto& orch : record.orchs()) {
    threads_.emplace_back([this, name = orch.component(), port = orch.port()] { Run(name, port); });
  }
}

OrchWatch::~OrchWatch() {
  ::eventfd_write(ending_, 1);
  for (std::thread& thread : threads_) {
    thread.join();
  }
  ::close(ending_);
}

void OrchWatch::Run(const std::string& name, int port) {
  std::unique_ptr<multiorch::MultiorchService::Stub> stub =
      multiorch::MultiorchService::NewStub(rpc::DialPlain(absl::StrCat("127.0.0.1:", port)));
  pollfd ending = {.fd = ending_, .events = POLLIN};
  while (::poll(&ending, 1, kPauseMilliseconds) == 0) {
    multiorch::ShardStatusRequest request;
    request.mutable_shard_key()->set_database(database_);
    request.mutable_shard_key()->set_table_group(kTableGroup);
    request.mutable_shard_key()->set_shard(kShard);
    multiorch::ShardStatusResponse response;
    grpc::ClientContext context;
    rpc::SetDeadline(&context, absl::Now() + kOneAnswer);
    if (!stub->GetShardStatus(&context, request, &response).ok()) {
      continue;  // it is away, perhaps by this very fault: the others are asked too
    }
    absl::Time now = absl::Now();
    std::lock_guard lock(mutex_);
    for (const multiorch::DetectedProblem& problem : response.problems()) {
      const std::string key = absl::StrCat(problem.code(), "/", problem.pooler_id().cell());
      if (!marked_) {
        known_.insert(key);
      } else if (!known_.contains(key) && !first_) {
        first_ = Detection{.when = now, .by = name, .what = absl::StrCat(problem.code(), ": ", problem.description())};
      }
    }
  }
}

void OrchWatch::Mark() {
  std::lock_guard lock(mutex_);
  marked_ = true;
}

std::optional<OrchWatch::Detection> OrchWatch::first() const {
  std::lock_guard lock(mutex_);
  return first_;
}

}  // namespace mg::local
