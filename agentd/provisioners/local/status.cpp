#include "agentd/provisioners/local/status.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agentd/provisioners/local/machine.h"
#include "agentd/provisioners/local/specs.h"
#include "agentd/store/component_name.h"
#include "common/fs/fs.h"
#include "common/process/process_id.h"

namespace mg::local {

namespace {

constexpr int kSchemaVersion = 1;
constexpr char kProvisioner[] = "local";

std::string StateWord(const Observation& o, bool wanted, Activity activity, absl::Time now) {
  if (o.process.child_alive) {
    if (o.stopping || activity == Activity::kStopping) {
      return "stopping";
    }
    bool starts = activity == Activity::kStarting || (o.view.cared && o.view.state == supervisor::State::kStarting);
    return o.probe.ready.ok() && !o.stopped_by_signal ? "running" : starts ? "starting" : "unhealthy";
  }
  if (!wanted || !o.process.launch) {
    return wanted && activity == Activity::kStarting ? "starting" : "stopped";
  }
  bool soon = o.view.state == supervisor::State::kStarting ||
              (o.view.state == supervisor::State::kWaiting && o.view.due - now < absl::Seconds(1));
  return activity == Activity::kStarting || soon ? "starting" : "failed";
}

std::string ReasonFor(const Observation& o, const std::string& state, absl::Time now) {
  if (o.process.child_alive && o.stopped_by_signal) {
    return "not answering: its process is stopped by a signal";
  }
  if (state == "unhealthy" || (state == "starting" && o.process.child_alive)) {
    return std::string(o.probe.ready.message());
  }
  bool waits = o.view.state == supervisor::State::kWaiting || o.view.state == supervisor::State::kCrashLooping;
  if (state == "failed" && (waits || (o.view.cared && o.view.state == supervisor::State::kFailed))) {
    std::string loop = o.view.state == supervisor::State::kCrashLooping ? "crash loop: " : "";
    std::string due = waits ? absl::StrCat("; started again in ",
                                           absl::FormatDuration(absl::Ceil(
                                               std::max(o.view.due - now, absl::ZeroDuration()), absl::Seconds(1))))
                            : "";
    return absl::StrCat(loop, o.view.reason, due);
  }
  if (state == "failed") {
    // The shim writes how it ended a moment after the end.
    return o.process.exit         ? supervisor::DescribeExit(*o.process.exit)
           : o.process.shim_alive ? "ended just now"
                                  : "ended together with its shim";
  }
  if (!o.full_disk.empty()) {
    return absl::StrCat("its disk is full: there is no room for a segment of WAL in ", o.full_disk);
  }
  if (!o.probe.archive_fails_at.empty()) {
    return absl::StrCat("cannot archive WAL, which fills its disk: the archive does not take ",
                        o.probe.archive_fails_at, " ('multigres logs ", o.spec->name(), " --grep archive')");
  }
  return "";
}

void SetSince(const Observation& o, absl::Time now, v1::ComponentStatus* status) {
  absl::Time since = o.process.exit ? o.process.exit->ended : absl::InfinitePast();
  if (o.process.child_alive && o.process.child) {
    double uptime = UptimeSeconds(*o.process.child);
    if (uptime >= 0) {
      status->set_uptime_seconds(std::round(uptime * 100) / 100);  // start times are in hundredths
      since = now - absl::Seconds(uptime);
    }
  }
  if (since != absl::InfinitePast()) {
    timespec time = absl::ToTimespec(since);
    status->mutable_since()->set_seconds(time.tv_sec);
    status->mutable_since()->set_nanos(static_cast<int>(time.tv_nsec));
  }
}

/// By database; empty: the default one.
using Replications = std::map<std::string, ReplicationState>;

void SetRole(const ReplicationState& replication, v1::ComponentStatus* status) {
  auto member = replication.members.find(status->cell());
  if (member == replication.members.end()) {
    status->set_role("unknown");
    return;
  }
  const MemberState& state = member->second;
  status->set_role(state.role);
  if (state.drained && status->reason().empty()) {
    status->set_reason("drained: takes no reads, and leads only where nobody else can");
  }
  status->set_lsn(state.lsn);
  if (state.lag_bytes) {
    status->set_replication_lag_bytes(*state.lag_bytes);
  }
  if (state.lag_seconds) {
    status->set_replication_lag_seconds(*state.lag_seconds);
  }
  if (state.streaming) {
    status->set_streaming(*state.streaming);
  }
}

v1::ComponentStatus ComponentOf(const Model& model, const Observation& o, Activity activity,
                                const Replications& replications, absl::Time now) {
  const v1::ComponentSpec& spec = *o.spec;
  absl::StatusOr<store::ComponentName> name = store::ComponentName::Parse(spec.name());
  const store::ClusterRecord& record = model.record;
  auto recorded = record.components().find(spec.name());
  const auto& entry = recorded == record.components().end() ? multigres::state::v1::ComponentRecord::default_instance()
                                                            : recorded->second;
  const LaterDatabase* database = model.FindDatabase(spec.database());
  bool leaves = database != nullptr && database->leaving;
  bool wanted = record.wanted() && !entry.stopped_by_name() && !leaves;
  v1::ComponentStatus status;
  status.set_name(spec.name());
  status.set_id(absl::StrCat(record.cluster_id(), "/", spec.name()));
  status.set_kind(name->kind);
  status.set_cell(spec.cell());
  bool of_database = store::IsPerCell(name->kind);
  status.set_database(!of_database ? "" : spec.database().empty() ? model.input.config.database : spec.database());
  status.set_state(StateWord(o, wanted, activity, now));
  status.set_desired(wanted ? "running" : "stopped");
  status.set_ready(o.process.child_alive && o.probe.ready.ok() && !o.stopped_by_signal);
  status.set_pid(o.process.child_alive && o.process.child ? o.process.child->pid : 0);
  std::int64_t generation = o.process.launch ? o.process.launch->generation : entry.generation();
  std::int64_t base = std::max<std::int64_t>(entry.base_generation(), 1);
  status.set_restarts(static_cast<int>(std::max<std::int64_t>(0, generation - base)));
  SetSince(o, now, &status);
  for (const v1::Port& port : spec.ports()) {
    (*status.mutable_ports())[port.name()] = port.number();
  }
  status.set_implementation(spec.implementation());
  status.set_version(entry.version());
  status.set_reason(ReasonFor(o, status.state(), now));
  if (o.view.cared) {
    status.set_phase(supervisor::WordOf(o.view.state));
  }
  if (o.view.due != absl::InfiniteFuture()) {
    timespec due = absl::ToTimespec(o.view.due);
    status.mutable_next_start()->set_seconds(due.tv_sec);
    status.mutable_next_start()->set_nanos(static_cast<int>(due.tv_nsec));
  }
  if (name->kind == store::kMultipooler || name->kind == store::kPostgres) {
    SetRole(replications.at(spec.database()), &status);
  }
  if (std::string log = model.input.paths.LogFile(*name); Exists(log)) {
    status.set_log_file(log);
  }
  return status;
}

void AddEndpoint(const v1::ComponentSpec& spec, const std::string& port_name, const std::string& kind,
                 const std::string& url_prefix, const std::string& url_suffix, v1::ClusterStatus* status) {
  int port = PortOf(spec, port_name);
  if (port == 0) {
    return;
  }
  v1::Endpoint* endpoint = status->add_endpoints();
  endpoint->set_name(spec.name());
  endpoint->set_kind(kind);
  endpoint->set_host("127.0.0.1");
  endpoint->set_port(port);
  endpoint->set_url(absl::StrCat(url_prefix, "127.0.0.1:", port, url_suffix));
}

void AddEndpoints(const Model& model, v1::ClusterStatus* status) {
  std::string login = absl::StrCat("postgresql://", model.input.config.postgres_user, "@");
  std::string database = absl::StrCat("/", model.input.config.database);
  for (const v1::ComponentSpec& spec : model.specs) {
    if (spec.kind() == v1::COMPONENT_KIND_MULTIGATEWAY) {
      AddEndpoint(spec, "postgres", "postgres-rw", login, database, status);
      AddEndpoint(spec, "postgres_replica", "postgres-ro", login, database, status);
    }
    if (spec.kind() == v1::COMPONENT_KIND_ETCD) {
      AddEndpoint(spec, "client", "etcd", "http://", "", status);
    }
    AddEndpoint(spec, "http", "http", "http://", "/", status);
    AddEndpoint(spec, "grpc", "grpc", "", "", status);
  }
}

/// The cluster should run, and was brought up before this boot.
bool StoppedByReboot(const store::ClusterRecord& record, const std::string& boot_id) {
  return record.wanted() && !record.started_boot().empty() && record.started_boot() != boot_id;
}

void Judge(const Model& model, const std::vector<Observation>& observations, const Replications& replications,
           Activity activity, const std::string& boot_id, v1::ClusterStatus* status) {
  std::vector<std::string> alive, problems;
  for (int i = 0; i < status->components_size(); ++i) {
    const v1::ComponentStatus& component = status->components(i);
    if (component.pid() != 0) {
      alive.push_back(component.name());
    }
    // A node may have a reason without a fault: somebody has drained it.
    const Observation& seen = observations[static_cast<std::size_t>(i)];
    const bool well = seen.probe.archive_fails_at.empty() && seen.full_disk.empty();
    if (component.desired() == "running" && (!component.ready() || !well)) {
      problems.push_back(component.reason().empty() ? absl::StrCat(component.name(), " is ", component.state())
                                                    : absl::StrCat(component.name(), ": ", component.reason()));
    }
  }
  if (activity == Activity::kStarting) {
    status->set_state("starting");
    status->set_reason(problems.empty() ? "it is being brought up" : problems[0]);
    return;
  }
  if (alive.empty()) {
    status->set_state("stopped");
    if (StoppedByReboot(model.record, boot_id)) {
      for (v1::ComponentStatus& component : *status->mutable_components()) {
        component.set_state("stopped");
        component.set_reason("stopped by a reboot of the machine");
      }
    }
    status->set_reason(model.store == nullptr ? "it was never brought up"
                       : StoppedByReboot(model.record, boot_id)
                           ? "a reboot of the machine stopped it; 'multigres up' resumes with its data and ports"
                       : model.record.wanted()
                           ? "nothing of it runs, though it was not stopped; 'multigres up' starts it"
                           : "it was stopped");
    return;
  }
  for (const auto& [database, replication] : replications) {
    if (!replication.stalled.empty() && model.record.wanted()) {
      problems.insert(problems.begin(), replication.stalled);  // what clients notice comes first
      for (v1::ComponentStatus& component : *status->mutable_components()) {
        const auto named = [&](const char* kind) {
          return component.name() == store::ComponentName{kind, replication.leader_cell, database}.ToString();
        };
        if ((named(store::kPostgres) || named(store::kMultipooler)) && component.reason().empty()) {
          component.set_reason("it leads, and too few standbys confirm its log: nothing is read or written");
        }
      }
    }
    if (problems.empty() && !replication.problem.empty() && model.record.wanted()) {
      problems.push_back(absl::StrCat(replication.component, " ", replication.problem));
    }
  }
  for (const LaterDatabase& database : model.input.databases) {
    if (database.leaving && model.record.wanted()) {
      problems.push_back(absl::StrCat("database ", database.name, " is being deleted; 'multigres up' finishes it"));
    }
  }
  if (!model.record.wanted()) {
    status->set_state("degraded");
    status->set_reason(activity == Activity::kStopping
                           ? "it is being stopped"
                           : absl::StrCat("it was stopped, but these run: ", absl::StrJoin(alive, ", ")));
    return;
  }
  for (const v1::ComponentStatus& component : status->components()) {
    const LaterDatabase* database = model.FindDatabase(component.database());
    if (component.desired() == "stopped" && (database == nullptr || !database->leaving)) {
      problems.push_back(absl::StrCat(component.name(), " was stopped by name"));
    }
  }
  status->set_state(problems.empty() ? "running" : "degraded");
  if (!problems.empty()) {
    size_t more = problems.size() - 1;
    status->set_reason(more == 0 ? problems[0] : absl::StrCat(problems[0], " (and ", more, " more)"));
  }
}

/// Of a component whose disk is nearly full: where its data is.
std::string FullDiskOf(const Model& model, const v1::ComponentSpec& spec) {
  std::string data;
  if (spec.kind() == v1::COMPONENT_KIND_ETCD) {
    data = model.input.paths.EtcdData();
  } else if (spec.kind() == v1::COMPONENT_KIND_POSTGRES) {
    data = store::PostgresData(PoolerDirOf(model.input, {.cell = spec.cell(), .database = spec.database()}));
  }
  constexpr std::uint64_t kRoom = 16 << 20;
  return !data.empty() && FreeDisk(data) < kRoom ? data : "";
}

}  // namespace

std::vector<Observation> Observe(const Model& model, const supervisor::Supervisor& supervisor, ComponentRpc* rpc,
                                 absl::Time deadline) {
  std::vector<Observation> observations;
  std::vector<const v1::ComponentSpec*> alive;
  std::vector<size_t> places;
  std::vector<std::string> run_dirs;
  for (const v1::ComponentSpec& spec : model.specs) {
    run_dirs.push_back(model.input.paths.RunDir(*store::ComponentName::Parse(spec.name())));
  }
  std::vector<shim::ShimState> states = shim::ReadShimStates(run_dirs);
  for (size_t i = 0; i < run_dirs.size(); ++i) {
    const v1::ComponentSpec& spec = model.specs[i];
    const std::string& run_dir = run_dirs[i];
    Observation o{.spec = &spec};
    o.process = std::move(states[i]);
    o.stopping = supervisor.IsStopping(run_dir);
    o.view = supervisor.Look(run_dir);
    o.stopped_by_signal = o.process.child_alive && o.process.child && IsStopped(*o.process.child);
    if (o.process.child_alive) {
      o.full_disk = FullDiskOf(model, spec);
      alive.push_back(&spec);
      places.push_back(observations.size());
    }
    observations.push_back(std::move(o));
  }
  std::vector<ProbeResult> results = ProbeAll(alive, rpc, deadline);
  for (size_t i = 0; i < results.size(); ++i) {
    observations[places[i]].probe = std::move(results[i]);
  }
  return observations;
}

v1::ClusterStatus Describe(const Model& model, const std::vector<Observation>& observations, Activity activity,
                           absl::Time now, const std::string& boot_id) {
  std::map<std::string, PoolerAnswers> by_database;
  for (const Observation& o : observations) {
    if (o.spec->kind() == v1::COMPONENT_KIND_MULTIPOOLER) {
      PoolerAnswers& answers = by_database[o.spec->database()];
      if (!o.process.child_alive) {
        answers.emplace(o.spec->cell(), absl::UnavailableError("it does not run"));
      } else if (o.probe.ready.ok()) {
        answers.emplace(o.spec->cell(), o.probe.multipooler);
      } else {
        answers.emplace(o.spec->cell(), o.probe.ready);
      }
    }
  }
  Replications replications;
  for (const auto& [database, answers] : by_database) {
    replications[database] = JudgeReplication(answers, database);
  }
  v1::ClusterStatus status;
  status.set_schema_version(kSchemaVersion);
  status.set_cluster(model.place.name);
  status.set_cluster_id(model.store == nullptr ? "" : model.record.cluster_id());
  status.set_root_directory(model.place.root_dir);
  status.set_config_file(model.place.config_file);
  status.set_provisioner(kProvisioner);
  for (const Observation& o : observations) {
    *status.add_components() = ComponentOf(model, o, activity, replications, now);
  }
  AddEndpoints(model, &status);
  Judge(model, observations, replications, activity, boot_id, &status);
  if (model.cell_count() == 1) {
    status.add_notices("one cell: there is no redundancy, and a commit is durable on one node only");
  }
  if (model.store != nullptr && !AsksForToken(model.input)) {
    status.add_notices("the Admin API asks nobody who they are: whoever reaches its ports is its administrator");
  }
  return status;
}

std::string LeaderBeside(const std::string& target, const v1::ClusterStatus& status) {
  absl::StatusOr<store::ComponentName> asked = store::ComponentName::Parse(target);
  std::string database = asked.ok() ? asked->database : "";
  if (absl::StartsWith(target, "primary/")) {
    database = target.substr(target.find('/') + 1);
  }
  for (const v1::ComponentStatus& component : status.components()) {
    absl::StatusOr<store::ComponentName> name = store::ComponentName::Parse(component.name());
    if (name.ok() && name->kind == store::kPostgres && name->database == database && component.role() == "primary") {
      return component.name();
    }
  }
  return "";
}

}  // namespace mg::local
