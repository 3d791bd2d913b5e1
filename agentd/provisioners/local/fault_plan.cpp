#include "agentd/provisioners/local/fault_plan.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "agentd/provisioners/local/faults/disk_fill.h"
#include "agentd/provisioners/local/watchman.h"
#include "agentd/store/component_name.h"
#include "common/fs/fs.h"
#include "common/process/process_id.h"
#include "common/rpc/proto_time.h"
#include "common/shim_protocol/shim.h"
#include "common/status/status.h"
#include "common/text/suggest.h"

namespace mg::local {
namespace {

using multigres::state::v1::FaultPort;
using multigres::state::v1::FaultProcess;
using multigres::state::v1::FaultRecord;
using Specs = std::vector<const v1::ComponentSpec*>;

constexpr absl::Duration kDefaultDuration = absl::Seconds(10);
constexpr absl::Duration kLongestDuration = absl::Minutes(10);
constexpr char kFillFile[] = "multigres-chaos.fill";

absl::Status Usage(const std::string& message, const std::string& hint = "") {
  return MakeError(absl::StatusCode::kInvalidArgument, message, {.reason = "USAGE", .hint = hint});
}

absl::StatusOr<absl::Duration> DurationOf(const v1::InjectFaultRequest& request) {
  if (!request.has_duration()) {
    return kDefaultDuration;
  }
  absl::Duration duration = rpc::ToDuration(request.duration());
  if (duration <= absl::ZeroDuration() || duration > kLongestDuration) {
    return Usage(absl::StrCat("a fault lasts at most ", absl::FormatDuration(kLongestDuration), ", not ",
                              absl::FormatDuration(duration)));
  }
  return duration;
}

absl::StatusOr<FaultProcess> ProcessOf(const Model& model, const v1::ComponentSpec& spec) {
  const std::string run_dir = WatchedOf(model, spec.name()).run_dir;
  shim::ShimState state = shim::ReadShimState(run_dir);
  if (!state.child_alive || !state.child) {
    return MakeError(absl::StatusCode::kFailedPrecondition, absl::StrCat(spec.name(), " does not run"),
                     {.reason = "COMPONENT_STOPPED",
                      .hint = absl::StrCat("'multigres why ", spec.name(), "'"),
                      .subject = spec.name()});
  }
  FaultProcess process;
  process.set_component(spec.name());
  process.set_pid(state.child->pid);
  process.set_start_ticks(state.child->start_ticks);
  process.set_run_dir(run_dir);
  return process;
}

FaultPort PortNamed(const v1::ComponentSpec& spec, int number) {
  FaultPort port;
  port.set_component(spec.name());
  port.set_port(number);
  return port;
}

/// Ports by which a component is reached from outside of its machine for the cluster's own sake. Others are for clients
/// of the database, for health checks of the machine's own supervisor, or within a machine.
bool LeavesTheMachine(const v1::ComponentSpec& spec, const std::string& port) {
  switch (spec.kind()) {
    case v1::COMPONENT_KIND_ETCD:
      return port == "client" || port == "peer";
    case v1::COMPONENT_KIND_POSTGRES:
      return port == "postgres";
    case v1::COMPONENT_KIND_MULTIADMIN:
    case v1::COMPONENT_KIND_MULTIORCH:
    case v1::COMPONENT_KIND_MULTIPOOLER:
      return port == "grpc" || port == "pooler-pg";
    case v1::COMPONENT_KIND_MULTIGATEWAY:
      return port == "grpc";
    default:
      return false;
  }
}

/// Fills in both sides of a partition.
absl::Status AddSides(const Model& model, const Specs& targets, FaultRecord* record) {
  auto is_target = [&](const v1::ComponentSpec& spec) {
    return std::find(targets.begin(), targets.end(), &spec) != targets.end();
  };
  if (targets.size() == 1 && targets[0]->kind() == v1::COMPONENT_KIND_PGCTLD) {
    return Usage(absl::StrCat(targets[0]->name(), " talks to nobody outside of its machine"),
                 "partition its cell, or its postgres");
  }
  const std::string& cell = targets[0]->cell();
  for (const v1::ComponentSpec& spec : model.specs) {
    const bool same_side = is_target(spec) || (!cell.empty() && spec.cell() == cell);
    for (const v1::Port& port : spec.ports()) {
      if (!LeavesTheMachine(spec, port.name())) {
        *record->add_open_ports() = PortNamed(spec, port.number());
      }
      if (same_side) {
        *record->add_same_side_ports() = PortNamed(spec, port.number());
      }
    }
    absl::StatusOr<FaultProcess> process = is_target(spec) ? absl::NotFoundError("") : ProcessOf(model, spec);
    if (process.ok()) {  // what does not run needs no cut
      *(same_side ? record->add_same_side() : record->add_other_side()) = *std::move(process);
    }
  }
  return absl::OkStatus();
}

absl::Status AddFill(const Model& model, const Specs& targets, std::int64_t most_bytes, FaultRecord* record) {
  if (targets.size() != 1) {
    return Usage("one disk is filled at a time: name a component");
  }
  const v1::ComponentSpec& spec = *targets[0];
  std::string data;
  std::string beside;
  if (spec.kind() == v1::COMPONENT_KIND_ETCD) {
    data = beside = model.input.paths.EtcdData();
  }
  if (spec.kind() == v1::COMPONENT_KIND_POSTGRES || spec.kind() == v1::COMPONENT_KIND_MULTIPOOLER ||
      spec.kind() == v1::COMPONENT_KIND_PGCTLD) {
    beside = PoolerDirOf(model.input, {.cell = spec.cell(), .database = spec.database()});
    data = store::PostgresData(beside);
  }
  if (data.empty()) {
    return Usage(absl::StrCat(spec.name(), " keeps no data"), "name etcd or a postgres");
  }
  MG_ASSIGN_OR_RETURN(FileSystemFacts facts, FactsOf(data));
  MG_RETURN_IF_ERROR(MayFill(facts, static_cast<std::uint64_t>(most_bytes)));
  // Beside the data directory where that is the same file system: what copies the directory does not take it along.
  MG_ASSIGN_OR_RETURN(FileSystemFacts facts_beside, FactsOf(beside));
  record->set_fill_file(JoinPath(facts_beside.mount_point == facts.mount_point ? beside : data, kFillFile));
  record->set_fill_bytes(most_bytes);
  return absl::OkStatus();
}

void AddProbe(const Model& model, FaultRecord* record) {
  record->set_user(model.input.config.postgres_user);
  record->set_password_file(
      store::PasswordFile(PoolerDirOf(model.input, {.cell = model.input.config.cells.front().name})));
  for (const v1::ComponentSpec& spec : model.specs) {
    if (spec.kind() == v1::COMPONENT_KIND_MULTIGATEWAY && ProcessOf(model, spec).ok()) {
      *record->add_gateways() = PortNamed(spec, PortOf(spec, "postgres"));
    }
  }
}

}  // namespace

std::string FaultWord(v1::FaultKind kind) {
  switch (kind) {
    case v1::FAULT_KIND_KILL:
      return "kill";
    case v1::FAULT_KIND_FREEZE:
      return "freeze";
    case v1::FAULT_KIND_PARTITION:
      return "partition";
    case v1::FAULT_KIND_SLOW:
      return "slow";
    case v1::FAULT_KIND_FILL_DISK:
      return "fill-disk";
    default:
      return "";
  }
}

absl::StatusOr<Specs> FaultTargets(const Model& model, const std::string& target, const std::string& primary) {
  const bool leader = target == "primary" || absl::StartsWith(target, "primary/");
  if (leader && primary.empty()) {
    return MakeError(absl::StatusCode::kFailedPrecondition,
                     absl::StrCat("there is no primary now", target == "primary" ? "" : " of ",
                                  target == "primary" ? "" : target.substr(target.find('/') + 1)),
                     {.reason = "CLUSTER_NOT_HEALTHY", .hint = "see 'multigres status'"});
  }
  const std::string name = leader ? primary : target;
  Specs targets;
  std::set<std::string> cells;
  std::vector<std::string> known = {"primary"};
  for (const v1::ComponentSpec& spec : model.specs) {
    known.push_back(spec.name());
    if (!spec.cell().empty()) {
      cells.insert(spec.cell());
    }
    if (spec.name() == name || (!spec.cell().empty() && spec.cell() == name)) {
      targets.push_back(&spec);
    }
  }
  if (targets.empty()) {
    known.insert(known.end(), cells.begin(), cells.end());
    return MakeError(absl::StatusCode::kNotFound,
                     absl::StrCat("cluster ", model.place.name, " has no component or cell ", name),
                     {.reason = "COMPONENT_NOT_FOUND",
                      .hint = text::DidYouMean(name, known,
                                               absl::StrCat("'multigres status' lists the components; cells are ",
                                                            absl::StrJoin(cells, ", "), "; 'primary' is who leads")),
                      .subject = name});
  }
  return targets;
}

absl::StatusOr<FaultRecord> PlanFault(const Model& model, const v1::InjectFaultRequest& request, const Specs& targets) {
  FaultRecord record;
  record.set_version(1);
  record.set_kind(FaultWord(request.kind()));
  record.set_target(request.target());
  record.set_boot_id(BootId());
  record.mutable_written_at()->set_seconds(absl::ToUnixSeconds(absl::Now()));
  if (record.kind().empty()) {
    return Usage("no fault is named");
  }
  if (request.kind() == v1::FAULT_KIND_KILL && request.has_duration()) {
    return Usage("a kill takes no time: it has no duration");
  }
  if (request.most_bytes() < 0 || (request.most_bytes() > 0 && request.kind() != v1::FAULT_KIND_FILL_DISK)) {
    return Usage("a number of bytes belongs to fill-disk, and is not negative");
  }
  MG_ASSIGN_OR_RETURN(absl::Duration duration, DurationOf(request));
  record.set_duration_ms(request.kind() == v1::FAULT_KIND_KILL ? 0 : absl::ToInt64Milliseconds(duration));
  for (const v1::ComponentSpec* spec : targets) {
    absl::StatusOr<FaultProcess> process = ProcessOf(model, *spec);
    if (process.ok()) {
      *record.add_targets() = *std::move(process);
    } else if (targets.size() == 1) {
      return process.status();
    }
  }
  if (record.targets().empty()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, absl::StrCat("nothing runs in ", request.target()),
                     {.reason = "COMPONENT_STOPPED", .hint = "'multigres up'"});
  }
  if (request.kind() == v1::FAULT_KIND_PARTITION) {
    MG_RETURN_IF_ERROR(AddSides(model, targets, &record));
  }
  if (request.kind() == v1::FAULT_KIND_FILL_DISK) {
    MG_RETURN_IF_ERROR(AddFill(model, targets, request.most_bytes(), &record));
  }
  for (const v1::ComponentSpec& spec : model.specs) {
    if (spec.kind() == v1::COMPONENT_KIND_MULTIORCH) {
      *record.add_orchs() = PortNamed(spec, PortOf(spec, "grpc"));
    }
  }
  // The one that is hurt; of a cell, or what all databases share, the first one's clients are looked at.
  const std::string& database = targets.front()->database();
  const bool one = std::all_of(targets.begin(), targets.end(),
                               [&](const v1::ComponentSpec* spec) { return spec->database() == database; });
  record.set_database(one && !database.empty() ? database : model.input.config.database);
  if (!request.no_probe()) {
    AddProbe(model, &record);
  }
  return record;
}

}  // namespace mg::local
