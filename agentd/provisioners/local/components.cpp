#include "agentd/provisioners/local/components.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "agentd/provisioners/local/machine.h"
#include "agentd/provisioners/local/probes.h"
#include "agentd/store/component_name.h"
#include "common/fs/fs.h"
#include "common/logs/log_files.h"
#include "common/process/process_id.h"
#include "common/status/status.h"

namespace mg::local {

namespace {

/// A server that is about to listen is asked often; later the pauses grow.
constexpr absl::Duration kFirstPause = absl::Milliseconds(3);
constexpr absl::Duration kLongestPause = absl::Milliseconds(20);
constexpr absl::Duration kOneProbe = absl::Seconds(2);
/// What already runs and is not ready after this is started anew.
constexpr absl::Duration kPatienceWithRunning = absl::Seconds(8);
/// A PostgreSQL that ended this often while we waited will not come.
constexpr int kMaxPostgresEnds = 3;
constexpr int kShownLines = 10;
/// Bytes; with less left, whatever failed most likely failed for want of room.
constexpr std::uint64_t kFullDisk = 4 << 20;
/// Less than this left makes an earlier word of a full disk credible.
constexpr std::uint64_t kLittleDisk = 1 << 30;
constexpr int kLinesOfTrace = 60;
/// Bytes; less than an instance of PostgreSQL needs.
constexpr std::uint64_t kScarceDisk = 32 << 20;
constexpr absl::Duration kPatienceWithFullDisk = absl::Seconds(5);

std::string ReadyDetail(const v1::ComponentSpec& spec) {
  for (const char* name : {"postgres", "http", "client"}) {
    if (int port = PortOf(spec, name); port != 0) {
      return absl::StrCat("ready  127.0.0.1:", port);
    }
  }
  return "ready";
}

/// What failed may have removed its half-made files already: then its words are what is left of a full disk.
bool TellsOfFullDisk(const std::vector<std::string>& lines) {
  return std::any_of(lines.begin(), lines.end(), [](const std::string& line) {
    return absl::StrContains(absl::AsciiStrToLower(line), "no space left on device");
  });
}

std::vector<std::string> LinesOf(const Model& model, const std::string& component, int count) {
  absl::StatusOr<store::ComponentName> name = store::ComponentName::Parse(component);
  return name.ok() ? logs::LastLines({.name = component, .directory = model.input.paths.LogDir(*name)}, count)
                   : std::vector<std::string>();
}

/// The disk is full, or was a moment ago: a panic's long trace stands behind the words then.
bool DiskIsFull(const Model& model, const std::string& component, const std::vector<std::string>& shown) {
  std::uint64_t left = FreeDisk(model.place.root_dir);
  return left < kFullDisk || TellsOfFullDisk(shown) ||
         (left < kLittleDisk && TellsOfFullDisk(LinesOf(model, component, kLinesOfTrace)));
}

}  // namespace

supervisor::Watched Components::WhoIs(const std::string& component) const { return WatchedOf(model_, component); }

std::vector<std::string> Components::LastLinesOf(const std::string& component) const {
  return LinesOf(model_, component, kShownLines);
}

absl::Status Components::Blame(const std::string& component, absl::StatusCode code, const std::string& message) const {
  ErrorDetail detail{.reason = "COMPONENT_FAILED",
                     .hint = absl::StrCat("see 'multigres logs ", component, "'; 'multigres up' goes on from here"),
                     .subject = component,
                     .log_tail = LastLinesOf(component)};
  absl::StatusOr<store::ComponentName> name = store::ComponentName::Parse(component);
  if (name.ok() && name->kind == store::kPostgres && detail.log_tail.empty()) {
    // A PostgreSQL that never ran has nothing to say: whoever should have started it has.
    detail.log_tail = LastLinesOf(store::ComponentName{store::kPgctld, name->cell, name->database}.ToString());
    detail.hint = absl::StrCat("see 'multigres logs pgctld/", name->Place(), " multipooler/", name->Place(),
                               "'; 'multigres up' goes on from here");
  }
  if (DiskIsFull(model_, component, detail.log_tail)) {
    detail.reason = "DISK_FULL";
    detail.hint = absl::StrCat("the disk that holds ", model_.place.root_dir,
                               " is full: make room; 'multigres up' goes on from here");
  }
  return MakeError(code, absl::StrCat(component, " ", message), std::move(detail));
}

absl::StatusOr<shim::LaunchSpec> LaunchSpecOf(const Model& model, const v1::ComponentSpec& spec) {
  MG_ASSIGN_OR_RETURN(store::ComponentName name, store::ComponentName::Parse(spec.name()));
  shim::LaunchSpec launch;
  launch.name = spec.name();
  launch.run_dir = model.input.paths.RunDir(name);
  launch.log_dir = model.input.paths.LogDir(name);
  launch.log_max_bytes = static_cast<std::uint64_t>(model.input.config.log_file_mb) << 20;
  launch.log_max_files = model.input.config.log_files;
  launch.argv.assign(spec.argv().begin(), spec.argv().end());
  for (const v1::EnvironmentVariable& variable : spec.environment()) {
    launch.environment.push_back(absl::StrCat(variable.name(), "=", variable.value()));
  }
  launch.working_directory = model.place.root_dir;
  launch.run_as = spec.run_as();
  launch.stop = LadderOf(spec);
  return launch;
}

absl::Status Components::Launch(const v1::ComponentSpec& spec) {
  MG_ASSIGN_OR_RETURN(shim::LaunchSpec launch, LaunchSpecOf(model_, spec));
  watchman_->TakeCare(model_, spec, [launch] { return launch; });
  MG_ASSIGN_OR_RETURN(launch.generation, model_.store->NextGeneration(spec.name()));
  absl::StatusOr<shim::ShimState> state = supervisor_->Start(WhoIs(spec.name()), launch);
  return state.ok() ? absl::OkStatus()
                    : Blame(spec.name(), state.status().code(),
                            absl::StrCat("could not be started: ", std::string(state.status().message())));
}

absl::Status Components::WaitReady(const v1::ComponentSpec& spec, absl::Time limit, const Halt& halt) {
  std::string run_dir = WhoIs(spec.name()).run_dir;
  absl::Duration pause = kFirstPause;
  for (;;) {
    absl::Time now = absl::Now();
    absl::Status ready = ProbeStart(spec, rpc_, std::min(limit, now + kOneProbe));
    if (ready.ok() || halt.is_set()) {
      return halt.is_set() ? absl::CancelledError("called off") : absl::OkStatus();
    }
    if (now >= limit) {
      return Blame(spec.name(), absl::StatusCode::kDeadlineExceeded,
                   absl::StrCat("did not become ready in time: ", std::string(ready.message())));
    }
    if (supervisor_->WaitForEnd(run_dir, std::min(limit, now + pause)) && !halt.is_set()) {
      shim::ShimState state = shim::ReadShimState(run_dir);
      if (!state.child_alive) {
        return Blame(spec.name(), absl::StatusCode::kInternal,
                     state.exit ? supervisor::DescribeExit(*state.exit) : "ended together with its shim");
      }
      halt.WaitUntil(std::min(limit, now + pause));  // it runs, but its shim does not tell us anything
    }
    pause = std::min(pause * 2, kLongestPause);
  }
}

absl::Status Components::CheckAlive() const {
  std::lock_guard lock(mutex_);
  for (const std::string& name : ready_) {
    supervisor::View view = supervisor_->Look(WhoIs(name).run_dir);
    // What waits for its next start is being seen to.
    if (view.state == supervisor::State::kFailed || view.state == supervisor::State::kCrashLooping) {
      return Blame(name, absl::StatusCode::kInternal, view.reason);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<StepOutcome> Components::Ensure(const v1::ComponentSpec& spec, absl::Time limit, const Halt& halt) {
  absl::StatusOr<StepOutcome> outcome = MakeReady(spec, limit, halt);
  if (outcome.ok()) {
    std::lock_guard lock(mutex_);
    ready_.insert(spec.name());
  } else {
    supervisor_->KeepWanted(WhoIs(spec.name()));
  }
  return outcome;
}

absl::StatusOr<StepOutcome> Components::MakeReady(const v1::ComponentSpec& spec, absl::Time limit, const Halt& halt) {
  supervisor::Watched who = WhoIs(spec.name());
  supervisor::Supervisor::Attendance attendance(supervisor_, who.run_dir);
  shim::ShimState state = supervisor_->Adopt(who, /*announce=*/false);
  bool changed = model_.to_restart.count(spec.name()) != 0;
  // What a signal has stopped does not become ready by waiting.
  if (state.child_alive && !changed && !IsStopped(*state.child)) {
    watchman_->TakeCare(model_, spec);
    absl::Status ready = ProbeStart(spec, rpc_, std::min(limit, absl::Now() + kOneProbe));
    if (ready.ok()) {
      return StepOutcome{.skipped = true, .detail = ReadyDetail(spec)};
    }
    ready = WaitReady(spec, std::min(limit, absl::Now() + kPatienceWithRunning), halt);
    if (ready.ok() || halt.is_set() || absl::Now() >= limit) {
      return ready.ok() ? absl::StatusOr<StepOutcome>(StepOutcome{.detail = ReadyDetail(spec)}) : ready;
    }
  }
  // Also for one whose shim is gone: what is left of it must end before there is a second one.
  MG_RETURN_IF_ERROR(supervisor_->Stop(who, LadderOf(spec)));
  MG_RETURN_IF_ERROR(Launch(spec));
  MG_RETURN_IF_ERROR(WaitReady(spec, limit, halt));
  return StepOutcome{.detail = ReadyDetail(spec)};
}

absl::StatusOr<StepOutcome> Components::EnsurePostgres(const v1::ComponentSpec& spec, absl::Time limit,
                                                       const Halt& halt) {
  supervisor::Watched who = WhoIs(spec.name());
  watchman_->TakeCare(model_, spec);
  absl::Duration pause = kFirstPause;
  std::optional<shim::ExitRecord> last = shim::ReadShimState(who.run_dir).exit;
  int ends = 0;
  absl::Time full_since = absl::InfiniteFuture();
  for (bool first = true;; first = false) {
    absl::Time now = absl::Now();
    absl::Status ready = ProbeStart(spec, rpc_, std::min(limit, now + kOneProbe));
    if (ready.ok()) {
      supervisor_->Adopt(who, /*announce=*/!first);
      return StepOutcome{.skipped = first, .detail = ReadyDetail(spec)};
    }
    if (now >= limit) {
      return Blame(spec.name(), absl::StatusCode::kDeadlineExceeded,
                   absl::StrCat("does not accept connections: ", std::string(ready.message())));
    }
    shim::ShimState state = shim::ReadShimState(who.run_dir);
    if (state.exit && (!last || state.exit->generation != last->generation)) {
      last = state.exit;
      bool failed = last->exit_code != 0 || last->signal != 0;
      if (failed && ++ends >= kMaxPostgresEnds) {
        return Blame(spec.name(), absl::StatusCode::kInternal,
                     absl::StrCat(supervisor::DescribeExit(*last), ", ", ends, " times"));
      }
    }
    // initdb and pg_basebackup are tried again by the pooler for ever; on a full disk that leads nowhere.
    full_since = FreeDisk(model_.place.root_dir) < kScarceDisk ? std::min(full_since, now) : absl::InfiniteFuture();
    if (now - full_since > kPatienceWithFullDisk) {
      return Blame(spec.name(), absl::StatusCode::kResourceExhausted,
                   absl::StrCat("does not accept connections: ", std::string(ready.message())));
    }
    MG_RETURN_IF_ERROR(CheckAlive());
    if (halt.WaitUntil(std::min(limit, now + pause))) {
      return absl::CancelledError("called off");
    }
    pause = std::min(pause * 2, kLongestPause);
  }
}

}  // namespace mg::local
