#include "agentd/provisioners/local/bring_up.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "agentd/provisioners/local/layout.h"
#include "agentd/provisioners/local/probes.h"
#include "agentd/provisioners/local/records.h"
#include "agentd/provisioners/local/replication.h"
#include "agentd/store/component_name.h"
#include "common/fs/fs.h"
#include "common/status/status.h"

namespace mg::local {

namespace {

constexpr absl::Duration kComponentLimit = absl::Seconds(30);
constexpr absl::Duration kPause = absl::Milliseconds(15);
constexpr absl::Duration kOneTry = absl::Seconds(2);
/// A start that takes longer goes on without us.
constexpr absl::Duration kStartBound = absl::Seconds(5);
/// Roles come with the leader; a login that is refused for longer is refused for good.
constexpr absl::Duration kPatienceWithLogin = absl::Seconds(3);
/// Marks of work that a pooler has begun and that it alone may finish (contract, components section 10).
constexpr char kBootstrapMark[] = ".multigres-bootstrap-in-progress";
constexpr char kRewindMark[] = ".multigres-rewind-in-progress";

class BringUpRun {
 public:
  BringUpRun(const Model& model, supervisor::Supervisor* supervisor, Watchman* watchman, ComponentRpc* rpc,
             unsigned uid, provisioners::OperationContext& context, std::set<std::string> running)
      : model_(model),
        components_(model, supervisor, watchman, rpc),
        rpc_(rpc),
        uid_(uid),
        deadline_(context.deadline),
        running_(std::move(running)) {}

  absl::StatusOr<StepOutcome> Do(const PlannedStep& step, const Halt& halt) {
    switch (step.kind) {
      case PlannedStep::Kind::kPreflight:
        return StepOutcome{.skipped = true};
      case PlannedStep::Kind::kFiles:
        MG_RETURN_IF_ERROR(PrepareFiles(model_, uid_));
        return StepOutcome{.skipped = true};
      case PlannedStep::Kind::kTopology:
        return WriteRecords(model_, std::min(deadline_, absl::Now() + kComponentLimit));
      case PlannedStep::Kind::kComponent:
        return Component(*step.spec, halt);
      case PlannedStep::Kind::kPostgres:
        return Postgres(*step.spec, halt);
      case PlannedStep::Kind::kReplication:
        return Replication(step.database, halt);
      case PlannedStep::Kind::kServe:
        return Serve(*step.spec, step.database, halt);
      case PlannedStep::Kind::kSync:
        return Sync();
    }
    return absl::InternalError("unknown step");
  }

 private:
  absl::StatusOr<StepOutcome> Component(const v1::ComponentSpec& spec, const Halt& halt) {
    absl::Time limit = std::min(deadline_, absl::Now() + kComponentLimit);
    return components_.Ensure(spec, limit, halt);
  }

  absl::StatusOr<StepOutcome> Postgres(const v1::ComponentSpec& spec, const Halt& halt) {
    StartExistingData(spec);
    absl::StatusOr<StepOutcome> outcome = components_.EnsurePostgres(spec, deadline_, halt);
    if (outcome.ok()) {
      outcome->skipped &= running_.count(spec.name()) != 0;
    }
    return outcome;
  }

  /// Data that only has to be served again needs no pooler to say so: PostgreSQL starts (as a standby, always) while
  /// etcd and the pooler do. What goes wrong here the pooler finds again, and says.
  void StartExistingData(const v1::ComponentSpec& postgres) {
    if (running_.count(postgres.name()) != 0) {
      return;
    }
    absl::Time bound = std::min(deadline_, absl::Now() + kStartBound);
    std::string pooler = SiblingOf(postgres, store::kMultipooler);
    if (running_.count(pooler) != 0) {
      // The pooler decides how it starts; it may have been told to leave it stopped.
      (void)rpc_->SetPostgresRestarts(PortOf(*model_.Find(pooler), "grpc"), true, bound);
      return;
    }
    std::string dir = PoolerDirOf(model_.input, {.cell = postgres.cell(), .database = postgres.database()});
    if (Exists(JoinPath(store::PostgresData(dir), "PG_VERSION")) && !Exists(JoinPath(dir, kBootstrapMark)) &&
        !Exists(JoinPath(dir, kRewindMark))) {
      (void)rpc_->StartPostgres(PortOf(*model_.Find(SiblingOf(postgres, store::kPgctld)), "grpc"), bound);
    }
  }

  absl::StatusOr<StepOutcome> Replication(const std::string& database, const Halt& halt) {
    for (bool first = true;; first = false) {
      absl::Time now = absl::Now();
      ReplicationState state = AskReplication(model_, rpc_, std::min(deadline_, now + kOneTry), database);
      if (state.problem.empty()) {
        bool ran = running_.count(store::ComponentName{store::kPostgres, state.leader_cell, database}.ToString()) != 0;
        return StepOutcome{.skipped = first && ran, .detail = state.summary};
      }
      if (now >= deadline_) {
        return components_.Blame(state.component, absl::StatusCode::kDeadlineExceeded, state.problem);
      }
      MG_RETURN_IF_ERROR(components_.CheckAlive());
      if (halt.WaitUntil(std::min(deadline_, now + kPause))) {
        return absl::CancelledError("called off");
      }
    }
  }

  absl::StatusOr<StepOutcome> Serve(const v1::ComponentSpec& gateway, const std::string& database, const Halt& halt) {
    Login login{.port = PortOf(gateway, "postgres"),
                .user = model_.input.config.postgres_user,
                .password = model_.input.config.postgres_password,
                .database = DatabaseOf(model_.input, {.cell = "", .database = database})};
    absl::Time refused_since = absl::InfiniteFuture();
    for (bool first = true;; first = false) {
      absl::Time now = absl::Now();
      absl::Status status = SelectOne(login, std::min(deadline_, now + kOneTry));
      if (status.ok()) {
        return StepOutcome{
            .skipped = first && running_.count(gateway.name()) != 0,
            .detail = database.empty() ? "SELECT 1 works" : absl::StrCat("SELECT 1 works in ", database)};
      }
      refused_since = absl::IsUnauthenticated(status) ? std::min(refused_since, now) : absl::InfiniteFuture();
      if (now >= deadline_ || now - refused_since > kPatienceWithLogin) {
        return components_.Blame(gateway.name(), status.code(),
                                 absl::StrCat("does not answer SELECT 1: ", std::string(status.message())));
      }
      MG_RETURN_IF_ERROR(components_.CheckAlive());
      if (halt.WaitUntil(std::min(deadline_, now + kPause))) {
        return absl::CancelledError("called off");
      }
    }
  }

  /// initdb and pg_basebackup ran without sync; this is the one that counts.
  absl::StatusOr<StepOutcome> Sync() {
    bool own = false;  // the cluster's own file system, where all are that the file gives no directory
    for (const Member& member : MembersOf(model_.input)) {
      std::string dir = PoolerDirOf(model_.input, member);
      bool below = dir == model_.input.paths.PoolerDir(model_.input.service_ids.at(member.Place()));
      if ((below && own) || !Exists(dir)) {
        continue;
      }
      UniqueFd fd(open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      if (!fd.valid() || syncfs(fd.get()) != 0) {
        return ErrnoStatus(errno, absl::StrCat("put the data of ", member.Place(), " safely on disk"));
      }
      own |= below;
    }
    return StepOutcome{.detail = "the new data is safely on disk"};
  }

  const Model& model_;
  Components components_;
  ComponentRpc* const rpc_;
  const unsigned uid_;
  const absl::Time deadline_;
  const std::set<std::string> running_;
};

/// What is remembered of a bring-up that ended well.
absl::Status RememberSuccess(const Model& model, bool was_stopped, Part part, const std::string& database) {
  return model.store->Update([&](store::ClusterRecord* record) {
    if (part == Part::kAll || database.empty()) {
      record->set_initialised(true);
    }
    for (auto& [name, entry] : *record->mutable_databases()) {
      if (!entry.leaving() && (part == Part::kAll || name == database)) {
        entry.set_initialised(true);
      }
    }
    if (!was_stopped) {
      return;
    }
    record->mutable_started_at()->set_seconds(absl::ToUnixSeconds(absl::Now()));
    for (const v1::ComponentSpec& spec : model.specs) {
      auto& entry = (*record->mutable_components())[spec.name()];
      absl::StatusOr<store::ComponentName> name = store::ComponentName::Parse(spec.name());
      shim::ShimState state = shim::ReadShimState(model.input.paths.RunDir(*name));
      entry.set_base_generation(state.launch ? state.launch->generation : entry.generation());
    }
  });
}

}  // namespace

absl::StatusOr<bool> BringUp(const Model& model, Part part, supervisor::Supervisor* supervisor, Watchman* watchman,
                             ComponentRpc* rpc, unsigned uid, provisioners::OperationContext& context,
                             const std::string& database) {
  std::set<std::string> running = RunningComponents(model.input.paths, model.record);
  std::vector<PlannedStep> planned = PlanSteps(model, part, running, database);
  BringUpRun run(model, supervisor, watchman, rpc, uid, context, running);
  std::vector<Step> steps;
  for (const PlannedStep& step : planned) {
    if (step.kind == PlannedStep::Kind::kPreflight) {
      continue;  // made, and told, before a bring-up begins
    }
    steps.push_back({.id = step.id,
                     .group = step.group,
                     .after = step.after,
                     .run = [&run, &step](const Halt& halt) { return run.Do(step, halt); },
                     .silent = step.kind == PlannedStep::Kind::kFiles});
  }
  MG_ASSIGN_OR_RETURN(bool unchanged, Execute(std::move(steps), context, [&] { supervisor->Wake(); }));
  if (part != Part::kBase) {
    // A stopped cluster was brought up, as against one that was repaired: nothing of the database ran.
    bool was_stopped = running.count(store::kEtcd) == 0;
    MG_RETURN_IF_ERROR(RememberSuccess(model, was_stopped, part, database));
  }
  return unchanged;
}

}  // namespace mg::local
