#include "agentd/provisioners/local/apply.h"

#include <signal.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "agentd/provisioners/local/changes.h"
#include "agentd/provisioners/local/components.h"
#include "agentd/provisioners/local/records.h"
#include "agentd/provisioners/local/replication.h"
#include "agentd/store/component_name.h"
#include "common/process/process_id.h"
#include "common/rpc/proto_time.h"
#include "common/status/status.h"

namespace mg::local {

namespace {

constexpr absl::Duration kStopBound = absl::Seconds(20);
constexpr absl::Duration kAskBound = absl::Seconds(2);

void Tell(const v1::ComponentSpec& spec, v1::StepState state, const std::string& detail, absl::Time began,
          provisioners::OperationContext& context) {
  v1::StepProgress step;
  step.set_id(spec.name());
  step.set_group(spec.cell());
  step.set_state(state);
  step.set_detail(detail);
  rpc::SetDuration(absl::Now() - began, step.mutable_elapsed());
  context.step(step);
}

int PortOfNeighbour(const Model& model, const std::string& kind, const v1::ComponentSpec& of) {
  const v1::ComponentSpec* spec = model.Find(SiblingOf(of, kind));
  return spec == nullptr ? 0 : PortOf(*spec, "grpc");
}

absl::Status RestartPostgres(const Model& model, const v1::ComponentSpec& spec, Components* components,
                             ComponentRpc* rpc, provisioners::OperationContext& context) {
  absl::Time bound = std::min(context.deadline, absl::Now() + kStopBound);
  int pooler = PortOfNeighbour(model, store::kMultipooler, spec);
  int pgctld = PortOfNeighbour(model, store::kPgctld, spec);
  // The pooler is not told: it would take a stop for a failure otherwise, and it may start it first.
  MG_RETURN_IF_ERROR(rpc->SetPostgresRestarts(pooler, false, bound));
  absl::Status stopped = rpc->StopPostgres(pgctld, "fast", bound);
  absl::Status allowed = rpc->SetPostgresRestarts(pooler, true, bound);
  MG_RETURN_IF_ERROR(WithContext(stopped, absl::StrCat("stop ", spec.name())));
  MG_RETURN_IF_ERROR(allowed);
  (void)rpc->StartPostgres(pgctld, bound);  // its pooler may be quicker; whether it runs is asked next
  Halt never;
  return components->EnsurePostgres(spec, context.deadline, never).status();
}

/// Everything of a cell; whoever would act upon the end of the others goes first.
std::vector<const v1::ComponentSpec*> InOrder(const Model& model, const std::string& cell) {
  std::vector<const v1::ComponentSpec*> specs;
  for (v1::ComponentKind kind :
       {v1::COMPONENT_KIND_MULTIGATEWAY, v1::COMPONENT_KIND_MULTIORCH, v1::COMPONENT_KIND_MULTIPOOLER,
        v1::COMPONENT_KIND_POSTGRES, v1::COMPONENT_KIND_PGCTLD}) {
    for (const v1::ComponentSpec& spec : model.specs) {
      if (spec.kind() == kind && spec.cell() == cell) {
        specs.push_back(&spec);
      }
    }
  }
  return specs;
}

}  // namespace

absl::Status RemoveCells(const Model& before, const std::vector<std::string>& cells, supervisor::Supervisor* supervisor,
                         Watchman* watchman, ComponentRpc* rpc, provisioners::OperationContext& context) {
  for (const std::string& cell : cells) {
    for (const v1::ComponentSpec* spec : InOrder(before, cell)) {
      absl::Time began = absl::Now();
      supervisor::Watched who = WatchedOf(before, spec->name());
      supervisor->ExpectEnd(who.run_dir);
      Tell(*spec, v1::STEP_STATE_RUNNING, "", began, context);
      if (spec->observed_only()) {
        (void)rpc->StopPostgres(PortOfNeighbour(before, store::kPgctld, *spec), "fast",
                                std::min(context.deadline, absl::Now() + kStopBound));
      }
      MG_RETURN_IF_ERROR(WithContext(supervisor->Stop(who, LadderOf(*spec)), absl::StrCat("stop ", spec->name())));
      watchman->ForgetComponent(who.run_dir);
      Tell(*spec, v1::STEP_STATE_DONE, "removed", began, context);
    }
    MG_RETURN_IF_ERROR(WithContext(RemoveCellRecords(before, cell, context.deadline),
                                   absl::StrCat("remove the records of cell ", cell)));
  }
  return absl::OkStatus();
}

absl::Status ApplyPostgresSettings(const Model& model, const std::vector<v1::ComponentChange>& changes,
                                   supervisor::Supervisor* supervisor, Watchman* watchman, ComponentRpc* rpc,
                                   provisioners::OperationContext& context,
                                   const std::function<absl::Status()>& settle) {
  std::vector<const v1::ComponentSpec*> restarts;
  for (const v1::ComponentChange& change : changes) {
    const v1::ComponentSpec* spec = model.Find(change.component());
    if (spec == nullptr || !spec->observed_only()) {
      continue;
    }
    if (change.action() == "restart") {
      restarts.push_back(spec);
    } else if (change.action() == "reload") {
      shim::ShimState state = shim::ReadShimState(WatchedOf(model, spec->name()).run_dir);
      absl::Time began = absl::Now();
      if (state.child_alive && state.child) {
        MG_RETURN_IF_ERROR(
            WithContext(SignalProcess(*state.child, SIGHUP), absl::StrCat("reload the settings of ", spec->name())));
      }
      Tell(*spec, v1::STEP_STATE_DONE, "settings read again", began, context);
    }
  }
  if (restarts.empty()) {
    return absl::OkStatus();
  }
  std::set<std::string> leaders = LeadersOf(model, rpc, std::min(context.deadline, absl::Now() + kAskBound));
  std::stable_partition(restarts.begin(), restarts.end(),
                        [&](const v1::ComponentSpec* spec) { return leaders.count(spec->name()) == 0; });
  Components components(model, supervisor, watchman, rpc);
  for (const v1::ComponentSpec* spec : restarts) {
    if (context.cancel->cancelled()) {
      return absl::CancelledError("called off");
    }
    absl::Time began = absl::Now();
    Tell(*spec, v1::STEP_STATE_RUNNING, "", began, context);
    MG_RETURN_IF_ERROR(RestartPostgres(model, *spec, &components, rpc, context));
    Tell(*spec, v1::STEP_STATE_DONE, "restarted", began, context);
    MG_RETURN_IF_ERROR(settle());
  }
  return absl::OkStatus();
}

}  // namespace mg::local
