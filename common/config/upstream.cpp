#include <set>

#include "absl/strings/str_cat.h"
#include "common/config/cluster_config.h"
#include "common/config/keys.h"
#include "common/config/reader.h"
#include "common/status/status.h"

namespace mg::config {
namespace {

/// Reads upstream's file (its keys and meanings: the CLI contract, section 2). Unknown keys warn, as upstream ignores
/// them.
class UpstreamParser {
 public:
  UpstreamParser(const Reader& reader, ClusterConfig* config) : reader_(reader), config_(config) {}

  absl::Status Parse(const YAML::Node& root) {
    Warn(root, "", {"provisioner", "provisioner-config"});
    if (YAML::Node provisioner = root["provisioner"]; provisioner.IsDefined()) {
      MG_ASSIGN_OR_RETURN(std::string name, reader_.String(provisioner, "provisioner"));
      if (name != "local") {
        return reader_.Error(provisioner.Mark(), absl::StrCat("provisioner: expected local, not '", name, "'"));
      }
    }
    YAML::Node top = root["provisioner-config"];
    MG_RETURN_IF_ERROR(reader_.ExpectMap(top, "provisioner-config"));
    Warn(top, "provisioner-config.",
         {"root-working-dir", "default-db-name", "backup", "etcd", "topology", "multiadmin", "cells"});
    config_->upstream_dialect = true;
    MG_RETURN_IF_ERROR(Text(top["root-working-dir"], "root-working-dir", &config_->root_dir));
    MG_RETURN_IF_ERROR(Text(top["default-db-name"], "default-db-name", &config_->database));
    MG_RETURN_IF_ERROR(Topology(top["topology"]));
    MG_RETURN_IF_ERROR(Port(top["etcd"], "port", "etcd", &config_->etcd["client"]));
    MG_RETURN_IF_ERROR(Port(top["etcd"], "peer-port", "etcd", &config_->etcd["peer"]));
    MG_RETURN_IF_ERROR(Port(top["etcd"], "metrics-port", "etcd", &config_->etcd["metrics"]));
    Warn(top["etcd"], "etcd.", {"version", "data-dir", "port", "peer-port", "metrics-port"});
    MG_RETURN_IF_ERROR(Port(top["multiadmin"], "http-port", "multiadmin", &config_->multiadmin["http"]));
    MG_RETURN_IF_ERROR(Port(top["multiadmin"], "grpc-port", "multiadmin", &config_->multiadmin["grpc"]));
    MG_RETURN_IF_ERROR(Text(Get(top["multiadmin"], "log-level"), "multiadmin.log-level", &config_->log_level));
    Warn(top["multiadmin"], "multiadmin.", {"path", "http-port", "grpc-port", "log-level"});
    MG_RETURN_IF_ERROR(Text(Get(Get(top["backup"], "local"), "path"), "backup.local.path", &config_->backup_path));
    return Cells(top["cells"]);
  }

 private:
  static YAML::Node Get(const YAML::Node& node, const std::string& key) {
    return node.IsDefined() && node.IsMap() ? node[key] : YAML::Node(YAML::NodeType::Undefined);
  }

  void Warn(const YAML::Node& node, const std::string& prefix, const std::set<std::string>& known) {
    if (!node.IsDefined() || !node.IsMap()) {
      return;
    }
    for (const auto& item : node) {
      if (!known.contains(item.first.Scalar())) {
        config_->warnings.push_back(absl::StrCat(reader_.Place(item.first.Mark()), ": unknown key '", prefix,
                                                 item.first.Scalar(), "' is ignored"));
      }
    }
  }

  absl::Status Text(const YAML::Node& node, const std::string& key, std::string* value) {
    if (!node.IsDefined() || node.IsNull()) {
      return absl::OkStatus();
    }
    MG_ASSIGN_OR_RETURN(*value, reader_.String(node, key));
    return absl::OkStatus();
  }

  absl::Status Port(const YAML::Node& section, const std::string& key, const std::string& name, PortWish* wish) {
    YAML::Node node = Get(section, key);
    if (!node.IsDefined() || node.IsNull()) {
      return absl::OkStatus();
    }
    MG_ASSIGN_OR_RETURN(long port, reader_.Integer(node, absl::StrCat(name, ".", key), 0, 65535));
    *wish = {static_cast<int>(port), port > 0};
    return absl::OkStatus();
  }

  absl::Status Topology(const YAML::Node& node) {
    if (!node.IsDefined()) {
      return absl::OkStatus();
    }
    MG_RETURN_IF_ERROR(reader_.ExpectMap(node, "topology"));
    Warn(node, "topology.", {"global-root-path", "cells"});
    MG_RETURN_IF_ERROR(Text(node["global-root-path"], "topology.global-root-path", &config_->global_topo_root));
    YAML::Node cells = node["cells"];
    if (!cells.IsDefined()) {
      return absl::OkStatus();
    }
    if (!cells.IsSequence() || cells.size() < 1 || cells.size() > 7) {
      return reader_.Error(cells.Mark(), "topology.cells: expected a list of 1 to 7 cells");
    }
    config_->cells.clear();
    config_->cells_given = true;
    for (const auto& item : cells) {
      MG_RETURN_IF_ERROR(reader_.ExpectMap(item, "topology.cells"));
      CellConfig cell;
      MG_RETURN_IF_ERROR(Text(item["name"], "topology.cells.name", &cell.name));
      MG_RETURN_IF_ERROR(Text(item["root-path"], "topology.cells.root-path", &cell.topo_root));
      if (cell.name.empty() || cell.topo_root.empty() || cell.name.find('_') != std::string::npos) {
        return reader_.Error(item.Mark(), "topology.cells: each needs a name without '_' and a root-path");
      }
      config_->cells.push_back(cell);
    }
    return absl::OkStatus();
  }

  absl::Status Cells(const YAML::Node& cells) {
    if (!cells.IsDefined()) {
      return absl::OkStatus();
    }
    MG_RETURN_IF_ERROR(reader_.ExpectMap(cells, "cells"));
    for (const auto& item : cells) {
      CellConfig* cell = nullptr;
      for (CellConfig& candidate : config_->cells) {
        cell = candidate.name == item.first.Scalar() ? &candidate : cell;
      }
      if (cell == nullptr) {
        config_->warnings.push_back(absl::StrCat(reader_.Place(item.first.Mark()), ": cell '", item.first.Scalar(),
                                                 "' is not in topology.cells and is ignored"));
        continue;
      }
      MG_RETURN_IF_ERROR(OneCell(item.second, cell));
    }
    return absl::OkStatus();
  }

  absl::Status OneCell(const YAML::Node& node, CellConfig* cell) {
    MG_RETURN_IF_ERROR(reader_.ExpectMap(node, absl::StrCat("cells.", cell->name)));
    for (const char* kind : {"multigateway", "multipooler", "multiorch", "pgctld"}) {
      YAML::Node section = node[kind];
      for (const char* key : {"http-port", "grpc-port", "pg-port", "pgbackrest-port"}) {
        if (PortWish* wish = CellPort(cell, absl::StrCat(kind, ".", key)); wish != nullptr) {
          MG_RETURN_IF_ERROR(Port(section, key, kind, wish));
        }
      }
    }
    YAML::Node pooler = node["multipooler"], pgctld = node["pgctld"];
    MG_RETURN_IF_ERROR(Text(Get(pooler, "service-id"), "multipooler.service-id", &cell->service_id));
    MG_RETURN_IF_ERROR(Text(Get(pooler, "pooler-dir"), "multipooler.pooler-dir", &cell->pooler_dir));
    MG_RETURN_IF_ERROR(Text(Get(pgctld, "pg-user"), "pgctld.pg-user", &config_->postgres_user));
    MG_RETURN_IF_ERROR(Text(Get(pgctld, "pg-password"), "pgctld.pg-password", &config_->postgres_password));
    if (YAML::Node timeout = Get(pgctld, "timeout"); timeout.IsDefined()) {
      MG_ASSIGN_OR_RETURN(long seconds, reader_.Integer(timeout, "pgctld.timeout", 1, 3600));
      config_->pgctld_timeout_seconds = static_cast<int>(seconds);
    }
    Warn(node, absl::StrCat("cells.", cell->name, "."), {"multigateway", "multipooler", "multiorch", "pgctld"});
    return absl::OkStatus();
  }

  const Reader& reader_;
  ClusterConfig* config_;
};

}  // namespace

absl::Status ParseUpstream(const Reader& reader, const YAML::Node& root, ClusterConfig* config) {
  return UpstreamParser(reader, config).Parse(root);
}

}  // namespace mg::config
