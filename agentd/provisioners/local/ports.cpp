#include "agentd/provisioners/local/ports.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agentd/store/component_name.h"
#include "common/status/status.h"

namespace mg::local {

namespace {

using store::ComponentName;

constexpr int kLastPort = 65535;

class NeedList {
 public:
  void Add(const ComponentName& component, const config::Ports& wishes, const std::string& name, int documented) {
    Add(component, wishes, name, name, documented);
  }
  void Add(const ComponentName& component, const config::Ports& wishes, const std::string& wish,
           const std::string& name, int documented) {
    auto found = wishes.find(wish);
    needs_.push_back({.component = component.ToString(),
                      .name = name,
                      .documented = documented,
                      .wish = found == wishes.end() ? config::PortWish{} : found->second});
  }
  std::vector<PortNeed> Take() { return std::move(needs_); }

 private:
  std::vector<PortNeed> needs_;
};

}  // namespace

std::vector<PortNeed> PortNeeds(const config::ClusterConfig& config) {
  NeedList list;
  list.Add({.kind = store::kEtcd}, config.etcd, "client", 2379);
  list.Add({.kind = store::kEtcd}, config.etcd, "peer", 2380);
  list.Add({.kind = store::kEtcd}, config.etcd, "metrics", 2381);
  list.Add({.kind = store::kMultiadmin}, config.multiadmin, "http", 15000);
  list.Add({.kind = store::kMultiadmin}, config.multiadmin, "grpc", 15070);
  for (int i = 0; i < static_cast<int>(config.cells.size()); ++i) {
    const config::CellConfig& cell = config.cells[static_cast<size_t>(i)];
    list.Add({store::kPgctld, cell.name, ""}, cell.pgctld, "http", 15400 + i);
    list.Add({store::kPgctld, cell.name, ""}, cell.pgctld, "grpc", 15470 + i);
    list.Add({store::kPgctld, cell.name, ""}, cell.pgctld, "pgbackrest", 18432 + i);
    list.Add({store::kPostgres, cell.name, ""}, cell.pgctld, "postgres", 25432 + i);
    list.Add({store::kMultipooler, cell.name, ""}, cell.multipooler, "http", 15200 + i);
    list.Add({store::kMultipooler, cell.name, ""}, cell.multipooler, "grpc", 15270 + i);
    list.Add({store::kMultiorch, cell.name, ""}, cell.multiorch, "http", 15300 + i);
    list.Add({store::kMultiorch, cell.name, ""}, cell.multiorch, "grpc", 15370 + i);
    list.Add({store::kMultigateway, cell.name, ""}, cell.multigateway, "http", 15100 + i);
    list.Add({store::kMultigateway, cell.name, ""}, cell.multigateway, "grpc", 15170 + i);
    list.Add({store::kMultigateway, cell.name, ""}, cell.multigateway, "postgres", 15432 + i);
    // Not in the contract's table: upstream's provisioner leaves the read-only port off.
    list.Add({store::kMultigateway, cell.name, ""}, cell.multigateway, "postgres_replica", 15532 + i);
  }
  return list.Take();
}

std::vector<PortNeed> MemberPortNeeds(const std::string& cell, const std::string& database, int number) {
  // The documents give later databases no ports: ours begin a thousand above the default database's.
  NeedList list;
  const config::Ports none;
  list.Add({store::kPgctld, cell, database}, none, "http", 16400 + number);
  list.Add({store::kPgctld, cell, database}, none, "grpc", 16470 + number);
  list.Add({store::kPgctld, cell, database}, none, "pgbackrest", 19432 + number);
  list.Add({store::kPostgres, cell, database}, none, "postgres", 26432 + number);
  list.Add({store::kMultipooler, cell, database}, none, "http", 16200 + number);
  list.Add({store::kMultipooler, cell, database}, none, "grpc", 16270 + number);
  return list.Take();
}

absl::StatusOr<PortChoice> ChoosePorts(const std::vector<PortNeed>& needs, const PortMap& recorded,
                                       const PortFacts& facts) {
  auto recorded_port = [&](const PortNeed& need) {
    auto component = recorded.find(need.component);
    if (component == recorded.end()) {
      return 0;
    }
    auto port = component->second.find(need.name);
    return port == component->second.end() ? 0 : port->second;
  };
  PortChoice choice;
  std::set<int> taken;
  std::vector<std::string> problems, components;
  // What is certain first, so that nothing else takes it: ports of what runs, and fixed ports.
  for (const PortNeed& need : needs) {
    int port = recorded_port(need);
    // What runs keeps its ports, unless the configuration gives it another one.
    bool moves = need.wish.fixed && need.wish.number != port;
    bool own = port != 0 && facts.running.count(need.component) != 0 && !moves;
    if (!own && need.wish.fixed) {
      port = need.wish.number;
      if (taken.count(port) != 0) {
        problems.push_back(absl::StrCat("port ", port, " is given twice, the second time to ", need.component));
      } else if (!facts.is_free(port)) {
        problems.push_back(
            absl::StrCat("port ", port, " (", need.component, " ", need.name, ") is in use by ", facts.describe(port)));
        components.push_back(need.component);
      }
      own = true;
    }
    if (own) {
      choice.ports[need.component][need.name] = port;
      taken.insert(port);
    }
  }
  if (!problems.empty()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, absl::StrJoin(problems, "; "),
                     {.reason = "PORT_IN_USE",
                      .hint = "stop that process, or give another port (or none) in the configuration file",
                      .subject = components.empty() ? "" : components[0]});
  }
  // Recorded ports keep their owners from one start to the next.
  std::set<int> documented;
  for (const PortNeed& need : needs) {
    documented.insert(need.documented);
    int port = recorded_port(need);
    if (port != 0 && choice.ports[need.component].count(need.name) == 0 && taken.count(port) == 0 &&
        facts.is_free(port)) {
      choice.ports[need.component][need.name] = port;
      taken.insert(port);
    }
  }
  for (const PortNeed& need : needs) {
    if (choice.ports[need.component].count(need.name) != 0) {
      continue;
    }
    int wanted = need.wish.number != 0 ? need.wish.number : need.documented;
    auto suits = [&](int port) {
      return taken.count(port) == 0 && facts.of_others.count(port) == 0 && facts.is_free(port);
    };
    int port = wanted;
    while (port <= kLastPort && (!suits(port) || (port != wanted && documented.count(port) != 0))) {
      ++port;
    }
    if (port > kLastPort) {
      return MakeError(absl::StatusCode::kResourceExhausted, absl::StrCat("there is no free port for ", need.component),
                       {.reason = "NO_FREE_PORT", .hint = {}, .subject = need.component});
    }
    if (int before = recorded_port(need); before != 0 && before != port) {
      choice.remarks.push_back(absl::StrCat(need.component, " moves from port ", before, " to ", port, ": ", before,
                                            " is now in use by ", facts.describe(before)));
    }
    choice.ports[need.component][need.name] = port;
    taken.insert(port);
  }
  return choice;
}

}  // namespace mg::local
