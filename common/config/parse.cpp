#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/config/cluster_config.h"
#include "common/config/keys.h"
#include "common/config/reader.h"
#include "common/fs/fs.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace mg::config {
namespace {

constexpr int kMaxCells = 7;

CellConfig MakeCell(const std::string& name) {
  CellConfig cell;
  cell.name = name;
  cell.topo_root = absl::StrCat("/multigres/", name);
  return cell;
}

const Key* FindKey(const std::vector<Key>& keys, const std::string& path) {
  for (const Key& key : keys) {
    if (key.path == path) {
      return &key;
    }
  }
  return nullptr;
}

bool IsSection(const std::vector<Key>& keys, const std::string& path) {
  for (const Key& key : keys) {
    if (absl::StartsWith(key.path, absl::StrCat(path, "."))) {
      return true;
    }
  }
  return false;
}

absl::Status UnknownKey(const Reader& reader, const std::vector<Key>& keys, const YAML::Mark& mark,
                        const std::string& prefix, const std::string& name) {
  std::set<std::string> candidates;
  for (const Key& key : keys) {
    if (absl::StartsWith(key.path, prefix)) {
      std::string rest = key.path.substr(prefix.size());
      candidates.insert(rest.substr(0, rest.find('.')));
    }
  }
  std::vector<std::string> list(candidates.begin(), candidates.end());
  std::optional<std::string> near = text::Closest(name, list);
  return reader.Error(
      mark, absl::StrCat("unknown key '", prefix, name, "'; expected one of: ", absl::StrJoin(list, ", ")),
      near.has_value() ? absl::StrCat("did you mean '", prefix, *near, "'?") : "see 'multigres schema'");
}

bool ValidCellName(const std::string& name) {
  bool good = !name.empty() && name.size() <= 40 && name != "global";
  for (char c : name) {
    good &= (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
  }
  return good;
}

absl::Status ParseCellItem(const Reader& reader, const YAML::Node& node, const std::string& prefix, CellConfig* cell) {
  for (const auto& item : node) {
    std::string name = item.first.Scalar();
    std::string path = absl::StrCat(prefix, name);
    const Key* key = FindKey(CellKeys(), path);
    if (key == nullptr && IsSection(CellKeys(), path)) {
      MG_RETURN_IF_ERROR(reader.ExpectMap(item.second, path));
      MG_RETURN_IF_ERROR(ParseCellItem(reader, item.second, absl::StrCat(path, "."), cell));
    } else if (key == nullptr) {
      return UnknownKey(reader, CellKeys(), item.first.Mark(), prefix, name);
    } else if (key->type == KeyType::kInteger) {
      MG_ASSIGN_OR_RETURN(long port, reader.Integer(item.second, path, key->minimum, key->maximum));
      *CellPort(cell, path) = {static_cast<int>(port), true};
    } else {
      MG_ASSIGN_OR_RETURN(std::string text, reader.String(item.second, path));
      (path == "name" ? cell->name : cell->service_id) = text;
      if (!ValidCellName(text)) {
        return reader.Error(
            item.second.Mark(),
            absl::StrCat(path, ": '", text, "' is not a name: letters, digits and '-', at most 40, not 'global'"));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status ParseCells(const Reader& reader, const YAML::Node& node, ClusterConfig* config) {
  config->cells.clear();
  config->cells_given = true;
  if (node.IsScalar()) {
    MG_ASSIGN_OR_RETURN(long count, reader.Integer(node, "cells", 1, kMaxCells));
    config->cells = DefaultConfig(static_cast<int>(count)).cells;
    return absl::OkStatus();
  }
  if (!node.IsSequence()) {
    return reader.Error(node.Mark(), "cells: expected a number from 1 to 7, or a list of cells");
  }
  if (node.size() < 1 || node.size() > kMaxCells) {
    return reader.Error(node.Mark(), absl::StrCat("cells: a cluster has 1 to 7 cells, not ", node.size()));
  }
  std::set<std::string> names;
  for (const auto& item : node) {
    CellConfig cell;
    if (item.IsScalar()) {
      cell.name = item.Scalar();
    } else {
      MG_RETURN_IF_ERROR(reader.ExpectMap(item, "cells"));
      MG_RETURN_IF_ERROR(ParseCellItem(reader, item, "", &cell));
    }
    if (!ValidCellName(cell.name)) {
      return reader.Error(item.Mark(), "cells: expected a name of letters, digits and '-', at most 40, not 'global'");
    }
    if (!names.insert(cell.name).second) {
      return reader.Error(item.Mark(), absl::StrCat("cells: there are two named ", cell.name));
    }
    cell.topo_root = absl::StrCat("/multigres/", cell.name);
    config->cells.push_back(cell);
  }
  return absl::OkStatus();
}

absl::Status SetValue(const Reader& reader, const Key& key, const YAML::Node& node, ClusterConfig* config) {
  switch (key.type) {
    case KeyType::kCells:
      return ParseCells(reader, node, config);
    case KeyType::kInteger: {
      MG_ASSIGN_OR_RETURN(long value, reader.Integer(node, key.path, key.minimum, key.maximum));
      key.set_integer(config, value);
      return absl::OkStatus();
    }
    case KeyType::kStringList: {
      MG_ASSIGN_OR_RETURN(std::vector<std::string> values, reader.List(node, key.path));
      key.set_list(config, values);
      return absl::OkStatus();
    }
    case KeyType::kSettings: {
      MG_RETURN_IF_ERROR(reader.ExpectMap(node, key.path));
      for (const auto& item : node) {
        MG_ASSIGN_OR_RETURN(std::string value,
                            reader.String(item.second, absl::StrCat(key.path, ".", item.first.Scalar())));
        key.set_setting(config, item.first.Scalar(), value);
      }
      return absl::OkStatus();
    }
    case KeyType::kString:
      break;
  }
  MG_ASSIGN_OR_RETURN(std::string value, reader.String(node, key.path));
  if (!key.choices.empty() && std::find(key.choices.begin(), key.choices.end(), value) == key.choices.end()) {
    return reader.Error(node.Mark(),
                        absl::StrCat(key.path, ": '", value, "' is not one of: ", absl::StrJoin(key.choices, ", ")));
  }
  if (absl::StartsWith(key.path, "components.") && value != "auto" && value != "builtin" && value[0] != '/') {
    return reader.Error(node.Mark(),
                        absl::StrCat(key.path, ": expected auto, builtin or an absolute path, not '", value, "'"));
  }
  if (value.empty()) {
    return reader.Error(node.Mark(), absl::StrCat(key.path, ": expected a text that is not empty"));
  }
  if (key.path == "name" && !ValidClusterName(value)) {
    return reader.Error(
        node.Mark(),
        absl::StrCat("name: '", value,
                     "' is not a cluster name: a lower-case letter, then letters, digits and '-', at most 40"));
  }
  key.set_string(config, value);
  return absl::OkStatus();
}

absl::Status ParseSection(const Reader& reader, const YAML::Node& node, const std::string& prefix,
                          ClusterConfig* config) {
  std::set<std::string> seen;
  for (const auto& item : node) {
    std::string name = item.first.IsScalar() ? item.first.Scalar() : "";
    std::string path = absl::StrCat(prefix, name);
    if (!seen.insert(name).second) {
      return reader.Error(item.first.Mark(), absl::StrCat("the key '", path, "' is there twice"));
    }
    if (const Key* key = FindKey(Keys(), path); key != nullptr) {
      MG_RETURN_IF_ERROR(SetValue(reader, *key, item.second, config));
    } else if (IsSection(Keys(), path)) {
      if (item.second.IsNull()) {
        continue;  // a section whose keys are all commented out
      }
      MG_RETURN_IF_ERROR(reader.ExpectMap(item.second, path));
      MG_RETURN_IF_ERROR(ParseSection(reader, item.second, absl::StrCat(path, "."), config));
    } else {
      return UnknownKey(reader, Keys(), item.first.Mark(), prefix, name);
    }
  }
  return absl::OkStatus();
}

/// No two fixed ports are the same.
absl::Status CheckPorts(const ClusterConfig& config, const std::string& path) {
  std::map<int, std::string> owners;
  absl::Status status;
  auto take = [&](const Ports& ports, const std::string& owner) {
    for (const auto& [name, wish] : ports) {
      if (wish.fixed && wish.number > 0 && status.ok()) {
        auto [it, fresh] = owners.emplace(wish.number, absl::StrCat(owner, "'s ", name, " port"));
        if (!fresh) {
          status = MakeError(
              absl::StatusCode::kInvalidArgument,
              absl::StrCat(path, ": port ", wish.number, " is both ", it->second, " and ", owner, "'s ", name, " port"),
              {.reason = "BAD_CONFIGURATION"});
        }
      }
    }
  };
  take(config.etcd, "etcd");
  take(config.multiadmin, "multiadmin");
  for (const CellConfig& cell : config.cells) {
    take(cell.multigateway, absl::StrCat("multigateway/", cell.name));
    take(cell.multipooler, absl::StrCat("multipooler/", cell.name));
    take(cell.multiorch, absl::StrCat("multiorch/", cell.name));
    take(cell.pgctld, absl::StrCat("pgctld/", cell.name));
  }
  return status;
}

}  // namespace

absl::Status ParseOurs(const Reader& reader, const YAML::Node& root, ClusterConfig* config) {
  MG_RETURN_IF_ERROR(ParseSection(reader, root, "", config));
  if (config->durability_policy == "MULTI_CELL_AT_LEAST_2" && config->cells.size() < 2) {
    return reader.Error(root["durability-policy"].Mark(),
                        "durability-policy: MULTI_CELL_AT_LEAST_2 needs at least two cells");
  }
  return absl::OkStatus();
}

ClusterConfig DefaultConfig(int cells) {
  ClusterConfig config;
  for (int i = 1; i <= cells; ++i) {
    config.cells.push_back(MakeCell(absl::StrCat("zone", i)));
  }
  return config;
}

absl::StatusOr<ClusterConfig> ParseConfig(const std::string& text, const std::string& path) {
  Reader reader(path);
  ClusterConfig config = DefaultConfig();
  config.source = path;
  std::string directory = BaseName(DirName(path));
  config.name = ValidClusterName(directory) ? directory : "default";
  try {
    YAML::Node root = YAML::Load(text);
    if (root.IsNull()) {
      return config;
    }
    if (!root.IsMap()) {
      return reader.Error(root.Mark(), "expected keys with values");
    }
    MG_RETURN_IF_ERROR(root["provisioner-config"].IsDefined() ? ParseUpstream(reader, root, &config)
                                                              : ParseOurs(reader, root, &config));
  } catch (const YAML::Exception& error) {
    return reader.Error(error.mark, error.msg);
  }
  MG_RETURN_IF_ERROR(CheckPorts(config, path));
  return config;
}

absl::StatusOr<ClusterConfig> LoadConfig(const std::string& path) {
  absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) {
    return MakeError(text.status().code(), absl::StrCat("the configuration cannot be read: ", text.status().message()),
                     {.reason = "UNREADABLE_CONFIGURATION"});
  }
  return ParseConfig(*text, path);
}

}  // namespace mg::config
