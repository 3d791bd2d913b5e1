#include "agentd/provisioners/local/teardown.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "agentd/provisioners/local/components.h"
#include "agentd/provisioners/local/orphans.h"
#include "agentd/provisioners/local/replication.h"
#include "agentd/store/component_name.h"
#include "agentd/store/previous.h"
#include "common/fs/fs.h"
#include "common/process/process_id.h"
#include "common/rpc/proto_time.h"
#include "common/status/status.h"

namespace mg::local {

namespace {

/// Only to find the leader; without an answer all are stopped at once.
constexpr absl::Duration kAskBound = absl::Milliseconds(300);
constexpr absl::Duration kFastStop = absl::Seconds(20);
constexpr absl::Duration kLeftoverStep = absl::Seconds(10);

std::string RealPath(const std::string& path) {
  char* resolved = realpath(path.c_str(), nullptr);
  std::string result = resolved == nullptr ? "" : resolved;
  free(resolved);
  return result;
}

/// Carries out `act` for each at once.
template <typename T, typename Act>
absl::Status InParallel(const std::vector<T>& things, Act act) {
  std::vector<absl::Status> results(things.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < things.size(); ++i) {
    threads.emplace_back([&results, &things, &act, i] { results[i] = act(things[i]); });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (absl::Status& status : results) {
    if (!status.ok()) {
      return status;
    }
  }
  return absl::OkStatus();
}

class Teardown {
 public:
  Teardown(const Model& model, StopPart part, supervisor::Supervisor* supervisor, ComponentRpc* rpc,
           provisioners::OperationContext& context, std::string database)
      : model_(model),
        part_(part),
        database_(std::move(database)),
        components_(model, supervisor, nullptr, rpc),
        supervisor_(supervisor),
        rpc_(rpc),
        context_(context) {}

  absl::StatusOr<bool> Run() {
    // Also of what waits for its next start; nothing is launched any more when this is done.
    for (const v1::ComponentSpec& spec : model_.specs) {
      if (InPart(spec)) {
        supervisor_->ExpectEnd(WatchedOf(model_, spec.name()).run_dir);
      }
    }
    std::vector<std::string> cells(model_.record.cells().begin(), model_.record.cells().end());
    if (model_.store == nullptr) {
      // Its record is lost; these are the cells that it would have now.
      for (const config::CellConfig& cell : model_.input.config.cells) {
        cells.push_back(cell.name);
      }
    }
    running_ = RunningComponents(model_.input.paths, cells, model_.record);
    std::erase_if(running_, [this](const std::string& name) {
      const v1::ComponentSpec* spec = model_.Find(name);
      return spec == nullptr || !InPart(*spec);
    });
    MG_RETURN_IF_ERROR(EndOrphansBelow(model_.input.paths.Run(), context_.message));
    std::vector<Leftover> leftovers = OurLeftovers();
    if (running_.empty() && leftovers.empty()) {
      return true;
    }
    const std::vector<const v1::ComponentSpec*> leaders = FindLeaders();
    // First who would appoint another leader or send new work, and the leader with its pooler: poolers stop their
    // PostgreSQL, and would start it again. Then the standbys, who have everything by now.
    std::vector<const v1::ComponentSpec*> front =
        Running({v1::COMPONENT_KIND_MULTIORCH, v1::COMPONENT_KIND_MULTIGATEWAY});
    std::vector<const v1::ComponentSpec*> poolers = Running({v1::COMPONENT_KIND_MULTIPOOLER});
    std::vector<const v1::ComponentSpec*> servers = Running({v1::COMPONENT_KIND_POSTGRES});
    auto leads = [&](const v1::ComponentSpec* spec) {
      return std::any_of(leaders.begin(), leaders.end(), [&](const v1::ComponentSpec* leader) {
        return spec->cell() == leader->cell() && spec->database() == leader->database();
      });
    };
    std::copy_if(poolers.begin(), poolers.end(), std::back_inserter(front), leads);
    std::erase_if(poolers, leads);
    std::erase_if(servers, leads);
    absl::Status status = Stop(front);
    status.Update(InParallel(leaders, [this](const v1::ComponentSpec* spec) { return StopPostgres(*spec); }));
    status.Update(Stop(poolers));
    // Nobody writes to the topology any more, so it may end beside PostgreSQL.
    absl::Status base_status;
    std::thread base([&] {
      if (part_ == StopPart::kAll) {
        base_status = Stop(Running({v1::COMPONENT_KIND_MULTIADMIN, v1::COMPONENT_KIND_ETCD}));
      }
    });
    status.Update(InParallel(servers, [this](const v1::ComponentSpec* spec) { return StopPostgres(*spec); }));
    status.Update(InParallel(OurLeftovers(), [this](const Leftover& leftover) { return End(leftover); }));
    status.Update(Stop(Running({v1::COMPONENT_KIND_PGCTLD})));
    base.join();
    status.Update(base_status);
    MG_RETURN_IF_ERROR(status);
    return false;
  }

 private:
  std::vector<const v1::ComponentSpec*> Running(const std::vector<v1::ComponentKind>& kinds) const {
    std::vector<const v1::ComponentSpec*> specs;
    for (const v1::ComponentSpec& spec : model_.specs) {
      if (running_.count(spec.name()) != 0 && std::find(kinds.begin(), kinds.end(), spec.kind()) != kinds.end()) {
        specs.push_back(&spec);
      }
    }
    return specs;
  }

  bool InPart(const v1::ComponentSpec& spec) const {
    switch (part_) {
      case StopPart::kAll:
        return true;
      case StopPart::kDatabase:
        return spec.database().empty() && spec.kind() != v1::COMPONENT_KIND_ETCD &&
               spec.kind() != v1::COMPONENT_KIND_MULTIADMIN;
      case StopPart::kLater:
        return spec.database() == database_;
    }
    return true;
  }

  std::vector<Leftover> OurLeftovers() const {
    std::vector<Leftover> leftovers = FindLeftovers(model_);
    std::erase_if(leftovers, [this](const Leftover& leftover) {
      const v1::ComponentSpec* spec = model_.Find(leftover.component);
      return spec == nullptr || !InPart(*spec);
    });
    return leftovers;
  }

  /// The PostgreSQL that leads, of each database where it is known and runs.
  std::vector<const v1::ComponentSpec*> FindLeaders() {
    std::vector<const v1::ComponentSpec*> leaders;
    if (Running({v1::COMPONENT_KIND_POSTGRES}).size() < 2) {
      return leaders;
    }
    for (const std::string& name : LeadersOf(model_, rpc_, absl::Now() + kAskBound)) {
      if (running_.count(name) != 0) {
        leaders.push_back(model_.Find(name));
      }
    }
    return leaders;
  }

  absl::Status Stop(const std::vector<const v1::ComponentSpec*>& specs) {
    return InParallel(specs, [this](const v1::ComponentSpec* spec) {
      return Told(*spec, [&] { return supervisor_->Stop(components_.WhoIs(spec->name()), LadderOf(*spec)); });
    });
  }

  /// Fast through its pgctld, so that pgctld knows; by its own shim when there is no pgctld, or it does not manage.
  absl::Status StopPostgres(const v1::ComponentSpec& postgres) {
    return Told(postgres, [&]() -> absl::Status {
      std::string pgctld_name = SiblingOf(postgres, store::kPgctld);
      supervisor::Watched who = components_.WhoIs(postgres.name());
      if (running_.count(pgctld_name) != 0) {
        (void)rpc_->StopPostgres(PortOf(*model_.Find(pgctld_name), "grpc"), "fast", absl::Now() + kFastStop);
      }
      return supervisor_->Stop(who, LadderOf(postgres));
    });
  }

  /// A postmaster without a shim: the same ladder, against exactly this process.
  absl::Status End(const Leftover& leftover) {
    absl::StatusOr<ProcessId> id = IdentifyProcess(leftover.pid);
    for (int signal_number : {SIGINT, SIGQUIT, SIGKILL}) {
      absl::StatusOr<UniqueFd> pidfd = id.ok() ? OpenPidfd(*id) : absl::StatusOr<UniqueFd>(id.status());
      if (!pidfd.ok()) {
        return absl::OkStatus();
      }
      absl::Status sent = SignalProcess(*id, signal_number);
      if (!sent.ok() && !absl::IsNotFound(sent)) {
        return WithContext(sent, absl::StrCat("stop the leftover ", leftover.component));
      }
      pollfd wait = {pidfd->get(), POLLIN, 0};
      if (poll(&wait, 1, static_cast<int>(absl::ToInt64Milliseconds(kLeftoverStep))) > 0) {
        return absl::OkStatus();
      }
    }
    return absl::DeadlineExceededError(absl::StrCat("process ", leftover.pid, " of ", leftover.component, " stays"));
  }

  template <typename Act>
  absl::Status Told(const v1::ComponentSpec& spec, Act act) {
    absl::Time began = absl::Now();
    Tell(spec, v1::STEP_STATE_RUNNING, began);
    absl::Status status = act();
    Tell(spec, status.ok() ? v1::STEP_STATE_DONE : v1::STEP_STATE_FAILED, began);
    return status.ok() ? status
                       : components_.Blame(spec.name(), status.code(),
                                           absl::StrCat("could not be stopped: ", std::string(status.message())));
  }

  void Tell(const v1::ComponentSpec& spec, v1::StepState state, absl::Time began) {
    v1::StepProgress step;
    step.set_id(spec.name());
    step.set_group(spec.cell().empty() ? spec.name() : spec.cell());
    step.set_state(state);
    step.set_detail(state == v1::STEP_STATE_DONE ? "stopped" : "");
    rpc::SetDuration(absl::Now() - began, step.mutable_elapsed());
    context_.step(step);
  }

  const Model& model_;
  const StopPart part_;
  const std::string database_;
  Components components_;
  supervisor::Supervisor* const supervisor_;
  ComponentRpc* const rpc_;
  provisioners::OperationContext& context_;
  std::set<std::string> running_;
};

void AddEntry(const std::string& path, const std::string& description, std::vector<v1::DataEntry>* entries) {
  if (!path.empty() && Exists(path)) {
    v1::DataEntry entry;
    entry.set_path(path);
    entry.set_description(description);
    entry.set_bytes(TreeSize(path));
    entries->push_back(std::move(entry));
  }
}

bool IsBelow(const std::string& path, const std::string& directory) {
  return path.size() > directory.size() && path.compare(0, directory.size(), directory) == 0 &&
         path[directory.size()] == '/';
}

}  // namespace

absl::StatusOr<bool> StopCluster(const Model& model, StopPart part, supervisor::Supervisor* supervisor,
                                 ComponentRpc* rpc, provisioners::OperationContext& context,
                                 const std::string& database) {
  return Teardown(model, part, supervisor, rpc, context, database).Run();
}

std::vector<Leftover> FindLeftovers(const Model& model) {
  std::vector<Leftover> leftovers;
  for (const Member& member : MembersOf(model.input)) {
    std::string data = store::PostgresData(PoolerDirOf(model.input, member));
    absl::StatusOr<std::string> text = ReadFile(JoinPath(data, "postmaster.pid"));
    pid_t pid = 0;
    if (!text.ok() || !absl::SimpleAtoi(text->substr(0, text->find('\n')), &pid) || pid <= 0) {
      continue;
    }
    std::string directory = RealPath(absl::StrCat("/proc/", pid, "/cwd"));
    if (directory.empty() || directory != RealPath(data)) {
      continue;  // a stale file: the process is gone, or is another one by now
    }
    store::ComponentName name{store::kPostgres, member.cell, member.database};
    shim::ShimState state = shim::ReadShimState(model.input.paths.RunDir(name));
    if (!state.shim_alive || !state.child || state.child->pid != pid) {
      leftovers.push_back({.component = name.ToString(), .pid = pid});
    }
  }
  return leftovers;
}

std::vector<v1::DataEntry> ListClusterData(const Model& model) {
  const store::Paths& paths = model.input.paths;
  std::vector<v1::DataEntry> entries;
  AddEntry(paths.Data(), "data of etcd and PostgreSQL, backups, and what deleted databases left", &entries);
  for (const config::CellConfig& cell : model.input.config.cells) {
    if (std::string dir = PoolerDirOf(model.input, {.cell = cell.name}); !IsBelow(dir, paths.Data())) {
      AddEntry(dir, absl::StrCat("data of PostgreSQL in ", cell.name), &entries);
    }
  }
  AddEntry(paths.Logs(), "logs", &entries);
  AddEntry(paths.Run(), "state of processes", &entries);
  AddEntry(paths.Config(), "settings written from the configuration", &entries);
  AddEntry(paths.Certs(), "certificates of pgBackRest", &entries);
  AddEntry(paths.Passfile(), "password file", &entries);
  AddEntry(paths.AdminToken(), "token of the Admin API", &entries);
  AddEntry(store::PreviousOf(paths.Record()), "the version before it of the cluster's record", &entries);
  AddEntry(paths.Record(), "the cluster's record", &entries);
  return entries;
}

absl::Status RemoveClusterData(const Model& model) {
  // The record last: while it is there, a clean-up that was interrupted can be repeated.
  for (const v1::DataEntry& entry : ListClusterData(model)) {
    MG_RETURN_IF_ERROR(RemoveTree(entry.path()));
  }
  if (model.record.root_is_ours()) {
    (void)rmdir(model.place.root_dir.c_str());  // only when nothing of somebody else's is in it
  }
  return absl::OkStatus();
}

}  // namespace mg::local
