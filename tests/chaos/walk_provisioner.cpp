#include "tests/chaos/walk_provisioner.h"

#include <signal.h>

#include <algorithm>
#include <atomic>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "agentd/provisioners/local/component_rpc.h"
#include "agentd/provisioners/local/components.h"
#include "agentd/provisioners/local/executor.h"
#include "agentd/provisioners/local/watchman.h"
#include "agentd/supervisor/supervisor.h"
#include "common/clock/clock.h"
#include "common/fs/fs.h"
#include "common/status/status.h"

namespace mg::walk {
namespace {

using local::Model;
using provisioners::OperationContext;
namespace v1 = multigres::provisioner::v1;

constexpr char kName[] = "walk";
constexpr absl::Duration kComponentLimit = absl::Seconds(30);

/// The machine's, with what the walk added: steps of the wall clock, and time that passes at once.
class MovedClock : public Clock {
 public:
  explicit MovedClock(std::string file) : file_(std::move(file)) { Read(); }
  void Read() {
    std::ifstream in(file_);
    std::int64_t wall = 0, steady = 0;
    if (in >> wall >> steady) {
      wall_ = wall;
      steady_ = steady;
    }
  }
  absl::Time Wall() const override { return SystemClock().Wall() + absl::Seconds(wall_.load()); }
  absl::Time Steady() const override { return SystemClock().Steady() + absl::Seconds(steady_.load()); }

 private:
  const std::string file_;
  std::atomic<std::int64_t> wall_ = 0, steady_ = 0;
};

class WalkProvisioner : public provisioners::Provisioner {
 public:
  explicit WalkProvisioner(WalkOptions options)
      : options_(std::move(options)),
        clock_(JoinPath(options_.controls, "clock")),
        watchman_(&supervisor_, clock_),
        supervisor_(
            options_.shim, [this](const supervisor::News& news) { Tell(news); }, clock_) {}
  ~WalkProvisioner() override { watchman_.Stop(); }

  absl::Status Open() {
    MG_RETURN_IF_ERROR(MakeDirectories(options_.root, 0700));
    absl::StatusOr<std::unique_ptr<store::ClusterStore>> opened = store::ClusterStore::Open(options_.root);
    if (absl::IsNotFound(opened.status())) {
      store::ClusterRecord record;
      record.set_cluster_id(store::NewUuid());
      record.set_name(kName);
      record.set_wanted(true);
      opened = store::ClusterStore::New(options_.root, std::move(record));
      MG_RETURN_IF_ERROR((*opened)->Update([this](store::ClusterRecord* r) {
        for (int i = 1; i <= options_.components; ++i) {
          (*r->mutable_components())[absl::StrCat("multiorch/c", i)].set_stopped_by_name(true);
        }
      }));
    }
    MG_RETURN_IF_ERROR(opened.status());
    model_.store = *std::move(opened);
    model_.place.name = kName;
    model_.place.root_dir = options_.root;
    model_.input.paths = store::Paths(options_.root);
    for (int i = 1; i <= options_.components; ++i) {
      model_.specs.push_back(MakeSpec(i));
      store::ComponentName name{.kind = store::kMultiorch, .cell = absl::StrCat("c", i)};
      MG_RETURN_IF_ERROR(MakeDirectories(model_.input.paths.RunDir(name), 0700));
      MG_RETURN_IF_ERROR(MakeDirectories(model_.input.paths.LogDir(name), 0700));
    }
    return absl::OkStatus();
  }

  std::string flavour() const override { return "walk"; }

  absl::StatusOr<v1::ValidateClusterResponse> Validate(const v1::ValidateClusterRequest&) override {
    return v1::ValidateClusterResponse();
  }
  absl::StatusOr<v1::PlanClusterResponse> Plan(const v1::PlanClusterRequest&) override {
    MoveClock();
    return v1::PlanClusterResponse();
  }

  absl::StatusOr<bool> ProvisionComponent(const v1::ProvisionComponentRequest& request,
                                          OperationContext& context) override {
    MG_ASSIGN_OR_RETURN(const v1::ComponentSpec* spec, Find(request.component()));
    MG_RETURN_IF_ERROR(Want(spec->name(), true));
    local::Components components(model_, &supervisor_, &watchman_, &rpc_);
    absl::Time limit = std::min(context.deadline, absl::Now() + kComponentLimit);
    local::Step step{.id = spec->name(), .group = spec->name(), .after = {}, .run = [&](const local::Halt& halt) {
                       return components.Ensure(*spec, limit, halt);
                     }};
    return local::Execute({step}, context, [this] { supervisor_.Wake(); });
  }

  absl::StatusOr<bool> DeprovisionComponent(const v1::DeprovisionComponentRequest& request,
                                            OperationContext&) override {
    MG_ASSIGN_OR_RETURN(const v1::ComponentSpec* spec, Find(request.component()));
    if (!request.restart()) {
      MG_RETURN_IF_ERROR(Want(spec->name(), false));
    }
    supervisor::Watched who = local::WatchedOf(model_, spec->name());
    supervisor_.ExpectEnd(who.run_dir);
    bool ran = shim::ReadShimState(who.run_dir).child_alive;
    MG_RETURN_IF_ERROR(supervisor_.Stop(who, local::LadderOf(*spec)));
    return !ran;
  }

  absl::StatusOr<v1::ClusterStatus> Status(const v1::GetClusterStatusRequest&, absl::Time) override {
    const store::ClusterRecord record = model_.store->Get();
    v1::ClusterStatus status;
    status.set_schema_version(1);
    status.set_cluster(kName);
    for (const v1::ComponentSpec& spec : model_.specs) {
      supervisor::Watched who = local::WatchedOf(model_, spec.name());
      supervisor::View view = supervisor_.Look(who.run_dir);
      shim::ShimState process = shim::ReadShimState(who.run_dir);
      auto entry = record.components().find(spec.name());
      bool stopped = entry != record.components().end() && entry->second.stopped_by_name();
      v1::ComponentStatus* component = status.add_components();
      component->set_name(spec.name());
      component->set_desired(stopped ? "stopped" : "running");
      component->set_phase(supervisor::WordOf(view.state));
      component->set_pid(process.child_alive ? process.child->pid : 0);
      component->set_reason(view.reason);
      if (view.due != absl::InfiniteFuture()) {
        component->mutable_next_start()->set_seconds(absl::ToUnixSeconds(view.due));
      }
    }
    return status;
  }

  /// As the local provisioner takes a component over from a former agent.
  absl::Status Recover() override {
    for (const v1::ComponentSpec& spec : model_.specs) {
      const store::ClusterRecord record = model_.store->Get();
      auto entry = record.components().find(spec.name());
      bool stopped = entry != record.components().end() && entry->second.stopped_by_name();
      supervisor::Watched who = local::WatchedOf(model_, spec.name());
      watchman_.TakeCare(
          model_, spec, [this, spec] { return local::LaunchSpecOf(model_, spec); }, !stopped);
      if (!supervisor_.Adopt(who, /*announce=*/true).shim_alive && !stopped) {
        supervisor_.Resume(who);
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<int> Signal(const v1::ClusterSelector&, const std::string& component, int signal,
                             bool whole_tree) override {
    MG_ASSIGN_OR_RETURN(const v1::ComponentSpec* spec, Find(component));
    std::string run_dir = local::WatchedOf(model_, spec->name()).run_dir;
    shim::ShimState state = shim::ReadShimState(run_dir);
    if (!state.child_alive) {
      return absl::FailedPreconditionError("it does not run");
    }
    MG_ASSIGN_OR_RETURN(std::unique_ptr<shim::ShimClient> client, shim::ShimClient::Connect(run_dir));
    MG_RETURN_IF_ERROR(client->Signal(signal, whole_tree));
    return state.child->pid;
  }

  std::vector<ClusterInfo> Clusters() override { return {Info()}; }
  absl::StatusOr<ClusterInfo> Resolve(const v1::ClusterSelector&) override { return Info(); }
  absl::StatusOr<ClusterInfo> Register(const v1::ClusterSelector&, int) override { return Info(); }
  absl::StatusOr<std::vector<v1::ComponentSpec>> Specs(const v1::ClusterSelector&) override { return model_.specs; }

  // The walk asks for none of these.
  absl::StatusOr<bool> Bootstrap(const v1::BootstrapClusterRequest&, OperationContext&) override { return Not(); }
  absl::StatusOr<bool> ProvisionDatabase(const v1::ProvisionDatabaseRequest&, OperationContext&) override {
    return Not();
  }
  absl::Status DeprovisionDatabase(const v1::DeprovisionDatabaseRequest&, OperationContext&) override { return Not(); }
  absl::StatusOr<bool> Teardown(const v1::TeardownClusterRequest&, OperationContext&) override { return Not(); }
  absl::StatusOr<v1::ListClusterDataResponse> ListData(const v1::ListClusterDataRequest&) override { return Not(); }
  absl::StatusOr<std::vector<LogSource>> LogSources(const v1::ClusterSelector&) override {
    return std::vector<LogSource>();
  }
  absl::StatusOr<Connection> GetConnection(const v1::ClusterSelector&, const std::string&, const std::string&,
                                           bool) override {
    return Not();
  }
  absl::StatusOr<std::string> AdminAddress(const v1::ClusterSelector&) override { return Not(); }
  absl::StatusOr<std::string> AdminToken(const v1::ClusterSelector&) override { return Not(); }

 private:
  static absl::Status Not() { return absl::UnimplementedError("there is no database in a walk"); }

  v1::ComponentSpec MakeSpec(int number) const {
    v1::ComponentSpec spec;
    spec.set_name(absl::StrCat(store::kMultiorch, "/c", number));
    spec.set_kind(v1::COMPONENT_KIND_MULTIORCH);
    spec.set_cell(absl::StrCat("c", number));
    int port = options_.first_port + number;
    for (const std::string& word :
         {options_.component, absl::StrCat(port), JoinPath(options_.controls, absl::StrCat("mode-", number))}) {
      spec.add_argv(word);
    }
    v1::Port* http = spec.add_ports();
    http->set_name("http");
    http->set_number(port);
    for (v1::Probe* probe : {spec.mutable_readiness(), spec.mutable_liveness()}) {
      probe->set_type("http");
      probe->set_host("127.0.0.1");
      probe->set_port(port);
      probe->set_path("/live");
    }
    spec.set_restart("always");
    spec.mutable_hung_after()->set_seconds(15);
    spec.mutable_start_bound()->set_seconds(30);
    for (int signal : {SIGTERM, SIGKILL}) {
      v1::StopStep* stop = spec.add_stop();
      stop->set_signal(signal);
      stop->mutable_wait()->set_nanos(300'000'000);
    }
    return spec;
  }

  absl::StatusOr<const v1::ComponentSpec*> Find(const std::string& name) const {
    const v1::ComponentSpec* spec = model_.Find(name);
    return spec != nullptr ? absl::StatusOr<const v1::ComponentSpec*>(spec) : absl::NotFoundError(name);
  }

  absl::Status Want(const std::string& component, bool wanted) {
    return model_.store->Update(
        [&](store::ClusterRecord* record) { (*record->mutable_components())[component].set_stopped_by_name(!wanted); });
  }

  ClusterInfo Info() const { return {.name = kName, .cluster_id = "walk", .root_dir = options_.root}; }

  void MoveClock() {
    clock_.Read();
    supervisor_.Wake();
    watchman_.Poke();
  }

  void Tell(const supervisor::News& news) {
    watchman_.Poke();
    if (on_event) {
      on_event({.cluster = news.who.cluster,
                .component = news.who.component,
                .type = news.type,
                .message = news.message,
                .duration = news.ran});
    }
  }

  const WalkOptions options_;
  Model model_;
  MovedClock clock_;
  local::ComponentRpc rpc_;
  local::Watchman watchman_;
  supervisor::Supervisor supervisor_;  ///< last: its threads call Tell
};

}  // namespace

absl::StatusOr<std::unique_ptr<provisioners::Provisioner>> CreateWalkProvisioner(WalkOptions options) {
  auto provisioner = std::make_unique<WalkProvisioner>(std::move(options));
  MG_RETURN_IF_ERROR(provisioner->Open());
  return provisioner;
}

}  // namespace mg::walk
