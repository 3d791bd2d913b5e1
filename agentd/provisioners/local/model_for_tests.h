/// A model as values, for unit tests: documented ports, no machine asked.
#pragma once

#include <string>

#include "absl/strings/str_cat.h"
#include "agentd/provisioners/local/layout.h"
#include "agentd/provisioners/local/model.h"
#include "agentd/store/component_name.h"

namespace mg::local {

inline SpecInput InputForTests(int cells, const std::string& root, bool as_root = false) {
  SpecInput input;
  input.paths = store::Paths(root);
  for (int i = 1; i <= cells; ++i) {
    std::string cell = absl::StrCat("zone", i);
    input.config.cells.push_back({.name = cell, .topo_root = "/multigres/" + cell});
    input.service_ids[cell] = absl::StrCat("bcdf246", i);
    input.socket_dirs[cell] = SocketPlaceOf(root, input.paths.PoolerDir(input.service_ids[cell]), cell, 1000).postgres;
  }
  for (const PortNeed& need : PortNeeds(input.config)) {
    input.ports[need.component][need.name] = need.documented;
  }
  for (const char* kind :
       {store::kMultiadmin, store::kPgctld, store::kMultigateway, store::kMultipooler, store::kMultiorch}) {
    input.implementations[kind] = {
        .word = "builtin", .program = absl::StrCat("/opt/", kind), .version = "0", .is_builtin = true};
  }
  input.implementations[store::kEtcd] = {.word = "debian", .program = "/usr/bin/etcd"};
  input.environment = {{"PATH", "/usr/bin"}};
  input.shim = "/opt/multigres-shim";
  input.root = as_root;
  return input;
}

/// Gives it a later database in these cells.
inline void AddDatabase(SpecInput* input, const std::string& name, const std::vector<std::string>& cells) {
  input->databases.push_back({.name = name, .cells = cells, .backup_directory = name + ".20260105T093011Z"});
  int number = 0;
  for (const Member& member : MembersOf(*input)) {
    if (member.database == name) {
      input->service_ids[member.Place()] = absl::StrCat(name, number);
      input->socket_dirs[member.Place()] = absl::StrCat("/tmp/", name, number);
      for (const PortNeed& need : MemberPortNeeds(member.cell, name, number++)) {
        input->ports[need.component][need.name] = need.documented;
      }
    }
  }
}

inline Model ModelForTests(int cells, const std::string& root = "/srv/mg") {
  Model model;
  model.place = {.name = "default", .root_dir = root};
  model.input = InputForTests(cells, root);
  model.specs = MakeSpecs(model.input);
  model.record.set_cluster_id("id");
  model.record.set_name("default");
  for (const config::CellConfig& cell : model.input.config.cells) {
    model.record.add_cells(cell.name);
  }
  return model;
}

}  // namespace mg::local
