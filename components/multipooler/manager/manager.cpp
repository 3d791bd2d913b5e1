#include "components/multipooler/manager/manager.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/fs/fs.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "components/multipooler/manager/postgres_settings.h"

namespace mg::multipooler {
namespace {

constexpr absl::Duration kConnectLimit = absl::Seconds(5);
constexpr absl::Duration kLookLimit = absl::Seconds(5);
constexpr absl::Duration kStatusLimit = absl::Seconds(1);
constexpr absl::Duration kProbeInterval = absl::Seconds(5);
// Of the end: pgctld's answer, an orderly stop, the last record.
constexpr absl::Duration kLastStatusLimit = absl::Milliseconds(200);
constexpr absl::Duration kLastStopLimit = absl::Seconds(10);
constexpr absl::Duration kLastRecordLimit = absl::Milliseconds(300);

}  // namespace

absl::StatusOr<std::unique_ptr<Manager>> Manager::Create(Config config, topology::Topology* topology,
                                                         ServingState* serving) {
  MG_ASSIGN_OR_RETURN(std::unique_ptr<PromiseStore> promises, PromiseStore::Open(PromisesFile(config)));
  std::unique_ptr<Manager> manager(new Manager(std::move(config), topology, serving, std::move(promises)));
  if (!manager->wake_.valid()) {
    return ErrnoStatus(errno, "eventfd");
  }
  MG_RETURN_IF_ERROR(manager->restores_.Load());
  absl::StatusOr<std::string> drained = ReadFile(DrainMark(manager->config_));
  if (!drained.ok() && !absl::IsNotFound(drained.status())) {
    return drained.status();
  }
  manager->state_.drained = drained.ok();
  manager->state_.drain_reason = drained.ok() ? std::string(absl::StripAsciiWhitespace(*drained)) : "";
  return manager;
}

Manager::Manager(Config config, topology::Topology* topology, ServingState* serving,
                 std::unique_ptr<PromiseStore> promises)
    : config_(std::move(config)),
      topology_(topology),
      serving_(serving),
      promises_(std::move(promises)),
      pgctld_(config_.pgctld_address),
      publisher_(topology),
      postmaster_(config_.postgres, kProbeInterval, config_.response_limit),
      quorum_(config_.id),
      restores_(config_),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  state_.lifecycle_since = absl::Now();
}

Manager::~Manager() { Stop(); }

void Manager::Start() {
  PublishState();
  pooler_watch_ = topology_->WatchPoolers([this](std::vector<clustermetadata::Multipooler> poolers) {
    // Only of this shard: rules of different shards do not compare.
    std::erase_if(poolers, [this](const clustermetadata::Multipooler& pooler) {
      return topology::ShardKeyString(pooler.shard_key()) != topology::ShardKeyString(config_.shard);
    });
    {
      std::lock_guard lock(mutex_);
      state_.poolers = std::move(poolers);
    }
    Poke();
  });
  claim_watch_ = topology_->WatchClaim(config_.shard, [this](const clustermetadata::ShardInitClaim& claim) {
    {
      std::lock_guard lock(mutex_);
      state_.claim = claim;
    }
    Poke();
  });
  monitor_ = std::thread([this] { MonitorLoop(); });
}

void Manager::Publish() {
  {
    std::lock_guard lock(mutex_);
    publish_ = true;
  }
  PublishState();
}

void Manager::Stop() {
  if (stop_.exchange(true)) {
    return;
  }
  copy_cancelled_ = true;
  restores_.Stop();
  pgctld_.Abort();
  {
    std::lock_guard lock(control_mutex_);
    if (control_ != nullptr) {
      control_->Interrupt();
    }
  }
  {
    std::lock_guard lock(checkpoint_mutex_);
    if (checkpoint_connection_ != nullptr) {
      checkpoint_connection_->Interrupt();
    }
  }
  Change([](ManagerState& state) {
    state.stopping = true;
    state.leading = false;
    state.lifecycle = clustermetadata::LIFECYCLE_STOPPING;
    state.lifecycle_since = absl::Now();
  });
  Poke();
  if (monitor_.joinable()) {
    monitor_.join();
  }
  if (checkpoint_.joinable()) {
    checkpoint_.join();
  }
  PgctldStatus postgres = pgctld_.Status(kLastStatusLimit);
  bool down = postgres.state == PgState::kStopped || postgres.state == PgState::kNotInitialized;
  if (postgres.state == PgState::kRunning) {
    absl::Status stopped = pgctld_.Stop("fast", kLastStopLimit);
    down = stopped.ok();
    if (!stopped.ok()) {
      log::Warn("could not stop PostgreSQL", {{"error", stopped}});
    }
  }
  Change([&](ManagerState& state) {
    state.connected = false;
    state.stopped = true;
    state.postgres = down ? PgState::kStopped : state.postgres;
    state.lifecycle = clustermetadata::LIFECYCLE_SHUTDOWN;
    state.lifecycle_since = absl::Now();
  });
  bool published = false;
  {
    std::lock_guard lock(mutex_);
    published = publish_;
  }
  if (published) {
    absl::Status written = publisher_.WaitWritten(absl::Now() + kLastRecordLimit);
    if (!written.ok()) {
      log::Warn("the last topology record was not written", {{"error", written}});
    }
  }
  health_.Close();
  pooler_watch_.reset();
  claim_watch_.reset();
}

Manager::Action::~Action() {
  if (lock_.owns_lock()) {
    lock_.unlock();
    manager_->Poke();
  }
}

absl::StatusOr<Manager::Action> Manager::Begin(absl::Time deadline) {
  std::unique_lock<std::timed_mutex> lock(action_mutex_, std::defer_lock);
  if (!lock.try_lock_until(absl::ToChronoTime(deadline))) {
    return absl::DeadlineExceededError("another action on this pooler did not end in time");
  }
  if (stop_) {
    return absl::UnavailableError("this pooler is stopping");
  }
  return Action(this, std::move(lock));
}

void Manager::Poke() {
  std::uint64_t one = 1;
  (void)!write(wake_.get(), &one, sizeof one);
}

void Manager::PublishState() {
  std::lock_guard order(publish_mutex_);
  ManagerState state;
  bool publish = false;
  {
    std::lock_guard lock(mutex_);
    // Once seen initialised it stays so; ACTIVE means that others may copy from it.
    bool unfinished = state_.lifecycle == clustermetadata::LIFECYCLE_STARTING;
    if (state_.initialized && unfinished && state_.connected) {
      state_.lifecycle = clustermetadata::LIFECYCLE_ACTIVE;
      state_.lifecycle_since = absl::Now();
    }
    state = state_;
    publish = publish_;
  }
  serving_->Set(ServingOf(state));
  health_.Publish(BuildStatus(config_, state, promises_->Get()));
  if (publish) {
    publisher_.Want(BuildRecord(config_, state));
  }
}

ManagerState Manager::Snapshot() const {
  std::lock_guard lock(mutex_);
  return state_;
}

absl::StatusOr<Manager::ConnectionPtr> Manager::Connect(absl::Time deadline) const {
  MG_ASSIGN_OR_RETURN(std::string password, config_.postgres.password());
  pgsql::ConnectOptions options;
  options.host = config_.postgres.socket_directory.empty() ? config_.postgres.host : config_.postgres.socket_directory;
  options.port = config_.postgres.port;
  options.user = config_.postgres.superuser;
  options.password = password;
  options.database = config_.postgres.database;
  options.application_name = "multipooler";
  MG_ASSIGN_OR_RETURN(std::unique_ptr<pgsql::Connection> connection,
                      pgsql::Connection::Connect(options, std::min(deadline, absl::Now() + kConnectLimit)));
  return ConnectionPtr(std::move(connection));
}

absl::StatusOr<Manager::ConnectionPtr> Manager::Control(absl::Time deadline) {
  {
    std::lock_guard lock(control_mutex_);
    if (control_ != nullptr && control_->CheckAlive()) {
      return control_;
    }
    control_ = nullptr;
  }
  MG_ASSIGN_OR_RETURN(ConnectionPtr connection, Connect(deadline));
  std::lock_guard lock(control_mutex_);
  if (stop_) {
    return absl::UnavailableError("this pooler is stopping");
  }
  control_ = connection;
  return connection;
}

void Manager::DropControl() {
  std::lock_guard lock(control_mutex_);
  control_ = nullptr;
}

absl::StatusOr<PostgresView> Manager::LookNow(pgsql::Connection& connection, absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(PostgresView view, ReadView(connection, std::min(deadline, absl::Now() + kLookLimit)));
  LeaveOutReplayed(&view);
  SetView(view);
  return view;
}

// The rules in an archive may be those of a history that a restore has ended: until this standby streams, and so has no
// log but that of a leader, it has none.
void Manager::LeaveOutReplayed(PostgresView* view) const {
  if (view->in_recovery && view->receiver_status != "streaming" && Exists(ReplaySentinel(config_))) {
    view->has_rule = false;
    view->rule.Clear();
  }
}

void Manager::SetView(const PostgresView& view) {
  std::lock_guard lock(mutex_);
  ++epoch_;
  PostgresView next = view;
  ComeAfter(state_.view, &next);
  state_.view = std::move(next);
  state_.connected = true;
  state_.postgres = PgState::kRunning;
  state_.initialized |= view.has_rule;
}

absl::StatusOr<clustermetadata::ConsensusStatus> Manager::ConsensusStatusNow(absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(ConnectionPtr connection, Control(deadline));
  MG_RETURN_IF_ERROR(LookNow(*connection, deadline).status());
  PublishState();
  return BuildConsensusStatus(config_, Snapshot(), promises_->Get());
}

multipoolermanagerdata::StatusResponse Manager::Status() {
  // A fresh look on a kept connection of its own, so that neither an action nor the monitor is in the way; when
  // PostgreSQL does not answer now, it is not ready, whatever was known last.
  ManagerState state = Snapshot();
  absl::Time deadline = absl::Now() + kStatusLimit;
  std::unique_lock<std::timed_mutex> lock(status_mutex_, absl::ToChronoTime(deadline));
  if (state.connected && !lock.owns_lock()) {
    state.connected = false;
  } else if (state.connected) {
    if (status_connection_ == nullptr || !status_connection_->CheckAlive()) {
      absl::StatusOr<ConnectionPtr> connection = Connect(deadline);
      status_connection_ = connection.ok() ? *connection : nullptr;
    }
    absl::StatusOr<PostgresView> view = status_connection_ != nullptr
                                            ? ReadView(*status_connection_, deadline)
                                            : absl::StatusOr<PostgresView>(absl::UnavailableError("no connection"));
    state = Snapshot();
    if (view.ok()) {
      LeaveOutReplayed(&*view);
      ComeAfter(state.view, &*view);
      state.view = *std::move(view);
    } else {
      state.connected = false;
    }
  }
  return BuildStatus(config_, state, promises_->Get());
}

void Manager::SetRestartsEnabled(bool enabled) {
  log::Info(enabled ? "restarts of PostgreSQL enabled" : "restarts of PostgreSQL disabled");
  Change([&](ManagerState& state) { state.restarts_enabled = enabled; });
  Poke();
}

}  // namespace mg::multipooler
