#include "agentd/provisioners/local/single.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "agentd/provisioners/local/watchman.h"
#include "agentd/store/component_name.h"
#include "common/shim_protocol/shim.h"
#include "common/status/status.h"

namespace mg::local {

absl::Status CheckExists(const Model& model) {
  return model.store != nullptr ? absl::OkStatus()
                                : MakeError(absl::StatusCode::kFailedPrecondition,
                                            absl::StrCat("cluster ", model.place.name, " was never brought up"),
                                            {.reason = "CLUSTER_STOPPED", .hint = "run 'multigres up'"});
}

absl::Status CheckNotStopped(const Model& model) {
  MG_RETURN_IF_ERROR(CheckExists(model));
  if (model.record.wanted() || shim::ReadShimState(WatchedOf(model, store::kMultiadmin).run_dir).child_alive) {
    return absl::OkStatus();
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
