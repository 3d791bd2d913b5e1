#include <sys/stat.h>

#include <algorithm>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/config/cluster_config.h"
#include "common/config/keys.h"
#include "common/config/reader.h"
#include "common/fs/fs.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace mg::config {
namespace {

constexpr int kMaxCells = 7;
constexpr size_t kMaxFileBytes = 1 << 20;

CellConfig MakeCell(const std::string& name) {
  CellConfig cell;
  cell.name = name;
  cell.topo_root = absl::StrCat("/multigres/", name);
  return cell;
}

const Key* FindKey(const std::vector<Key>& keys, const std::string& path) {
  auto it = std::find_if(keys.begin(), keys.end(), [&](const Key& key) { return key.path == path; });
  return it == keys.end() ? nullptr : &*it;
}

bool IsSection(const std::vector<Key>& keys, const std::string& path) {
  return std::any_of(keys.begin(), keys.end(),
                     [&](const Key& key) { return absl::StartsWith(key.path, absl::StrCat(path, ".")); });
}

/// multigateway.pg-port of zone1: "multigateway/zone1 pg-port".
std::string PortOwner(const std::string& key, const std::string& cell) {
  size_t dot = key.find('.');
  return absl::StrCat(key.substr(0, dot), "/", cell, " ", key.substr(dot + 1));
}

/// One read of a file of our dialect.
class Parser {
 public:
  Parser(Reader* reader, ClusterConfig* config) : reader_(*reader), config_(config) {}

  absl::Status Parse(const YAML::Node& root) {
    MG_RETURN_IF_ERROR(Section(root, ""));
    MG_RETURN_IF_ERROR(SpreadPorts());
    if (config_->durability_policy == "MULTI_CELL_AT_LEAST_2" && config_->cells.size() < 2) {
      return reader_.Error(root["durability-policy"].Mark(),
                           "durability-policy: MULTI_CELL_AT_LEAST_2 needs at least two cells");
    }
    return absl::OkStatus();
  }

 private:
  absl::Status UnknownKey(const std::vector<Key>& keys, const YAML::Mark& mark, const std::string& prefix,
                          const std::string& name) {
    std::set<std::string> candidates;
    for (const Key& key : keys) {
      if (absl::StartsWith(key.path, prefix)) {
        std::string rest = key.path.substr(prefix.size());
        candidates.insert(rest.substr(0, rest.find('.')));
      }
    }
    std::vector<std::string> list(candidates.begin(), candidates.end());
    std::optional<std::string> near = text::Closest(name, list);
    return reader_.Error(
        mark, absl::StrCat("unknown key '", prefix, name, "'; expected one of: ", absl::StrJoin(list, ", ")),
        near.has_value() ? absl::StrCat("did you mean '", prefix, *near, "'?") : "see 'multigres schema'");
  }

  absl::Status Section(const YAML::Node& node, const std::string& prefix) {
    for (const auto& item : node) {
      std::string name = item.first.Scalar();
      std::string path = absl::StrCat(prefix, name);
      if (const Key* key = FindKey(Keys(), path); key != nullptr) {
        if (item.second.IsNull()) {
          if (key->type == KeyType::kSettings || key->type == KeyType::kStringList) {
            continue;  // all of its items are commented out
          }
          return reader_.Error(item.first.Mark(), absl::StrCat(path, ": expected a value, not nothing"));
        }
        MG_RETURN_IF_ERROR(Value(*key, item.second));
        MG_RETURN_IF_ERROR(CheckAlternative(*key, node, item.first.Mark()));
      } else if (IsSection(Keys(), path)) {
        if (item.second.IsNull()) {
          continue;  // a section whose keys are all commented out
        }
        MG_RETURN_IF_ERROR(reader_.ExpectMap(item.second, path));
        MG_RETURN_IF_ERROR(Section(item.second, absl::StrCat(path, ".")));
      } else {
        return UnknownKey(Keys(), item.first.Mark(), prefix, name);
      }
    }
    return absl::OkStatus();
  }

  /// An alternative and the key that stands before it in the table are not given together.
  absl::Status CheckAlternative(const Key& key, const YAML::Node& section, const YAML::Mark& mark) {
    if (!key.alternative) {
      return absl::OkStatus();
    }
    const Key* before = &key - 1;
    std::string name = before->path.substr(before->path.rfind('.') + 1);
    return section[name].IsDefined()
               ? reader_.Error(mark, absl::StrCat("expected either ", before->path, " or ", key.path, ", not both"))
               : absl::OkStatus();
  }

  absl::Status Value(const Key& key, const YAML::Node& node) {
    switch (key.type) {
      case KeyType::kCells:
        return Cells(node);
      case KeyType::kInteger:
        return Integer(key, node);
      case KeyType::kStringList: {
        MG_ASSIGN_OR_RETURN(std::vector<std::string> values, reader_.List(node, key.path));
        for (size_t i = 0; i < values.size(); ++i) {
          MG_RETURN_IF_ERROR(CheckText(key, node[i].Mark(), values[i]));
        }
        key.set_list(config_, values);
        return absl::OkStatus();
      }
      case KeyType::kSettings:
        return Settings(key, node);
      case KeyType::kFile:
        return File(key, node);
      case KeyType::kString:
        break;
    }
    MG_ASSIGN_OR_RETURN(std::string value, reader_.String(node, key.path));
    MG_RETURN_IF_ERROR(CheckText(key, node.Mark(), value));
    key.set_string(config_, value);
    return absl::OkStatus();
  }

  absl::Status CheckText(const Key& key, const YAML::Mark& mark, const std::string& value) {
    if (auto it = key.refused.find(value); it != key.refused.end()) {
      return reader_.Error(mark, absl::StrCat(key.path, ": '", value, "' ", it->second));
    }
    if (!key.choices.empty() && std::find(key.choices.begin(), key.choices.end(), value) == key.choices.end()) {
      std::optional<std::string> near = text::Closest(value, key.choices);
      return reader_.Error(mark,
                           absl::StrCat(key.path, ": '", value, "' is not one of: ", absl::StrJoin(key.choices, ", ")),
                           near.has_value() ? absl::StrCat("did you mean '", *near, "'?") : "");
    }
    bool blank = key.choices.empty() && absl::StripAsciiWhitespace(value).empty();
    if (blank || !Matches(value, key.pattern)) {
      // What was given is not repeated where it may be a secret.
      bool secret = absl::StrContains(key.path, "password");
      return reader_.Error(
          mark, absl::StrCat(key.path, ": expected ", key.expected, secret ? "" : absl::StrCat(", not '", value, "'")));
    }
    return absl::OkStatus();
  }

  absl::Status Integer(const Key& key, const YAML::Node& node) {
    MG_ASSIGN_OR_RETURN(long value, reader_.Integer(node, key.path, key.minimum, key.maximum));
    if (absl::StartsWith(key.path, "ports.")) {
      first_ports_[key.path.substr(6)] = {static_cast<int>(value), node.Mark()};
      return absl::OkStatus();
    }
    key.set_integer(config_, value);
    if (key.maximum == 65535) {
      reader_.NotePort(key.path, static_cast<int>(value), node.Mark());
    }
    return absl::OkStatus();
  }

  absl::Status Settings(const Key& key, const YAML::Node& node) {
    MG_RETURN_IF_ERROR(reader_.ExpectMap(node, key.path));
    for (const auto& item : node) {
      std::string name = item.first.Scalar();
      std::string path = absl::StrCat(key.path, ".", name);
      if (auto it = key.refused.find(name); it != key.refused.end()) {
        return reader_.Error(item.first.Mark(), absl::StrCat(path, " ", it->second));
      }
      if (!Matches(name, key.pattern)) {
        return reader_.Error(item.first.Mark(),
                             absl::StrCat(key.path, ": expected ", key.expected, ", not '", name, "'"));
      }
      MG_ASSIGN_OR_RETURN(std::string value, reader_.String(item.second, path));
      if (value.find_first_of("\r\n") != std::string::npos) {
        return reader_.Error(item.second.Mark(), absl::StrCat(path, ": expected one line"));
      }
      key.set_setting(config_, name, value);
    }
    return absl::OkStatus();
  }

  absl::Status File(const Key& key, const YAML::Node& node) {
    MG_ASSIGN_OR_RETURN(std::string name, reader_.String(node, key.path));
    std::string path = absl::StartsWith(name, "/") ? name : JoinPath(DirName(reader_.path()), name);
    absl::StatusOr<std::string> content = ReadFile(path);
    if (!content.ok()) {
      return reader_.Error(node.Mark(),
                           absl::StrCat(key.path, ": expected a file: ", std::string(content.status().message())));
    }
    while (absl::EndsWith(*content, "\n") || absl::EndsWith(*content, "\r")) {
      content->pop_back();
    }
    MG_RETURN_IF_ERROR(CheckText(key, node.Mark(), *content));
    if (struct stat info{}; ::stat(path.c_str(), &info) == 0 && (info.st_mode & 077) != 0) {
      config_->warnings.push_back(
          absl::StrCat(reader_.Place(node.Mark()), ": other users can read ", path, "; 'chmod 600' it"));
    }
    key.set_string(config_, *content);
    return absl::OkStatus();
  }

  absl::Status Cells(const YAML::Node& node) {
    config_->cells.clear();
    config_->cells_given = true;
    if (node.IsScalar()) {
      MG_ASSIGN_OR_RETURN(long count, reader_.Integer(node, "cells", 1, kMaxCells));
      config_->cells = DefaultConfig(static_cast<int>(count)).cells;
      return absl::OkStatus();
    }
    if (!node.IsSequence()) {
      return reader_.Error(node.Mark(), "cells: expected a number from 1 to 7, or a list of cells");
    }
    if (node.size() < 1 || node.size() > kMaxCells) {
      return reader_.Error(node.Mark(), absl::StrCat("cells: a cluster has 1 to 7 cells, not ", node.size()));
    }
    std::set<std::string> names, ids;
    for (const auto& item : node) {
      CellConfig cell;
      YAML::Node name = item.IsScalar() ? YAML::Node(item) : YAML::Node();
      if (!item.IsScalar()) {
        MG_RETURN_IF_ERROR(reader_.ExpectMap(item, "cells"));
        if (!item["name"].IsDefined()) {
          return reader_.Error(item.Mark(), "cells: expected a name for each cell");
        }
        name.reset(item["name"]);
      }
      // The name first: the places of its ports are remembered under it.
      const Key& rule = *FindKey(CellKeys(), "name");
      MG_ASSIGN_OR_RETURN(cell.name, reader_.String(name, "cells.name"));
      if (!Matches(cell.name, rule.pattern)) {
        return reader_.Error(name.Mark(), absl::StrCat("cells: expected ", rule.expected, ", not '", cell.name, "'"));
      }
      if (!names.insert(cell.name).second) {
        return reader_.Error(name.Mark(), absl::StrCat("cells: there are two named ", cell.name));
      }
      if (item.IsMap()) {
        MG_RETURN_IF_ERROR(CellItem(item, "", &cell));
      }
      if (!cell.service_id.empty() && !ids.insert(cell.service_id).second) {
        return reader_.Error(item.Mark(), absl::StrCat("cells: there are two with the service-id ", cell.service_id));
      }
      cell.topo_root = MakeCell(cell.name).topo_root;
      config_->cells.push_back(cell);
    }
    return absl::OkStatus();
  }

  absl::Status CellItem(const YAML::Node& node, const std::string& prefix, CellConfig* cell) {
    for (const auto& item : node) {
      std::string name = item.first.Scalar();
      std::string path = absl::StrCat(prefix, name);
      const Key* key = FindKey(CellKeys(), path);
      if (key == nullptr && IsSection(CellKeys(), path)) {
        MG_RETURN_IF_ERROR(reader_.ExpectMap(item.second, absl::StrCat("cells.", path)));
        MG_RETURN_IF_ERROR(CellItem(item.second, absl::StrCat(path, "."), cell));
      } else if (key == nullptr) {
        return UnknownKey(CellKeys(), item.first.Mark(), prefix, name);
      } else if (key->type == KeyType::kInteger) {
        MG_ASSIGN_OR_RETURN(long port, reader_.Integer(item.second, path, key->minimum, key->maximum));
        *CellPort(cell, path) = {static_cast<int>(port), true};
        reader_.NotePort(PortOwner(path, cell->name), static_cast<int>(port), item.second.Mark());
      } else if (path == "service-id") {
        MG_ASSIGN_OR_RETURN(cell->service_id, reader_.String(item.second, path));
        MG_RETURN_IF_ERROR(CheckText(*key, item.second.Mark(), cell->service_id));
      }
    }
    return absl::OkStatus();
  }

  /// `ports` gives the first cell's; a cell's own port counts more.
  absl::Status SpreadPorts() {
    for (const auto& [path, first] : first_ports_) {
      int number = first.first;
      for (CellConfig& cell : config_->cells) {
        PortWish* wish = CellPort(&cell, path);
        if (!wish->fixed) {
          if (number > 65535) {
            return reader_.Error(first.second, absl::StrCat("ports.", path, ": cell ", cell.name, " would get port ",
                                                            number, ", beyond 65535"));
          }
          *wish = {number, true};
          reader_.NotePort(PortOwner(path, cell.name), number, first.second);
        }
        ++number;
      }
    }
    return absl::OkStatus();
  }

  Reader& reader_;
  ClusterConfig* config_;
  std::map<std::string, std::pair<int, YAML::Mark>> first_ports_;  ///< by the cell's key
};

absl::Status Parse(const std::string& text, Reader* reader, ClusterConfig* config) {
  std::vector<YAML::Node> documents = YAML::LoadAll(text);
  if (documents.empty() || (documents.size() == 1 && documents[0].IsNull())) {
    return absl::OkStatus();
  }
  const YAML::Node& root = documents[0];
  if (!root.IsMap()) {
    return reader->Error(root.Mark(), "expected keys with values");
  }
  if (documents.size() > 1) {
    return reader->Error(documents[1].Mark(), "expected one document, and here begins another");
  }
  MG_RETURN_IF_ERROR(reader->CheckShape(root));
  MG_RETURN_IF_ERROR(root["provisioner-config"].IsDefined() ? ParseUpstream(reader, root, config)
                                                            : ParseOurs(reader, root, config));
  return reader->CheckPorts();
}

}  // namespace

absl::Status ParseOurs(Reader* reader, const YAML::Node& root, ClusterConfig* config) {
  return Parser(reader, config).Parse(root);
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
  if (text.size() > kMaxFileBytes) {
    return reader.Error(YAML::Mark::null_mark(), "expected a configuration; this file is larger than 1 MiB");
  }
  try {
    MG_RETURN_IF_ERROR(Parse(text, &reader, &config));
  } catch (const YAML::Exception& error) {
    return reader.Error(error.mark, absl::StrCat("this is not YAML: ", error.msg));
  }
  return config;
}

absl::StatusOr<ClusterConfig> LoadConfig(const std::string& path) {
  absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) {
    return MakeError(text.status().code(), absl::StrCat("the configuration cannot be read: ", text.status().message()),
                     {.reason = "UNREADABLE_CONFIGURATION",
                      .hint = "make it a file that this user may read, or name another with --config-path"});
  }
  return ParseConfig(*text, path);
}

}  // namespace mg::config
