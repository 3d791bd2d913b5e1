#include "agentd/provisioners/local/local_provisioner.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "agentd/logkeeper/keeper.h"
#include "agentd/provisioners/local/apply.h"
#include "agentd/provisioners/local/bring_up.h"
#include "agentd/provisioners/local/changes.h"
#include "agentd/provisioners/local/clusters.h"
#include "agentd/provisioners/local/connection.h"
#include "agentd/provisioners/local/databases.h"
#include "agentd/provisioners/local/fault_plan.h"
#include "agentd/provisioners/local/fault_run.h"
#include "agentd/provisioners/local/layout.h"
#include "agentd/provisioners/local/named.h"
#include "agentd/provisioners/local/orphans.h"
#include "agentd/provisioners/local/preflight.h"
#include "agentd/provisioners/local/records.h"
#include "agentd/provisioners/local/single.h"
#include "agentd/provisioners/local/status.h"
#include "agentd/provisioners/local/teardown.h"
#include "agentd/provisioners/local/under_way.h"
#include "agentd/provisioners/local/watchman.h"
#include "agentd/store/component_name.h"
#include "common/fs/fs.h"
#include "common/process/helper.h"
#include "common/process/process_id.h"
#include "common/status/status.h"

namespace mg::local {

namespace {

using provisioners::OperationContext;
using provisioners::Provisioner;

constexpr absl::Duration kNoticeBound = absl::Seconds(2);
constexpr absl::Duration kStatusBound = absl::Seconds(1);
constexpr absl::Duration kComponentLimit = absl::Seconds(60);

LocalOptions WithBootId(LocalOptions options) {
  if (options.boot_id.empty()) {
    options.boot_id = BootId();
  }
  return options;
}

class LocalProvisioner final : public Provisioner {
 public:
  explicit LocalProvisioner(LocalOptions options)
      : options_(WithBootId(std::move(options))),
        machine_(options_.libexec_dir, options_.uid),
        clusters_(options_),
        watchman_(&supervisor_),
        supervisor_(JoinPath(options_.libexec_dir, "multigres-shim"),
                    [this](const supervisor::News& news) { Tell(news); }) {}
  ~LocalProvisioner() override { watchman_.Stop(); }

  std::string flavour() const override { return "local"; }

  absl::StatusOr<v1::ValidateClusterResponse> Validate(const v1::ValidateClusterRequest& request) override {
    MG_ASSIGN_OR_RETURN(std::shared_ptr<Cluster> cluster, clusters_.Find(request.cluster(), /*may_be_new=*/true));
    MG_ASSIGN_OR_RETURN(Model model, Build(cluster.get(), request.cells(), ModelUse::kPlan));
    return Preflight(model, machine_.Facts(), options_.uid);
  }

  absl::StatusOr<v1::PlanClusterResponse> Plan(const v1::PlanClusterRequest& request) override {
    MG_ASSIGN_OR_RETURN(std::shared_ptr<Cluster> cluster, clusters_.Find(request.cluster(), /*may_be_new=*/true));
    MG_ASSIGN_OR_RETURN(Model model, Build(cluster.get(), request.cells(), ModelUse::kPlan));
    MG_RETURN_IF_ERROR(model.Complete());
    std::vector<v1::ComponentChange> changes = FindChanges(&model);
    v1::PlanClusterResponse response =
        PlanResponse(model, PlanSteps(model, Part::kAll, RunningComponents(model.input.paths, model.record)));
    for (v1::ComponentChange& change : changes) {
      *response.add_changes() = std::move(change);
    }
    return response;
  }

  absl::StatusOr<bool> Bootstrap(const v1::BootstrapClusterRequest& request, OperationContext& context) override {
    return Start(request.cluster(), request.cells(), Part::kBase, context);
  }

  absl::StatusOr<bool> ProvisionDatabase(const v1::ProvisionDatabaseRequest& request,
                                         OperationContext& context) override {
    MG_ASSIGN_OR_RETURN(std::shared_ptr<Cluster> cluster, clusters_.Find(request.cluster(), /*may_be_new=*/false));
    MG_ASSIGN_OR_RETURN(Model look, Build(cluster.get(), 0, ModelUse::kLook));
    if (request.database().empty() || request.database() == look.input.config.database) {
      if (request.create()) {
        return MakeError(absl::StatusCode::kAlreadyExists,
                         absl::StrCat(look.input.config.database, " is the cluster's default database"),
                         {.reason = "DATABASE_EXISTS", .hint = "choose another name"});
      }
      return Start(request.cluster(), 0, Part::kDatabase, context);
    }
    MG_ASSIGN_OR_RETURN(bool is_new, EnterDatabase(look, request, context.deadline));
    absl::StatusOr<Model> model = Build(cluster.get(), 0, ModelUse::kPlan);
    absl::Status complete = model.ok() ? model->Complete() : model.status();
    if (complete.ok()) {
      complete = CheckUnchanged(&*model);
    }
    if (!complete.ok() && is_new) {
      complete.Update(model.ok() ? EraseDatabase(*model, request.database()) : absl::OkStatus());
    }
    MG_RETURN_IF_ERROR(complete);
    return Start(request.cluster(), 0, Part::kDatabase, context, request.database());
  }

  absl::StatusOr<bool> BringUp(const v1::BootstrapClusterRequest& request, OperationContext& context) override {
    return Start(request.cluster(), request.cells(), Part::kAll, context);
  }

  absl::Status DeprovisionDatabase(const v1::DeprovisionDatabaseRequest& request, OperationContext& context) override {
    MG_ASSIGN_OR_RETURN(std::shared_ptr<Cluster> cluster, clusters_.Find(request.cluster(), /*may_be_new=*/false));
    MG_ASSIGN_OR_RETURN(Model model, Build(cluster.get(), 0, ModelUse::kLook));
    if (!request.database().empty() && request.database() != model.input.config.database) {
      MG_RETURN_IF_ERROR(BeginLeaving(model, request, options_.boot_id));
      return LeaveDatabase(cluster.get(), request.database(), context);
    }
    ActivityMark mark(cluster.get(), Activity::kStopping);
    MG_RETURN_IF_ERROR(StopCluster(model, StopPart::kDatabase, &supervisor_, &rpc_, context).status());
    if (!request.clean()) {
      return absl::OkStatus();
    }
    MG_RETURN_IF_ERROR(RemoveDatabaseRecords(model, context.deadline));
    for (const config::CellConfig& cell : model.input.config.cells) {
      MG_RETURN_IF_ERROR(RemoveTree(PoolerDirOf(model.input, {.cell = cell.name})));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<bool> ProvisionComponent(const v1::ProvisionComponentRequest& request,
                                          OperationContext& context) override {
    absl::StatusOr<bool> unchanged = StartOne(request, context);
    if (!unchanged.ok()) {
      KeepAsRecorded(request);
    }
    return unchanged;
  }

  absl::StatusOr<bool> StartOne(const v1::ProvisionComponentRequest& request, OperationContext& context) {
    MG_ASSIGN_OR_RETURN(std::shared_ptr<Cluster> cluster, clusters_.Find(request.cluster(), /*may_be_new=*/false));
    MG_ASSIGN_OR_RETURN(Model model, Build(cluster.get(), 0, ModelUse::kStart));
    MG_RETURN_IF_ERROR(model.Complete());
    MG_ASSIGN_OR_RETURN(const v1::ComponentSpec* spec, Named(model, request.component()));
    (*model.record.mutable_components())[spec->name()].set_stopped_by_name(false);
    model.record.set_wanted(true);
    MG_RETURN_IF_ERROR(clusters_.Save(cluster.get(), &model));
    Components components(model, &supervisor_, &watchman_, &rpc_);
    absl::Time limit = std::min(context.deadline, absl::Now() + kComponentLimit);
    Step step{.id = spec->name(),
              .group = spec->cell().empty() ? spec->name() : spec->cell(),
              .after = {},
              .run = [&](const Halt& halt) -> absl::StatusOr<StepOutcome> {
                MG_RETURN_IF_ERROR(PrepareFiles(model, options_.uid));
                if (!spec->observed_only()) {
                  return components.Ensure(*spec, limit, halt);
                }
                MG_RETURN_IF_ERROR(LetPostgresRun(model, *spec, &rpc_, limit));
                return components.EnsurePostgres(*spec, limit, halt);
              }};
    return Execute({step}, context, [this] { supervisor_.Wake(); });
  }

  /// A restart that stopped a component and cannot start it: it is wanted as before, so the loop goes on with it.
  void KeepAsRecorded(const v1::ProvisionComponentRequest& request) {
    absl::StatusOr<std::shared_ptr<Cluster>> cluster = clusters_.Find(request.cluster(), /*may_be_new=*/false);
    absl::StatusOr<Model> model = cluster.ok() ? Build(cluster->get(), 0, ModelUse::kLook) : cluster.status();
    const v1::ComponentSpec* spec = model.ok() ? model->Find(request.component()) : nullptr;
    if (spec != nullptr && !spec->observed_only() && model->record.wanted() &&
        model->record.components().count(spec->name()) != 0 &&
        !model->record.components().at(spec->name()).stopped_by_name()) {
      supervisor_.KeepWanted(WatchedOf(*model, spec->name()));
    }
  }

  absl::StatusOr<bool> DeprovisionComponent(const v1::DeprovisionComponentRequest& request,
                                            OperationContext& context) override {
    MG_ASSIGN_OR_RETURN(Model model, Look(request.cluster()));
    MG_ASSIGN_OR_RETURN(const v1::ComponentSpec* spec, Named(model, request.component()));
    if (model.store == nullptr) {
      return true;
    }
    if (!request.restart()) {
      MG_RETURN_IF_ERROR(model.store->Update([&](store::ClusterRecord* record) {
        (*record->mutable_components())[spec->name()].set_stopped_by_name(record->wanted());
      }));
    }
    supervisor::Watched who = WatchedOf(model, spec->name());
    supervisor_.ExpectEnd(who.run_dir);
    Step step{.id = spec->name(),
              .group = spec->cell().empty() ? spec->name() : spec->cell(),
              .after = {},
              .run = [&](const Halt&) -> absl::StatusOr<StepOutcome> {
                bool runs = shim::ReadShimState(who.run_dir).child_alive;
                if (spec->observed_only()) {
                  KeepPostgresDown(model, *spec, &rpc_, context.deadline);
                }
                MG_RETURN_IF_ERROR(supervisor_.Stop(who, LadderOf(*spec)));
                return StepOutcome{.skipped = !runs, .detail = "stopped"};
              }};
    return Execute({step}, context);
  }

  absl::StatusOr<bool> Teardown(const v1::TeardownClusterRequest& request, OperationContext& context) override {
    MG_ASSIGN_OR_RETURN(std::shared_ptr<Cluster> cluster, clusters_.Find(request.cluster(), /*may_be_new=*/false));
    MG_ASSIGN_OR_RETURN(Model model, Build(cluster.get(), 0, ModelUse::kLook));
    const bool recorded = model.store != nullptr;  // else it is lost; what runs can be stopped all the same
    if (!recorded && !WasLaunched(model)) {
      return request.restart() ? absl::StatusOr<bool>(CheckExists(model)) : true;
    }
    if (!model.file.ok()) {
      context.message(absl::StrCat("warning: the configuration file cannot be read, so what was recorded counts: ",
                                   std::string(model.file.message())));
    }
    auto update = [&](const std::function<void(store::ClusterRecord*)>& change) {
      return recorded ? model.store->Update(change) : absl::OkStatus();
    };
    MG_RETURN_IF_ERROR(update([&](store::ClusterRecord* record) {
      record->set_wanted(request.restart() && record->wanted());
      UnderWay::Mark(record, request.clean() ? "clean" : request.restart() ? "restart" : "down", options_.boot_id);
      for (auto& [name, entry] : *record->mutable_components()) {
        entry.set_stopped_by_name(false);
      }
    }));
    ActivityMark mark(cluster.get(), Activity::kStopping);
    bool unchanged = true;
    {
      UnderWay under_way(model.store);  // if any
      MG_ASSIGN_OR_RETURN(unchanged, StopCluster(model, StopPart::kAll, &supervisor_, &rpc_, context));
      MG_RETURN_IF_ERROR(RemoveShortDirectory(model, options_.uid));
      rpc_.Forget();
      if (!request.clean()) {
        return unchanged;
      }
      MG_RETURN_IF_ERROR(
          update([this](store::ClusterRecord* record) { UnderWay::Mark(record, "clean", options_.boot_id); }));
    }
    watchman_.Forget(model.place.name);
    MG_RETURN_IF_ERROR(RemoveClusterData(model));
    MG_RETURN_IF_ERROR(clusters_.Forget(cluster.get()));
    return false;
  }

  absl::StatusOr<v1::ListClusterDataResponse> ListData(const v1::ListClusterDataRequest& request) override {
    MG_ASSIGN_OR_RETURN(Model model, Look(request.cluster()));
    v1::ListClusterDataResponse response;
    if (model.store != nullptr) {
      for (const v1::DataEntry& entry : ListClusterData(model)) {
        *response.add_entries() = entry;
      }
    }
    return response;
  }

  absl::StatusOr<v1::ListDatabaseDataResponse> ListDatabaseData(const v1::ListDatabaseDataRequest& request) override {
    MG_ASSIGN_OR_RETURN(std::shared_ptr<Cluster> cluster, clusters_.Find(request.cluster(), /*may_be_new=*/false));
    MG_ASSIGN_OR_RETURN(Model model, Build(cluster.get(), 0, ModelUse::kLook));
    MG_RETURN_IF_ERROR(CheckLater(model, request.database()));
    return local::ListDatabaseData(model, request.database());
  }

  absl::StatusOr<v1::ClusterStatus> Status(const v1::GetClusterStatusRequest& request, absl::Time deadline) override {
    MG_ASSIGN_OR_RETURN(std::shared_ptr<Cluster> cluster, clusters_.Find(request.cluster(), /*may_be_new=*/false));
    MG_ASSIGN_OR_RETURN(Model model, Build(cluster.get(), 0, ModelUse::kLook));
    std::vector<Observation> observations =
        Observe(model, supervisor_, &rpc_, std::min(deadline, absl::Now() + kStatusBound));
    return Describe(model, observations, cluster->activity, absl::Now(), options_.boot_id);
  }

  std::vector<ClusterInfo> Clusters() override {
    std::vector<ClusterInfo> infos;
    absl::StatusOr<std::vector<std::shared_ptr<Cluster>>> all = clusters_.All();
    if (all.ok()) {
      for (const std::shared_ptr<Cluster>& cluster : *all) {
        infos.push_back(InfoOf(cluster.get()));
      }
    }
    return infos;
  }

  absl::StatusOr<ClusterInfo> Resolve(const v1::ClusterSelector& selector) override {
    // A bring-up asks this too, of a cluster that is only about to be.
    MG_ASSIGN_OR_RETURN(std::shared_ptr<Cluster> cluster, clusters_.Find(selector, /*may_be_new=*/true));
    return InfoOf(cluster.get());
  }

  absl::StatusOr<ClusterInfo> Register(const v1::ClusterSelector& selector, int cells) override {
    MG_ASSIGN_OR_RETURN(std::shared_ptr<Cluster> cluster, clusters_.Find(selector, /*may_be_new=*/true));
    MG_ASSIGN_OR_RETURN(Model model, Build(cluster.get(), cells, ModelUse::kStart));
    MG_RETURN_IF_ERROR(model.Complete());
    if (model.store == nullptr) {  // what runs keeps its record until a bring-up changes it
      MG_RETURN_IF_ERROR(clusters_.Save(cluster.get(), &model));
    }
    return InfoOf(cluster.get());
  }

  absl::StatusOr<std::vector<LogSource>> LogSources(const v1::ClusterSelector& selector) override {
    MG_ASSIGN_OR_RETURN(Model model, Look(selector));
    std::vector<LogSource> sources;
    for (const v1::ComponentSpec& spec : model.specs) {
      MG_ASSIGN_OR_RETURN(store::ComponentName name, store::ComponentName::Parse(spec.name()));
      sources.push_back({.component = spec.name(), .directory = model.input.paths.LogDir(name)});
    }
    auto multiadmin = model.input.implementations.find(store::kMultiadmin);
    if (multiadmin != model.input.implementations.end() && multiadmin->second.is_builtin) {
      sources.push_back({.component = "audit", .directory = model.input.paths.AuditLogDir()});
    }
    return sources;
  }

  absl::StatusOr<Connection> GetConnection(const v1::ClusterSelector& selector, const std::string& cell,
                                           const std::string& database, bool read_only) override {
    MG_ASSIGN_OR_RETURN(Model model, Look(selector));
    return ConnectionTo(model, cell, database, read_only,
                        FindProgram("psql", {machine_.Facts().postgres_bin}).value_or(""));
  }

  absl::StatusOr<std::string> AdminAddress(const v1::ClusterSelector& selector) override {
    MG_ASSIGN_OR_RETURN(Model model, Look(selector));
    MG_RETURN_IF_ERROR(CheckAdminRuns(model));
    return absl::StrCat("127.0.0.1:", PortOf(*model.Find(store::kMultiadmin), "grpc"));
  }

  absl::StatusOr<std::string> AdminToken(const v1::ClusterSelector& selector) override {
    MG_ASSIGN_OR_RETURN(Model model, Look(selector));
    return ReadAdminToken(model.input);
  }

  absl::Status Recover() override {
    absl::Status ended =
        EndOrphansBelow(options_.home, [this](const std::string& text) { Announce("", "orphans", text); });
    MG_ASSIGN_OR_RETURN(std::vector<std::shared_ptr<Cluster>> all, clusters_.All());
    for (const std::shared_ptr<Cluster>& cluster : all) {
      absl::StatusOr<Model> model = Build(cluster.get(), 0, ModelUse::kLook);
      if (!model.ok()) {
        continue;  // whoever asks for this cluster is told why
      }
      // What a former agent and its helper did not undo. The rest is taken over all the same.
      absl::Status undone =
          UndoFault(JoinPath(options_.libexec_dir, "multigres-chaos"), model->input.paths.FaultRecord());
      if (!undone.ok()) {
        Announce(model->place.name, "fault-remains", absl::StrCat("a fault could not be undone: ", undone.message()));
      }
      for (const v1::ComponentSpec& spec : model->specs) {
        TakeOver(cluster, *model, spec);
      }
    }
    log_keeper_ = std::make_unique<logs::Keeper>([this] { return LogPlaces(); });
    return ended;
  }

  absl::StatusOr<std::vector<v1::ComponentSpec>> Specs(const v1::ClusterSelector& selector) override {
    MG_ASSIGN_OR_RETURN(Model model, Look(selector));
    return model.specs;
  }

  absl::StatusOr<int> Signal(const v1::ClusterSelector& selector, const std::string& component, int signal,
                             bool whole_tree) override {
    MG_ASSIGN_OR_RETURN(Model model, Look(selector));
    MG_RETURN_IF_ERROR(Named(model, component).status());
    std::string run_dir = WatchedOf(model, component).run_dir;
    shim::ShimState state = shim::ReadShimState(run_dir);
    if (!state.child_alive || !state.child) {
      return MakeError(absl::StatusCode::kFailedPrecondition, absl::StrCat(component, " does not run"),
                       {.reason = "COMPONENT_STOPPED",
                        .hint = absl::StrCat("'multigres why ", component, "'"),
                        .subject = component});
    }
    // By its shim, whose child it is: the number cannot be a stranger's.
    MG_ASSIGN_OR_RETURN(std::unique_ptr<shim::ShimClient> client, shim::ShimClient::Connect(run_dir));
    MG_RETURN_IF_ERROR(client->Signal(signal, whole_tree));
    return state.child->pid;
  }

  absl::Status InjectFault(const v1::InjectFaultRequest& request, OperationContext& context) override {
    MG_ASSIGN_OR_RETURN(std::shared_ptr<Cluster> cluster, clusters_.Find(request.cluster(), /*may_be_new=*/false));
    MG_ASSIGN_OR_RETURN(Model model, Build(cluster.get(), 0, ModelUse::kLook));
    MG_RETURN_IF_ERROR(CheckExists(model));
    const std::string primary = PrimaryOf(model, cluster->activity, request.target());
    MG_ASSIGN_OR_RETURN(auto targets, FaultTargets(model, request.target(), primary));
    MG_ASSIGN_OR_RETURN(multigres::state::v1::FaultRecord record, PlanFault(model, request, targets));
    std::set<std::string> hit;
    for (const auto& process : record.targets()) {
      hit.insert(process.component());
    }
    const std::string what = absl::StrCat(record.kind(), " ", record.target());
    Announce(model.place.name, "fault-begins", absl::StrCat(what, " begins"));
    notice_.Expect(model.place.name, hit);
    absl::StatusOr<v1::FaultReport> report =
        RunFault(JoinPath(options_.libexec_dir, "multigres-chaos"), model.input.paths.FaultRecord(), record, context);
    // The probe client takes its time by itself.
    auto noticed = notice_.Take(model.place.name, request.no_probe() ? kNoticeBound : absl::ZeroDuration());
    Announce(model.place.name, "fault-ended", absl::StrCat(what, report.ok() ? " is undone" : " failed"));
    MG_RETURN_IF_ERROR(report.status());
    CompleteReport(record, noticed, &*report);
    report->set_primary_before(primary);
    report->set_primary_after(PrimaryOf(model, cluster->activity, request.target()));
    context.fault(*report);
    return absl::OkStatus();
  }

  std::vector<Unfinished> FindUnfinished() override {
    std::vector<Unfinished> unfinished;
    absl::StatusOr<std::vector<std::shared_ptr<Cluster>>> all = clusters_.All();
    for (const std::shared_ptr<Cluster>& cluster : all.ok() ? *all : std::vector<std::shared_ptr<Cluster>>()) {
      std::shared_ptr<store::ClusterStore> kept = cluster->Store();
      if (kept == nullptr) {
        continue;  // forgotten meanwhile
      }
      const store::ClusterRecord record = kept->Get();
      std::string kind = record.under_way_boot() == options_.boot_id ? record.under_way() : "";
      if (kind.empty() && !record.wanted() &&
          !RunningComponents(store::Paths(cluster->Place().root_dir), record).empty()) {
        kind = "down";
      }
      if (!kind.empty()) {
        unfinished.push_back({.cluster = InfoOf(cluster.get()), .kind = kind});
      }
    }
    return unfinished;
  }

 private:
  std::string PrimaryOf(const Model& model, Activity activity, const std::string& target) {
    return LeaderBeside(target, Describe(model, Observe(model, supervisor_, &rpc_, absl::Now() + kStatusBound),
                                         activity, absl::Now(), options_.boot_id));
  }

  void Announce(const std::string& cluster, const std::string& type, const std::string& message) {
    if (on_event) {
      on_event({.cluster = cluster, .component = "", .type = type, .message = message});
    }
  }

  /// One component of a cluster that a former agent looked after: watched when it runs, and brought to where the record
  /// wants it. What a reboot ended is not started: 'up' does that.
  void TakeOver(const std::shared_ptr<Cluster>& cluster, const Model& model, const v1::ComponentSpec& spec) {
    auto entry = model.record.components().find(spec.name());
    bool by_name = entry != model.record.components().end() && entry->second.stopped_by_name();
    supervisor::Watched who = WatchedOf(model, spec.name());
    shim::ShimState state = shim::ReadShimState(who.run_dir);
    // A whole cluster's stop is finished as an operation, in its order.
    bool launched_now = state.shim && state.shim->boot_id == options_.boot_id;
    const LaterDatabase* database = model.FindDatabase(spec.database());
    if (!model.record.wanted() || !launched_now || (database != nullptr && database->leaving)) {
      supervisor_.Adopt(who, /*announce=*/true);
      return;
    }
    auto make_spec = [this, cluster, name = spec.name()]() -> absl::StatusOr<shim::LaunchSpec> {
      MG_ASSIGN_OR_RETURN(Model planned, Build(cluster.get(), 0, ModelUse::kPlan));
      MG_ASSIGN_OR_RETURN(const v1::ComponentSpec* found, Named(planned, name));
      return LaunchSpecOf(planned, *found);
    };
    watchman_.TakeCare(model, spec, make_spec, !by_name);
    if (!supervisor_.Adopt(who, /*announce=*/true).shim_alive && !by_name && !spec.observed_only() &&
        model.record.under_way().empty()) {
      supervisor_.Resume(who);
    }
  }

  /// What the record and the files say of a cluster that is known.
  absl::StatusOr<Model> Look(const v1::ClusterSelector& selector) {
    MG_ASSIGN_OR_RETURN(std::shared_ptr<Cluster> cluster, clusters_.Find(selector, /*may_be_new=*/false));
    return Build(cluster.get(), 0, ModelUse::kLook);
  }

  absl::StatusOr<Model> Build(Cluster* cluster, int cells, ModelUse use) {
    ModelContext context{.machine = &machine_,
                         .environment = options_.environment,
                         .uid = options_.uid,
                         .ports_of_others = {},
                         .provisioner = options_.socket.empty() ? "" : absl::StrCat("unix:", options_.socket)};
    if (use != ModelUse::kLook) {
      context.ports_of_others = clusters_.PortsOfOthers(*cluster);
    }
    return BuildModel(cluster, cells, use, context);
  }

  /// `database`: a later one that is meant alone, with kDatabase.
  absl::StatusOr<bool> Start(const v1::ClusterSelector& selector, int cells, Part part, OperationContext& context,
                             const std::string& database = "") {
    MG_ASSIGN_OR_RETURN(std::shared_ptr<Cluster> cluster, clusters_.Find(selector, /*may_be_new=*/true));
    ActivityMark mark(cluster.get(), Activity::kStarting);
    MG_ASSIGN_OR_RETURN(Model model, Build(cluster.get(), cells, ModelUse::kStart));
    MG_RETURN_IF_ERROR(model.Complete());
    const std::vector<v1::ComponentChange> changes = FindChangesOfNow(&model);
    MG_RETURN_IF_ERROR(Refusal(changes));
    absl::StatusOr<Model> before = Build(cluster.get(), 0, ModelUse::kLook);
    MG_RETURN_IF_ERROR(before.status());
    for (const v1::ComponentChange& change : changes) {
      context.message(DescribeChange(change));
      if (on_event) {
        on_event({.cluster = model.place.name,
                  .component = change.component(),
                  .type = "configuration-changed",
                  .message = DescribeChange(change)});
      }
    }
    model.record.set_wanted(true);
    for (auto& [name, entry] : *model.record.mutable_components()) {
      if (database.empty() || absl::EndsWith(name, absl::StrCat("/", database))) {
        entry.set_stopped_by_name(false);
      }
    }
    UnderWay::Mark(&model.record, "up", options_.boot_id);
    model.record.set_started_boot(options_.boot_id);
    MG_RETURN_IF_ERROR(clusters_.Save(cluster.get(), &model));
    UnderWay under_way(model.store);
    MG_RETURN_IF_ERROR(EndOrphansBelow(model.input.paths.Run(), context.message));
    for (const std::string& remark : model.remarks) {
      context.message(remark);
    }
    if (!model.removed_cells.empty()) {
      MG_RETURN_IF_ERROR(RemoveCells(*before, model.removed_cells, &supervisor_, &watchman_, &rpc_, context));
    }
    auto bring_up = [&] {
      return local::BringUp(model, part, &supervisor_, &watchman_, &rpc_, options_.uid, context, database);
    };
    MG_ASSIGN_OR_RETURN(bool unchanged, bring_up());
    model.to_restart.clear();
    MG_RETURN_IF_ERROR(ApplyPostgresSettings(model, changes, &supervisor_, &watchman_, &rpc_, context,
                                             [&] { return bring_up().status(); }));
    if (part == Part::kAll) {
      for (const LaterDatabase& later : model.input.databases) {
        if (later.leaving) {
          unchanged = false;
          MG_RETURN_IF_ERROR(FinishLeaving(model, later.name, &supervisor_, &watchman_, &rpc_, options_.uid, context));
        }
      }
    }
    return unchanged && changes.empty();
  }

  /// The record says already that it leaves.
  absl::Status LeaveDatabase(Cluster* cluster, const std::string& database, OperationContext& context) {
    UnderWay under_way(cluster->Store());
    MG_ASSIGN_OR_RETURN(Model model, Build(cluster, 0, ModelUse::kPlan));
    MG_RETURN_IF_ERROR(model.Complete());
    (void)FindChanges(&model);  // for to_restart: the orchs watch one shard less
    return FinishLeaving(model, database, &supervisor_, &watchman_, &rpc_, options_.uid, context);
  }

  /// Where clusters keep their logs, and how much. A file that cannot be read now does not change what was agreed.
  std::vector<logs::Keeper::Place> LogPlaces() {
    std::vector<logs::Keeper::Place> places;
    absl::StatusOr<std::vector<std::shared_ptr<Cluster>>> all = clusters_.All();
    for (const std::shared_ptr<Cluster>& cluster : all.ok() ? *all : std::vector<std::shared_ptr<Cluster>>()) {
      ClusterInfo info = InfoOf(cluster.get());
      config::ClusterConfig config;
      if (!info.config_file.empty()) {
        absl::StatusOr<config::ClusterConfig> loaded = config::LoadConfig(info.config_file);
        config.log_total_mb = loaded.ok() ? loaded->log_total_mb : 0;
      }
      places.push_back({.root = store::Paths(info.root_dir).Logs(),
                        .max_bytes = static_cast<std::uint64_t>(config.log_total_mb) << 20});
    }
    return places;
  }

  void Tell(const supervisor::News& news) {
    watchman_.Poke();
    notice_.See(news);
    if (on_event) {
      on_event({.cluster = news.who.cluster,
                .component = news.who.component,
                .type = news.type,
                .message = news.message,
                .duration = news.ran});
    }
  }

  const LocalOptions options_;
  Machine machine_;
  local::Clusters clusters_;
  ComponentRpc rpc_;
  Watchman watchman_;
  FaultNotice notice_;
  supervisor::Supervisor supervisor_;  ///< behind what Tell needs: its threads call it
  std::unique_ptr<logs::Keeper> log_keeper_;
};

}  // namespace

std::unique_ptr<Provisioner> CreateLocalProvisioner(LocalOptions options) {
  return std::make_unique<LocalProvisioner>(std::move(options));
}

}  // namespace mg::local
