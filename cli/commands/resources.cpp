// gateway, pooler, orch, tablegroup and shard: what is registered, and how it is.
#include <map>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/commands/admin_call.h"
#include "cli/commands/admin_reads.h"
#include "cli/commands/commands.h"
#include "cli/commands/pooler_status.h"
#include "cli/output/error.h"
#include "cli/output/relative.h"
#include "cli/output/table.h"
#include "common/text/suggest.h"
#include "common/text/text.h"
#include "common/topology/drained.h"
#include "common/topology/restarts_off.h"
#include "common/topology/topology.h"
#include "multiadminservice.grpc.pb.h"
#include "multigres/admin/v1/shard.grpc.pb.h"

namespace mg::cli {
namespace {

namespace admin = multigres::admin::v1;
namespace v1 = multigres::cli::v1;

/// A switch of the primary and what runs on the node may be in it.
constexpr absl::Duration kDrainLimit = absl::Seconds(60);
using Admin = multiadmin::MultiadminService;
using clustermetadata::Multigateway;
using clustermetadata::Multiorch;
using clustermetadata::Multipooler;

const Flag kCellFlag = {.name = "cell", .value = "CELL", .help = "only of this cell"};
const Flag kDatabaseFlag = {.name = "database", .value = "NAME", .help = "only of this database"};

std::string Rendered(const Context& context, const Table& table) {
  return table.Render(context.terminal().out_is_tty ? context.terminal().width : 0, context.terminal().out_colour);
}

std::string Port(const google::protobuf::Map<std::string, std::int32_t>& ports, const char* name) {
  auto found = ports.find(name);
  return found == ports.end() || found->second == 0 ? "" : absl::StrCat(found->second);
}

std::string PortsText(const google::protobuf::Map<std::string, std::int32_t>& ports) {
  std::map<std::string, std::int32_t> sorted(ports.begin(), ports.end());
  return absl::StrJoin(sorted, " ", absl::PairFormatter(":"));
}

template <typename Request>
Request InCell(const Context& context) {
  Request request;
  if (context.args().Has("cell")) {
    request.add_cells(context.args().Get("cell"));
  }
  return request;
}

// Gateways and orchs have records of the same form.
template <typename Response, typename List>
int ListEndpoints(Context& context, const char* kind, const Response& response, List list) {
  return context.Emit(response, [&] {
    Table table({"NAME", "ID", "HOST", "PORTS"}, 3);
    for (const auto& record : list(response)) {
      table.Add(
          {ComponentName(kind, record.id()), record.id().name(), record.hostname(), PortsText(record.port_map())});
    }
    return Rendered(context, table);
  });
}

template <typename Record>
int ShowEndpoint(Context& context, const char* kind, const absl::StatusOr<Record>& record) {
  if (!record.ok()) {
    return context.Fail(record.status());
  }
  return context.Emit(*record, [&] {
    return absl::StrCat("name   ", ComponentName(kind, record->id()), "\nid     ", record->id().name(), "\ncell   ",
                        record->id().cell(), "\nhost   ", record->hostname(), "\nports  ",
                        PortsText(record->port_map()), "\n");
  });
}

int RunGatewayList(Context& context) {
  multiadmin::GetGatewaysResponse response;
  absl::Status status =
      CallAdmin<Admin>(context, &Admin::Stub::GetGateways, InCell<multiadmin::GetGatewaysRequest>(context), &response);
  if (status.ok() && response.gateways().empty()) {
    status = CheckFilters(context);
  }
  return status.ok() ? ListEndpoints(context, "multigateway", response, [](const auto& r) { return r.gateways(); })
                     : context.Fail(status);
}

int RunGatewayGet(Context& context) {
  multiadmin::GetGatewaysResponse response;
  absl::Status status =
      CallAdmin<Admin>(context, &Admin::Stub::GetGateways, multiadmin::GetGatewaysRequest(), &response);
  if (!status.ok()) {
    return context.Fail(status);
  }
  return ShowEndpoint(context, "multigateway",
                      FindRecord(std::vector<Multigateway>(response.gateways().begin(), response.gateways().end()),
                                 "multigateway", context.args().positionals[0]));
}

int RunOrchList(Context& context) {
  multiadmin::GetOrchsResponse response;
  absl::Status status =
      CallAdmin<Admin>(context, &Admin::Stub::GetOrchs, InCell<multiadmin::GetOrchsRequest>(context), &response);
  if (status.ok() && response.orchs().empty()) {
    status = CheckFilters(context);
  }
  return status.ok() ? ListEndpoints(context, "multiorch", response, [](const auto& r) { return r.orchs(); })
                     : context.Fail(status);
}

int RunOrchGet(Context& context) {
  multiadmin::GetOrchsResponse response;
  absl::Status status = CallAdmin<Admin>(context, &Admin::Stub::GetOrchs, multiadmin::GetOrchsRequest(), &response);
  if (!status.ok()) {
    return context.Fail(status);
  }
  return ShowEndpoint(context, "multiorch",
                      FindRecord(std::vector<Multiorch>(response.orchs().begin(), response.orchs().end()), "multiorch",
                                 context.args().positionals[0]));
}

int RunPoolerList(Context& context) {
  absl::StatusOr<std::vector<Multipooler>> poolers = FilteredPoolers(context);
  if (!poolers.ok()) {
    return context.Fail(poolers.status());
  }
  multiadmin::GetPoolersResponse response;
  response.mutable_poolers()->Add(poolers->begin(), poolers->end());
  return context.Emit(response, [&] {
    const PoolerNames names(context, *poolers);
    Table table({"NAME", "ROLE", "SERVING", "RULE", "DATABASE", "SHARD", "POSTGRES", "GRPC", "HOST", "ID"});
    for (const Multipooler& pooler : *poolers) {
      bool primary = pooler.routing_state().role() == clustermetadata::ROUTING_ROLE_PRIMARY;
      const char* serving = pooler.serving_status() == clustermetadata::SERVING    ? "yes"
                            : topology::IsDrained(pooler)                          ? "drained"
                            : pooler.serving_status() == clustermetadata::DRAINING ? "draining"
                                                                                   : "no";
      table.Add({names.Of(pooler), primary ? "primary" : "standby", serving, RuleText(pooler.routing_state().rule()),
                 pooler.shard_key().database(),
                 absl::StrCat(pooler.shard_key().table_group(), "/", pooler.shard_key().shard()),
                 Port(pooler.port_map(), "postgres"), Port(pooler.port_map(), "grpc"), pooler.hostname(),
                 pooler.id().name()});
    }
    return Rendered(context, table);
  });
}

/// `active (3 minutes ago)`: since when it is so.
std::string LifecycleText(const clustermetadata::PoolerLifecycle& status) {
  const std::string name = clustermetadata::PoolerLifecycleStatus_Name(status.status());
  const std::string since = Relative(status.updated());
  // What a person wrote there is one line; what PostgreSQL wrote may be several. The terminal obeys neither.
  const bool drained = absl::StartsWith(status.reason(), topology::kDrained);
  const std::vector<std::string> said =
      drained ? std::vector<std::string>{status.reason()} : std::vector<std::string>();
  return absl::StrCat(absl::AsciiStrToLower(name.substr(name.find('_') + 1)),
                      since.empty() ? "" : absl::StrCat(" (", since, ")"),
                      status.reason().empty() ? "" : absl::StrCat(", ", Visible(status.reason(), said)));
}

int RunPoolerGet(Context& context) {
  absl::StatusOr<Multipooler> pooler = NamedPooler(context);
  if (!pooler.ok()) {
    return context.Fail(pooler.status());
  }
  return context.Emit(*pooler, [&] {
    return absl::StrCat("name       ", PoolerNames(context, {*pooler}).Of(*pooler), "\nid         ",
                        pooler->id().name(), "\nlifecycle  ", LifecycleText(pooler->lifecycle_status()),
                        "\nshard      ", pooler->shard_key().database(), "/", pooler->shard_key().table_group(), "/",
                        pooler->shard_key().shard(), "\nhost       ", pooler->hostname(), "\nports      ",
                        PortsText(pooler->port_map()), "\ndirectory  ", pooler->pooler_dir(), "\ndata       ",
                        pooler->pg_data_dir(), "\n");
  });
}

std::string ShardText(const Context& context, const v1::ShardOutput& shard) {
  return absl::StrCat("shard       ", shard.name(), "\nprimary     ",
                      shard.primary().empty() ? "none" : shard.primary(), "\nrule        ", shard.rule(),
                      "\ndurability  ", shard.durability(), "\ncohort      ", absl::StrJoin(shard.cohort(), " "),
                      "\n\n", Rendered(context, PoolerTable(shard)));
}

int SetRestarts(Context& context, bool enabled) {
  if (!enabled) {
    const absl::Status confirmed = context.ConfirmRemote(
        absl::StrCat("have ", context.args().positionals[0], " leave its PostgreSQL down when it ends?"));
    if (!confirmed.ok()) {
      return context.Fail(confirmed);
    }
  }
  absl::StatusOr<Multipooler> pooler = NamedPooler(context);
  if (!pooler.ok()) {
    return context.Fail(pooler.status());
  }
  multiadmin::SetPostgresRestartsEnabledRequest request;
  *request.mutable_pooler_id() = pooler->id();
  request.set_enabled(enabled);
  multiadmin::SetPostgresRestartsEnabledResponse response;
  absl::Status status = CallAdmin<Admin>(context, &Admin::Stub::SetPostgresRestartsEnabled, request, &response);
  if (!status.ok()) {
    return context.Fail(OfPooler(context, *pooler, status));
  }
  return context.Emit(response, [&] {
    return absl::StrCat(
        PoolerNames(context, {*pooler}).Of(*pooler),
        enabled ? " starts its PostgreSQL again when it ends\n" : " leaves its PostgreSQL alone when it ends\n");
  });
}

int RunDrain(Context& context) {
  if (absl::Status plain = topology::CheckDrainReason(context.args().Get("reason")); !plain.ok()) {
    return context.Fail(plain);
  }
  const absl::Status confirmed =
      context.ConfirmRemote(absl::StrCat("take ", context.args().positionals[0], " out of service?"));
  if (!confirmed.ok()) {
    return context.Fail(confirmed);
  }
  absl::StatusOr<Multipooler> pooler = NamedPooler(context);
  if (!pooler.ok()) {
    return context.Fail(pooler.status());
  }
  admin::DrainPoolerRequest request;
  *request.mutable_pooler_id() = pooler->id();
  request.set_reason(context.args().Get("reason"));
  admin::DrainPoolerResponse response;
  absl::Status status =
      CallAdmin<admin::ShardService>(context, &admin::ShardService::Stub::DrainPooler, request, &response, kDrainLimit);
  if (!status.ok()) {
    return context.Fail(status);
  }
  return context.Emit(response, [&] {
    const auto members = ReadPoolers(context, pooler->shard_key().database(), "", nullptr);
    const PoolerNames names(context, members.ok() ? *members : std::vector<Multipooler>{*pooler});
    std::string text = absl::StrCat(names.Of(*pooler), response.changed() ? " is drained" : " is drained already");
    if (response.has_new_leader_id()) {
      absl::StrAppend(&text, "; ", names.Of(response.new_leader_id()), " is the primary now");
    }
    if (response.cut() > 0) {
      absl::StrAppend(&text, "; ", response.cut(), " statements were cut");
    }
    return absl::StrCat(text, "\n");
  });
}

int RunUndrain(Context& context) {
  absl::StatusOr<Multipooler> pooler = NamedPooler(context);
  if (!pooler.ok()) {
    return context.Fail(pooler.status());
  }
  admin::UndrainPoolerRequest request;
  *request.mutable_pooler_id() = pooler->id();
  admin::UndrainPoolerResponse response;
  absl::Status status =
      CallAdmin<admin::ShardService>(context, &admin::ShardService::Stub::UndrainPooler, request, &response);
  if (!status.ok()) {
    return context.Fail(status);
  }
  return context.Emit(response, [&] {
    return absl::StrCat(ComponentName("multipooler", pooler->id()),
                        response.changed() ? " is in service again\n" : " was not drained\n");
  });
}

int RunShardList(Context& context) {
  absl::StatusOr<std::vector<Multipooler>> poolers = FilteredPoolers(context);
  if (!poolers.ok()) {
    return context.Fail(poolers.status());
  }
  v1::ShardListOutput output;
  for (v1::ShardOutput& shard : ReadShards(context, *poolers)) {
    *output.add_shards() = std::move(shard);
  }
  return context.Emit(output, [&] {
    Table table({"SHARD", "PRIMARY", "STANDBYS", "RULE", "DURABILITY"}, 2);
    for (const v1::ShardOutput& shard : output.shards()) {
      std::vector<std::string> standbys;
      for (const v1::PoolerOutput& pooler : shard.poolers()) {
        if (pooler.name() != shard.primary()) {
          standbys.push_back(pooler.name());
        }
      }
      table.Add({shard.name(), shard.primary(), absl::StrJoin(standbys, " "), shard.rule(), shard.durability()});
    }
    return Rendered(context, table);
  });
}

int RunShardGet(Context& context) {
  absl::StatusOr<std::vector<Multipooler>> poolers = ReadPoolers(context, "", "", nullptr);
  if (!poolers.ok()) {
    return context.Fail(poolers.status());
  }
  std::string wanted = context.args().positionals.empty() ? context.DefaultDatabase() : context.args().positionals[0];
  if (wanted.find('/') == std::string::npos) {
    wanted += "/default/0-inf";
  }
  std::vector<Multipooler> members;
  for (const Multipooler& pooler : *poolers) {
    const auto& key = pooler.shard_key();
    if (absl::StrCat(key.database(), "/", key.table_group(), "/", key.shard()) == wanted) {
      members.push_back(pooler);
    }
  }
  if (members.empty()) {
    std::vector<std::string> known;
    for (const Multipooler& pooler : *poolers) {
      const auto& key = pooler.shard_key();
      known.push_back(absl::StrCat(key.database(), "/", key.table_group(), "/", key.shard()));
    }
    return context.Fail(MakeError(
        absl::StatusCode::kNotFound, absl::StrCat("there is no shard ", wanted),
        {.reason = "UNKNOWN_SHARD", .hint = text::DidYouMean(wanted, known, "'multigres shard list' shows them")}));
  }
  v1::ShardOutput shard = ReadShards(context, members).front();
  return context.Emit(shard, [&] { return ShardText(context, shard); });
}

int RunTablegroupList(Context& context) {
  absl::StatusOr<std::vector<Multipooler>> poolers = FilteredPoolers(context);
  if (!poolers.ok()) {
    return context.Fail(poolers.status());
  }
  std::map<std::pair<std::string, std::string>, std::set<std::string>> groups;
  for (const Multipooler& pooler : *poolers) {
    groups[{pooler.shard_key().database(), pooler.shard_key().table_group()}].insert(pooler.shard_key().shard());
  }
  v1::TablegroupListOutput output;
  for (const auto& [name, shards] : groups) {
    v1::TablegroupOutput* group = output.add_tablegroups();
    group->set_database(name.first);
    group->set_name(name.second);
    group->set_shards(static_cast<int>(shards.size()));
    group->set_type(topology::TableGroupType({shards.begin(), shards.end()}));
  }
  return context.Emit(output, [&] {
    Table table({"DATABASE", "TABLEGROUP", "TYPE", "SHARDS"}, -1);
    for (const v1::TablegroupOutput& group : output.tablegroups()) {
      table.Add({group.database(), group.name(), group.type(), absl::StrCat(group.shards())});
    }
    return Rendered(context, table);
  });
}

Command Make(const char* path, const char* summary, int (*run)(Context&), std::vector<Example> examples) {
  return {.path = path, .summary = summary, .examples = std::move(examples), .group = "TOPOLOGY", .run = run};
}

Command With(Command command, std::vector<Positional> positionals, std::vector<Flag> flags = {}) {
  command.positionals = std::move(positionals);
  command.flags = std::move(flags);
  return command;
}

}  // namespace

std::vector<Command> ResourceCommands() {
  const Positional pooler = {.name = "NAME", .help = "multipooler/zone1, its cell, or its id's name", .required = true};
  const Positional gateway = {
      .name = "NAME", .help = "multigateway/zone1, its cell, or its id's name", .required = true};
  const Positional orch = {.name = "NAME", .help = "multiorch/zone1, its cell, or its id's name", .required = true};
  const Positional shard = {.name = "SHARD",
                            .help = "DATABASE or DATABASE/TABLEGROUP/SHARD; default: the first database's"};
  return {
      With(Make("gateway list", "list the gateways", RunGatewayList, {{"multigres gateway list", "with their ports"}}),
           {}, {kCellFlag}),
      With(Make("gateway get", "show a gateway's record", RunGatewayGet,
                {{"multigres gateway get multigateway/zone1 --json", "as it is registered"}}),
           {gateway}),
      With(Make("pooler list", "list the poolers", RunPoolerList,
                {{"multigres pooler list --database postgres", "who leads, who serves"}}),
           {}, {kCellFlag, kDatabaseFlag}),
      With(Make("pooler get", "show a pooler's record", RunPoolerGet,
                {{"multigres pooler get multipooler/zone1", "as it is registered"}}),
           {pooler}),
      With(Make("pooler status", "ask a pooler how it and its PostgreSQL are", RunPoolerStatus,
                {{"multigres pooler status zone2", "role, position, rule, promise, replication"}}),
           {pooler}),
      With(Make("pooler replication",
                "show positions, lag and links of every pooler, or all about the replication of one",
                RunPoolerReplication,
                {{"multigres pooler replication", "how far each standby is"},
                 {"multigres pooler replication zone2 --watch", "whom it follows, how, and how far it is; live"}}),
           {{.name = "NAME", .help = "multipooler/zone1, its cell, or its id's name; default: all, as a table"}},
           {kCellFlag, kDatabaseFlag}),
      With(Make("pooler restarts on", "have a pooler start its PostgreSQL again when it ends",
                [](Context& context) { return SetRestarts(context, true); },
                {{"multigres pooler restarts on multipooler/zone1", "the usual state"}}),
           {pooler}),
      With(Make("pooler restarts off", "have a pooler leave its PostgreSQL alone when it ends",
                [](Context& context) { return SetRestarts(context, false); },
                {{"multigres pooler restarts off multipooler/zone1", "for maintenance by hand"}}),
           {pooler}, {{.name = "yes", .letter = 'y', .help = "do not ask; only on another machine's cluster it asks"}}),
      With(
          Make("pooler drain", "take a node out of service: no reads, and not the primary unless nobody else can be",
               RunDrain,
               {{"multigres pooler drain multipooler/zone2 --reason 'new disk'", "before maintenance of its machine"}}),
          {pooler},
          {{.name = "reason", .value = "TEXT", .help = "shown with the pooler"},
           {.name = "yes", .letter = 'y', .help = "do not ask; only on another machine's cluster it asks"}}),
      With(Make("pooler undrain", "take a drained node back into service", RunUndrain,
                {{"multigres pooler undrain multipooler/zone2", "after it"}}),
           {pooler}),
      With(Make("orch list", "list the orchs", RunOrchList, {{"multigres orch list", "with their ports"}}), {},
           {kCellFlag}),
      With(Make("orch get", "show an orch's record", RunOrchGet,
                {{"multigres orch get multiorch/zone1", "as it is registered"}}),
           {orch}),
      With(Make("tablegroup list", "list the table groups", RunTablegroupList,
                {{"multigres tablegroup list", "by database"}}),
           {}, {kDatabaseFlag}),
      With(Make("shard list", "list the shards: who leads, who follows, under which rule", RunShardList,
                {{"multigres shard list", "of all databases"}}),
           {}, {kDatabaseFlag}),
      With(Make("shard get", "show a shard: rule, cohort, and each pooler's position", RunShardGet,
                {{"multigres shard get", "the default database's"}}),
           {shard}),
  };
}

}  // namespace mg::cli
