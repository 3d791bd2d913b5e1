#include "cli/commands/pooler_status.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/commands/admin_call.h"
#include "cli/commands/admin_reads.h"
#include "cli/output/relative.h"
#include "common/text/text.h"
#include "common/topology/drained.h"
#include "common/topology/restarts_off.h"
#include "common/topology/topology.h"
#include "multiadminservice.grpc.pb.h"
#include "multipoolermanagerdata.pb.h"

namespace mg::cli {
namespace {

namespace data = multipoolermanagerdata;
namespace v1 = multigres::cli::v1;
using Admin = multiadmin::MultiadminService;
using clustermetadata::Multipooler;

/// What a page says, each with its label.
using Lines = std::vector<std::pair<std::string, std::string>>;

std::string Text(const Lines& lines) {
  size_t widest = 0;
  for (const auto& [label, text] : lines) {
    widest = std::max(widest, label.size());
  }
  std::string page;
  for (const auto& [label, text] : lines) {
    absl::StrAppend(&page, label);
    if (!text.empty()) {
      absl::StrAppend(&page, std::string(widest - label.size() + 2, ' '), text);
    }
    absl::StrAppend(&page, "\n");
  }
  return page;
}

/// SYNCHRONOUS_COMMIT_REMOTE_WRITE is remote_write.
std::string Word(const std::string& name, size_t prefix) { return absl::AsciiStrToLower(name.substr(prefix)); }

std::string LagText(const v1::PoolerOutput& pooler) {
  std::string text = pooler.has_lag_bytes() ? text::HumanBytes(static_cast<std::uint64_t>(pooler.lag_bytes())) : "";
  if (pooler.has_lag_seconds()) {
    absl::StrAppend(&text, text.empty() ? "" : ", ", absl::StrFormat("%.1fs", pooler.lag_seconds()));
  }
  return text;
}

std::string DurationText(const google::protobuf::Duration& duration) {
  return text::HumanDuration(absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos()));
}

/// PostgreSQL's own form of a moment, such as 2026-01-05 09:30:12.345+00, for people; as it is where it is another one.
std::string MomentText(const std::string& moment) {
  absl::Time time;
  if (moment.empty()) {
    return "none";
  }
  return absl::ParseTime("%Y-%m-%d %H:%M:%E*S%Ez", moment, &time, nullptr) ? Relative(time, absl::Now()) : moment;
}

std::string PostgresText(const data::Status& status) {
  const std::string does = Word(data::PostgresStatus_Name(status.postgres_status()), sizeof("POSTGRES_STATUS"));
  return absl::StrCat(status.postgres_ready()     ? "answers"
                      : status.postgres_running() ? "runs and does not answer"
                                                  : "does not run",
                      status.postgres_status() == data::POSTGRES_STATUS_UNKNOWN ? "" : absl::StrCat(", ", does));
}

/// The names that commits may wait for but the server's own: a whole cohort is told to each of its members.
std::vector<std::string> OthersNamed(const data::SynchronousReplicationConfiguration& sync, const Multipooler& self) {
  std::vector<std::string> others(sync.standby_application_names().begin(), sync.standby_application_names().end());
  std::erase(others, topology::ClusterIdString(self.id()));
  return others;
}

/// What a commit waits for beside its own disk.
std::string WaitText(const data::SynchronousReplicationConfiguration& sync, size_t others) {
  if (sync.synchronous_method() == data::SYNCHRONOUS_METHOD_UNSPECIFIED) {
    return "nobody";
  }
  return absl::StrCat(Word(data::SynchronousMethod_Name(sync.synchronous_method()), sizeof("SYNCHRONOUS_METHOD")), " ",
                      sync.num_sync(), " of ", others);
}

/// Those that commits may wait for, and whoever follows beside them.
void AddStandbys(const data::PrimaryStatus& primary, const std::vector<std::string>& named, const PoolerNames& names,
                 Lines* lines) {
  std::set<std::string> following;
  for (const clustermetadata::ID& id : primary.connected_followers()) {
    following.insert(topology::ClusterIdString(id));
  }
  std::vector<std::pair<std::string, std::string>> rows;  // the application's name, and how it is
  for (const std::string& application : named) {
    rows.emplace_back(application, following.erase(application) > 0 ? "streaming" : "not streaming");
  }
  for (const std::string& application : following) {
    rows.emplace_back(application, "streaming, not waited for");
  }
  Table table({"", "", ""});
  for (const auto& [application, state] : rows) {
    const absl::StatusOr<clustermetadata::ID> id = topology::ParseClusterId(application);
    table.Add({id.ok() ? names.Of(*id) : "-", application, state});
  }
  // Without the empty header.
  const std::vector<std::string> rendered = absl::StrSplit(table.Render(0, false), '\n', absl::SkipEmpty());
  for (const std::string& row : rendered) {
    lines->emplace_back("standby", row);
  }
  if (rows.empty()) {
    lines->emplace_back("standby", "none");
  }
}

void AddPrimary(const data::PrimaryStatus& primary, const Multipooler& self, const PoolerNames& names, Lines* lines) {
  const auto& sync = primary.sync_replication_config();
  const std::vector<std::string> others = OthersNamed(sync, self);
  if (primary.has_sync_replication_config()) {
    lines->emplace_back("synchronous_commit", Word(data::SynchronousCommitLevel_Name(sync.synchronous_commit()),
                                                   sizeof("SYNCHRONOUS_COMMIT")));
    lines->emplace_back("waits for", WaitText(sync, others.size()));
  }
  lines->emplace_back("WAL senders",
                      absl::StrCat(primary.connected_followers_size(), " of ", primary.max_wal_senders(), " used"));
  AddStandbys(primary, others, names, lines);
}

void AddStandby(const data::StandbyReplicationStatus& standby, const std::string& lag, Lines* lines) {
  const data::PrimaryConnInfo& primary = standby.primary_conn_info();
  lines->emplace_back("follows", primary.host().empty() ? "nobody" : absl::StrCat(primary.host(), ":", primary.port()));
  if (!primary.host().empty()) {
    lines->emplace_back("as user", primary.user());
    lines->emplace_back("as application", primary.application_name());
    lines->emplace_back("primary_conninfo", primary.raw());
  }
  lines->emplace_back("link", standby.wal_receiver_status().empty() ? "none" : standby.wal_receiver_status());
  lines->emplace_back("last message", Relative(standby.last_msg_receive_time(), "none"));
  if (standby.has_wal_receiver_status_interval()) {
    lines->emplace_back("status interval", DurationText(standby.wal_receiver_status_interval()));
  }
  if (standby.has_wal_receiver_timeout()) {
    lines->emplace_back("receiver timeout", DurationText(standby.wal_receiver_timeout()));
  }
  lines->emplace_back("received", standby.last_receive_lsn());
  lines->emplace_back("replayed", standby.last_replay_lsn());
  const std::string& pause = standby.wal_replay_pause_state();
  lines->emplace_back("replay", standby.is_wal_replay_paused()           ? "paused"
                                : pause.empty() || pause == "not paused" ? "runs"
                                                                         : pause);
  lines->emplace_back("lag", lag.empty() ? "not known" : lag);
  lines->emplace_back("last commit", MomentText(standby.last_xact_replay_timestamp()));
}

/// What both pages begin with.
Lines Beginning(const std::string& name, const Multipooler& record, const data::Status& status) {
  Lines lines = {{"name", name},
                 {"type", Word(clustermetadata::PoolerType_Name(status.pooler_type()), 0)},
                 {"role", status.has_primary_status()       ? "primary"
                          : status.has_replication_status() ? "standby"
                                                            : "unknown"}};
  if (status.pooler_type() == clustermetadata::DRAINED) {
    lines.emplace_back("service", "drained: no reads, and leads only where nobody else can");
  }
  if (topology::RestartsAreOff(record)) {
    lines.emplace_back("restarts", "off: it is not started again when it ends");
  }
  lines.emplace_back("postgres", PostgresText(status));
  lines.emplace_back("position", status.wal_position());
  return lines;
}

void AddReplication(const data::Status& status, const Multipooler& self, const PoolerNames& names,
                    const std::string& lag, Lines* lines) {
  if (status.has_primary_status()) {
    AddPrimary(status.primary_status(), self, names, lines);
  } else if (status.has_replication_status()) {
    AddStandby(status.replication_status(), lag, lines);
  }
}

std::string Rendered(const Context& context, const Table& table) {
  return table.Render(context.terminal().out_is_tty ? context.terminal().width : 0, context.terminal().out_colour);
}

int ShowReplication(Context& context, const std::vector<Multipooler>& poolers) {
  absl::StatusOr<Multipooler> pooler = FindPooler(context, poolers, context.args().positionals[0]);
  if (!pooler.ok()) {
    return context.Fail(pooler.status());
  }
  absl::StatusOr<v1::ShardOutput> shard = ReadPooler(context, *pooler, poolers);
  if (!shard.ok()) {
    return context.Fail(OfPooler(context, *pooler, shard.status()));
  }
  v1::ShardListOutput output;
  *output.add_shards() = *std::move(shard);
  return context.Emit(output, [&] {
    const v1::PoolerOutput& one = output.shards(0).poolers(0);
    Lines lines = Beginning(one.name(), *pooler, one.status());
    lines.emplace_back("rule", one.rule());
    AddReplication(one.status(), *pooler, PoolerNames(context, poolers), LagText(one), &lines);
    return Text(lines);
  });
}

}  // namespace

absl::StatusOr<Multipooler> NamedPooler(Context& context) {
  MG_ASSIGN_OR_RETURN(std::vector<Multipooler> all, ReadPoolers(context, "", "", nullptr));
  return FindPooler(context, all, context.args().positionals.back());
}

absl::Status OfPooler(Context& context, const Multipooler& pooler, const absl::Status& status) {
  const ErrorDetail detail = DetailOf(status).value_or(ErrorDetail{});
  if (detail.reason != "POOLER_SILENT") {
    return status;
  }
  const std::string name = PoolerNames(context, {pooler}).Of(pooler);
  return MakeError(status.code(), absl::StrCat(name, " does not answer"),
                   {.reason = detail.reason, .hint = absl::StrCat("multigres why ", name), .subject = name});
}

int RunPoolerStatus(Context& context) {
  absl::StatusOr<std::vector<Multipooler>> all = ReadPoolers(context, "", "", nullptr);
  absl::StatusOr<Multipooler> pooler =
      all.ok() ? FindPooler(context, *all, context.args().positionals[0]) : all.status();
  if (!pooler.ok()) {
    return context.Fail(pooler.status());
  }
  multiadmin::GetPoolerStatusRequest request;
  *request.mutable_pooler_id() = pooler->id();
  multiadmin::GetPoolerStatusResponse response;
  absl::Status status = CallAdmin<Admin>(context, &Admin::Stub::GetPoolerStatus, request, &response);
  if (!status.ok()) {
    return context.Fail(OfPooler(context, *pooler, status));
  }
  HideSecrets(response.mutable_status());
  return context.Emit(response, [&] {
    const PoolerNames names(context, *all);
    Lines lines = Beginning(names.Of(*pooler), *pooler, response.status());
    const auto& consensus = response.consensus_status();
    lines.emplace_back("rule", RuleText(consensus.current_position().position().decision().rule_number()));
    lines.emplace_back("promised",
                       consensus.term_revocation().revoked_below_term() == 0
                           ? "nothing"
                           : absl::StrCat("no leader below term ", consensus.term_revocation().revoked_below_term()));
    v1::PoolerOutput lag;
    if (const auto& standby = response.status().replication_status(); standby.has_lag()) {
      lag.set_lag_seconds(static_cast<double>(standby.lag().seconds()) + standby.lag().nanos() * 1e-9);
    }
    AddReplication(response.status(), *pooler, names, LagText(lag), &lines);
    return Text(lines);
  });
}

Table PoolerTable(const v1::ShardOutput& shard) {
  Table table({"NAME", "ROLE", "LSN", "REPLAYED", "LAG", "LINK", "RULE", "SERVING", "PROBLEM"}, 8);
  for (const v1::PoolerOutput& pooler : shard.poolers()) {
    table.Add({pooler.name(), pooler.role(), pooler.lsn(), pooler.replayed(), LagText(pooler), pooler.link(),
               pooler.rule(), pooler.serving(), pooler.error()});
  }
  return table;
}

int RunPoolerReplication(Context& context) {
  absl::StatusOr<std::vector<Multipooler>> poolers = FilteredPoolers(context);
  if (!poolers.ok()) {
    return context.Fail(poolers.status());
  }
  if (!context.args().positionals.empty()) {
    return ShowReplication(context, *poolers);
  }
  v1::ShardListOutput output;
  for (v1::ShardOutput& shard : ReadShards(context, *poolers, /*whole=*/true)) {
    *output.add_shards() = std::move(shard);
  }
  return context.Emit(output, [&] {
    std::string text;
    for (const v1::ShardOutput& shard : output.shards()) {
      absl::StrAppend(&text, text.empty() ? "" : "\n", shard.name(), "\n", Rendered(context, PoolerTable(shard)));
    }
    return text;
  });
}

}  // namespace mg::cli
