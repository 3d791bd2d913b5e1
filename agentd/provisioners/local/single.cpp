#include "agentd/provisioners/local/single.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "agentd/provisioners/local/watchman.h"
#include "agentd/store/component_name.h"
#include "common/net/tcp_port.h"
#include "common/process/process_id.h"
#include "common/shim_protocol/shim.h"
#include "common/status/status.h"

namespace mg::local {

absl::Status CheckExists(const Model& model) {
  return model.store != nullptr ? absl::OkStatus()
                                : MakeError(absl::StatusCode::kFailedPrecondition,
                                            absl::StrCat("cluster ", model.place.name, " was never brought up"),
                                            {.reason = "CLUSTER_STOPPED", .hint = "run 'multigres up'"});
}

namespace {

/// A process this young may not have its port yet, or never get it.
constexpr double kBindingSeconds = 5;

/// What listens at the port is this user's.
bool ListensForUs(int port) {
  std::optional<net::PortHolder> holder = net::HolderOf(port);
  struct stat process = {};
  return !holder || (holder->pid != 0 && ::stat(absl::StrCat("/proc/", holder->pid).c_str(), &process) == 0 &&
                     process.st_uid == ::geteuid());
}

}  // namespace

absl::Status CheckAdminRuns(const Model& model) {
  MG_RETURN_IF_ERROR(CheckExists(model));
  auto unavailable = [](const std::string& message) {
    return MakeError(absl::StatusCode::kUnavailable, message,
                     {.reason = "ADMIN_API_UNAVAILABLE",
                      .hint = "see multigres status; multigres up starts what is missing",
                      .subject = store::kMultiadmin});
  };
  const shim::ShimState state = shim::ReadShimState(WatchedOf(model, store::kMultiadmin).run_dir);
  if (state.child_alive && state.child) {
    const int port = PortOf(*model.Find(store::kMultiadmin), "grpc");
    return UptimeSeconds(*state.child) > kBindingSeconds || ListensForUs(port)
               ? absl::OkStatus()
               : unavailable(absl::StrCat("the Admin API's port ", port, " is taken by ",
                                          net::DescribeHolder(net::HolderOf(port))));
  }
  const bool all_stopped =
      model.record.under_way().empty() && RunningComponents(model.input.paths, model.record).empty();
  if (model.record.wanted() && !all_stopped) {
    return unavailable(absl::StrCat("multiadmin of cluster ", model.place.name, " does not run"));
  }
  return MakeError(absl::StatusCode::kFailedPrecondition, absl::StrCat("cluster ", model.place.name, " is stopped"),
                   {.reason = "CLUSTER_STOPPED", .hint = "run 'multigres up'"});
}

void KeepPostgresDown(const Model& model, const v1::ComponentSpec& postgres, ComponentRpc* rpc, absl::Time deadline) {
  const v1::ComponentSpec* pooler = model.Find(SiblingOf(postgres, store::kMultipooler));
  const v1::ComponentSpec* pgctld = model.Find(SiblingOf(postgres, store::kPgctld));
  absl::Time bound = std::min(deadline, absl::Now() + absl::Seconds(20));
  (void)rpc->SetPostgresRestarts(PortOf(*pooler, "grpc"), false, bound);
  (void)rpc->StopPostgres(PortOf(*pgctld, "grpc"), "fast", bound);
}

absl::Status LetPostgresRun(const Model& model, const v1::ComponentSpec& postgres, ComponentRpc* rpc,
                            absl::Time deadline) {
  const v1::ComponentSpec* pooler = model.Find(SiblingOf(postgres, store::kMultipooler));
  const v1::ComponentSpec* pgctld = model.Find(SiblingOf(postgres, store::kPgctld));
  (void)rpc->SetPostgresRestarts(PortOf(*pooler, "grpc"), true, deadline);
  return WithContext(rpc->StartPostgres(PortOf(*pgctld, "grpc"), deadline),
                     absl::StrCat("start ", postgres.name(), " through its pgctld"));
}

}  // namespace mg::local
