// topology tree: everything that there is, and how it hangs together.
#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "cli/commands/admin_call.h"
#include "cli/commands/admin_reads.h"
#include "cli/commands/commands.h"
#include "common/text/text.h"
#include "multiadminservice.grpc.pb.h"

namespace mg::cli {
namespace {

namespace v1 = multigres::cli::v1;
using Admin = multiadmin::MultiadminService;

template <typename Record>
void AddEndpoint(const char* kind, const Record& record, v1::EndpointOutput* out) {
  out->set_name(ComponentName(kind, record.id()));
  out->set_id(record.id().name());
  out->set_hostname(record.hostname());
  out->mutable_ports()->insert(record.port_map().begin(), record.port_map().end());
}

/// So that a silent gateway is told of after as long as the Admin API waits for a pooler at most.
constexpr absl::Duration kSignLimit = absl::Seconds(3);

/// Asks every gateway at once for a sign of life: for the least that it answers. A record outlives a process that was
/// killed or is frozen.
class GatewaySigns {
 public:
  GatewaySigns(Context& context, const multiadmin::GetGatewaysResponse& gateways) {
    absl::StatusOr<AdminRoute> route = context.Admin();
    for (const auto& gateway : gateways.gateways()) {
      if (route.ok()) {
        asked_.push_back(std::make_unique<Asked>());
        asked_.back()->id = gateway.id();
        asked_.back()->thread = std::thread([route = *route, asked = asked_.back().get()] {
          multiadmin::GetGatewayQueriesRequest request;
          *request.mutable_gateway_id() = asked->id;
          request.set_limit(1);
          request.set_min_calls(std::numeric_limits<std::int64_t>::max());
          multiadmin::GetGatewayQueriesResponse response;
          grpc::ClientContext rpc;
          rpc::SetDeadline(&rpc, absl::Now() + kSignLimit);
          route.prepare(&rpc);
          asked->status = route.outcome(Admin::NewStub(route.channel)->GetGatewayQueries(&rpc, request, &response));
        });
      }
    }
  }
  ~GatewaySigns() { Await(); }

  /// Of the gateways that the Admin API calls silent; whatever else it says is no word about one.
  void Tell(v1::TreeOutput* tree) {
    Await();
    for (const auto& asked : asked_) {
      const bool silent = DetailOf(asked->status).value_or(ErrorDetail{}).reason == "GATEWAY_SILENT";
      for (v1::TreeCell& cell : *tree->mutable_cells()) {
        for (v1::EndpointOutput& gateway : *cell.mutable_gateways()) {
          if (silent && cell.name() == asked->id.cell() && gateway.id() == asked->id.name()) {
            gateway.set_error("does not answer");
          }
        }
      }
    }
  }

 private:
  struct Asked {
    clustermetadata::ID id;
    absl::Status status;
    std::thread thread;
  };

  void Await() {
    for (const auto& asked : asked_) {
      if (asked->thread.joinable()) {
        asked->thread.join();
      }
    }
  }

  std::vector<std::unique_ptr<Asked>> asked_;
};

absl::StatusOr<v1::TreeOutput> ReadTree(Context& context) {
  multiadmin::GetCellNamesResponse cells;
  MG_RETURN_IF_ERROR(CallAdmin<Admin>(context, &Admin::Stub::GetCellNames, multiadmin::GetCellNamesRequest(), &cells));
  multiadmin::GetDatabaseNamesResponse databases;
  MG_RETURN_IF_ERROR(
      CallAdmin<Admin>(context, &Admin::Stub::GetDatabaseNames, multiadmin::GetDatabaseNamesRequest(), &databases));
  v1::TreeOutput tree;
  std::vector<std::string> unreadable;
  multiadmin::GetGatewaysResponse gateways;
  MG_RETURN_IF_ERROR(CallAdmin<Admin>(context, &Admin::Stub::GetGateways, multiadmin::GetGatewaysRequest(), &gateways));
  GatewaySigns signs(context, gateways);  // while the rest is read
  multiadmin::GetOrchsResponse orchs;
  MG_RETURN_IF_ERROR(CallAdmin<Admin>(context, &Admin::Stub::GetOrchs, multiadmin::GetOrchsRequest(), &orchs));
  MG_ASSIGN_OR_RETURN(std::vector<clustermetadata::Multipooler> poolers, ReadPoolers(context, "", "", &unreadable));
  tree.mutable_unreadable_cells()->Add(unreadable.begin(), unreadable.end());
  std::vector<std::string> names(cells.names().begin(), cells.names().end());
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    v1::TreeCell* cell = tree.add_cells();
    cell->set_name(name);
    for (const auto& gateway : gateways.gateways()) {
      if (gateway.id().cell() == name) {
        AddEndpoint("multigateway", gateway, cell->add_gateways());
      }
    }
    for (const auto& orch : orchs.orchs()) {
      if (orch.id().cell() == name) {
        AddEndpoint("multiorch", orch, cell->add_orchs());
      }
    }
  }
  std::map<std::string, v1::TreeDatabase> by_name;
  for (const std::string& name : databases.names()) {
    by_name[name].set_name(name);
  }
  for (v1::ShardOutput& shard : ReadShards(context, poolers)) {
    std::string database = shard.name().substr(0, shard.name().find('/'));
    by_name[database].set_name(database);
    by_name[database].set_durability(shard.durability());
    *by_name[database].add_shards() = std::move(shard);
  }
  for (auto& [name, database] : by_name) {
    *tree.add_databases() = std::move(database);
  }
  signs.Tell(&tree);
  return tree;
}

std::string Endpoints(const google::protobuf::RepeatedPtrField<v1::EndpointOutput>& list, bool colour) {
  return absl::StrJoin(list, ", ", [colour](std::string* out, const v1::EndpointOutput& endpoint) {
    auto port = endpoint.ports().find("postgres");
    absl::StrAppend(out, endpoint.name(), port != endpoint.ports().end() ? absl::StrCat(" :", port->second) : "",
                    endpoint.error().empty() ? "" : absl::StrCat(" ", Styled(endpoint.error(), Style::kRed, colour)));
  });
}

std::string PoolerLine(const v1::PoolerOutput& pooler, bool colour) {
  bool primary = pooler.role() == "primary";
  std::string name = pooler.name();
  name.resize(std::max<size_t>(name.size(), 20), ' ');
  std::string line = absl::StrCat(primary ? Styled(name, Style::kBold, colour) : name, "  ");
  if (!pooler.error().empty()) {
    return absl::StrCat(line, Styled(pooler.error(), Style::kRed, colour));
  }
  absl::StrAppend(&line, absl::StrFormat("%-8s", pooler.role().empty() ? "?" : pooler.role()), pooler.lsn());
  if (pooler.role() == "standby") {
    bool streams = pooler.link() == "streaming";
    absl::StrAppend(
        &line, "  ",
        streams ? pooler.link() : Styled(pooler.link().empty() ? "no link" : pooler.link(), Style::kRed, colour));
    if (pooler.has_lag_bytes()) {
      absl::StrAppend(&line, ", ", text::HumanBytes(static_cast<std::uint64_t>(pooler.lag_bytes())), " behind");
    }
  }
  if (pooler.serving() != "serving") {
    absl::StrAppend(&line, ", ", Styled(pooler.serving(), Style::kYellow, colour));
  }
  return line;
}

/// On a terminal a line of the tree is a line of the screen.
std::string Fitted(const std::string& text, const Terminal& terminal) {
  if (!terminal.out_is_tty) {
    return text;
  }
  std::vector<std::string> lines = absl::StrSplit(text, '\n');
  for (std::string& line : lines) {
    line = text::Truncate(line, terminal.width);
  }
  return absl::StrJoin(lines, "\n");
}

std::string TreeText(const v1::TreeOutput& tree, bool colour) {
  std::string text = "cells\n";
  for (const v1::TreeCell& cell : tree.cells()) {
    absl::StrAppend(&text, "  ", Styled(cell.name(), Style::kBold, colour), "\n");
    for (const auto* list : {&cell.gateways(), &cell.orchs()}) {
      if (!list->empty()) {
        absl::StrAppend(&text, "    ", Endpoints(*list, colour), "\n");
      }
    }
  }
  absl::StrAppend(&text, "databases\n");
  for (const v1::TreeDatabase& database : tree.databases()) {
    absl::StrAppend(&text, "  ", Styled(database.name(), Style::kBold, colour), "  ", database.durability(), "\n");
    for (const v1::ShardOutput& shard : database.shards()) {
      absl::StrAppend(&text, "    ", shard.name().substr(shard.name().find('/') + 1), "  rule ", shard.rule(),
                      "  primary ", shard.primary().empty() ? Styled("none", Style::kRed, colour) : shard.primary(),
                      "\n");
      for (const v1::PoolerOutput& pooler : shard.poolers()) {
        absl::StrAppend(&text, "      ", PoolerLine(pooler, colour), "\n");
      }
    }
  }
  return text;
}

int RunTree(Context& context) {
  absl::StatusOr<v1::TreeOutput> tree = ReadTree(context);
  return tree.ok()
             ? context.Emit(*tree,
                            [&] { return Fitted(TreeText(*tree, context.terminal().out_colour), context.terminal()); })
             : context.Fail(tree.status());
}

}  // namespace

Command TreeCommand() {
  return {.path = "topology tree",
          .summary = "show cells, databases, shards and poolers with role, position, lag and link",
          .examples = {{"multigres topology tree", "the whole cluster at a glance"},
                       {"multigres topology tree --watch", "during a failover"}},
          .aliases = {"tree"},
          .group = "TOPOLOGY",
          .run = RunTree};
}

}  // namespace mg::cli
