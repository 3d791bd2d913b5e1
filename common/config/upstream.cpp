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
  UpstreamParser(Reader* reader, ClusterConfig* config) : reader_(*reader), config_(config) {}

  absl::Status Parse(const YAML::Node& root) {
    Warn(root, "", {"provisioner", "provisioner-config"});
    if (YAML::Node provisioner = root["provisioner"]; provisioner.IsDefined()) {
      MG_ASSIGN_OR_RETURN(std::string name, reader_.String(provisioner, "provisioner"));
      if (name != "local") {
        return reader_.Error(provisioner.Mark(), absl::StrCat("provisioner: expected local, not '", name, "'"));
      }
    }
    YAML::Node top = root["provisioner-config"];
    if (!root["provisioner"].IsDefined()) {
      return reader_.Error(top.Mark(), "expected the key 'provisioner: local' beside provisioner-config");
    }
    MG_RETURN_IF_ERROR(reader_.ExpectMap(top, "provisioner-config"));
    Warn(top, "provisioner-config.",
         {"root-working-dir", "default-db-name", "backup", "etcd", "topology", "multiadmin", "cells"});
    config_->upstream_dialect = true;
    MG_RETURN_IF_ERROR(Text(top["root-working-dir"], "root-working-dir", &config_->root_dir));
    MG_RETURN_IF_ERROR(Database(top["default-db-name"]));
    MG_RETURN_IF_ERROR(Topology(top["topology"]));
    MG_RETURN_IF_ERROR(Sections(top, "", {"etcd", "multiadmin", "backup"}));
    YAML::Node etcd = top["etcd"], multiadmin = top["multiadmin"];
    Warn(etcd, "etcd.", {"version", "data-dir", "port", "peer-port", "metrics-port"});
    MG_RETURN_IF_ERROR(Port(etcd, "port", "etcd", &config_->etcd["client"]));
    MG_RETURN_IF_ERROR(Port(etcd, "peer-port", "etcd", &config_->etcd["peer"]));
    MG_RETURN_IF_ERROR(Port(etcd, "metrics-port", "etcd", &config_->etcd["metrics"]));
    if (YAML::Node directory = Get(etcd, "data-dir"); directory.IsDefined() && !config_->root_dir.empty() &&
                                                      directory.Scalar() != config_->root_dir + "/data/etcd-data") {
      Note(directory.Mark(), "etcd.data-dir is not used: etcd's data is below the cluster's directory");
    }
    Warn(multiadmin, "multiadmin.", {"path", "http-port", "grpc-port", "log-level"});
    MG_RETURN_IF_ERROR(Port(multiadmin, "http-port", "multiadmin", &config_->multiadmin["http"]));
    MG_RETURN_IF_ERROR(Port(multiadmin, "grpc-port", "multiadmin", &config_->multiadmin["grpc"]));
    MG_RETURN_IF_ERROR(Text(Get(multiadmin, "log-level"), "multiadmin.log-level", &config_->log_level));
    MG_RETURN_IF_ERROR(Backup(top["backup"]));
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
        Note(item.first.Mark(), absl::StrCat("unknown key '", prefix, item.first.Scalar(), "' is ignored"));
      }
    }
  }

  void Note(const YAML::Mark& mark, const std::string& text) {
    config_->warnings.push_back(absl::StrCat(reader_.Place(mark), ": ", text));
  }

  /// What is there of these is a map.
  absl::Status Sections(const YAML::Node& node, const std::string& prefix, const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      if (YAML::Node section = node[name]; section.IsDefined() && !section.IsNull()) {
        MG_RETURN_IF_ERROR(reader_.ExpectMap(section, absl::StrCat(prefix, name)));
      }
    }
    return absl::OkStatus();
  }

  absl::Status Database(const YAML::Node& node) {
    MG_RETURN_IF_ERROR(Text(node, "default-db-name", &config_->database));
    for (const Key& key : Keys()) {
      if (key.path == "database" && !Matches(config_->database, key.pattern)) {
        return reader_.Error(node.Mark(), absl::StrCat("default-db-name: expected ", key.expected));
      }
    }
    return absl::OkStatus();
  }

  absl::Status Backup(const YAML::Node& node) {
    Warn(node, "backup.", {"type", "local", "s3", "encrypt", "cipher-key-file"});
    MG_RETURN_IF_ERROR(node.IsDefined() ? Sections(node, "backup.", {"local", "s3"}) : absl::OkStatus());
    std::string type;
    MG_RETURN_IF_ERROR(Text(Get(node, "type"), "backup.type", &type));
    if (type != "" && type != "local" && type != "s3") {
      return reader_.Error(node["type"].Mark(), absl::StrCat("backup.type: expected local or s3, not '", type, "'"));
    }
    if (type == "s3") {
      Note(node["type"].Mark(), "backup.type: s3 is not available yet; backups are not made");
    }
    return Text(Get(Get(node, "local"), "path"), "backup.local.path", &config_->backup_path);
  }

  /// A value that only upstream's default is right for.
  absl::Status Only(const YAML::Node& node, const std::string& key, const std::string& value) {
    std::string text = value;
    MG_RETURN_IF_ERROR(Text(node, key, &text));
    return text == value
               ? absl::OkStatus()
               : reader_.Error(node.Mark(), absl::StrCat(key, ": only '", value, "' is supported, not '", text, "'"));
  }

  /// Two places that say the same must agree.
  absl::Status Agree(const YAML::Node& a, const std::string& a_key, const YAML::Node& b, const std::string& b_key) {
    if (a.IsDefined() && b.IsDefined() && a.IsScalar() && b.IsScalar() && a.Scalar() != b.Scalar()) {
      return reader_.Error(b.Mark(), absl::StrCat(b_key, ": expected the same as ", a_key, ", which is '", a.Scalar(),
                                                  "', not '", b.Scalar(), "'"));
    }
    return absl::OkStatus();
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
    if (port > 0) {
      reader_.NotePort(absl::StrCat(name, " ", key), static_cast<int>(port), node.Mark());
    }
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
    std::set<std::string> names;
    for (const auto& item : cells) {
      MG_RETURN_IF_ERROR(reader_.ExpectMap(item, "topology.cells"));
      CellConfig cell;
      MG_RETURN_IF_ERROR(Text(item["name"], "topology.cells.name", &cell.name));
      MG_RETURN_IF_ERROR(Text(item["root-path"], "topology.cells.root-path", &cell.topo_root));
      if (!Matches(cell.name, CellKeys()[0].pattern) || cell.topo_root.empty()) {
        return reader_.Error(item.Mark(),
                             absl::StrCat("topology.cells: expected a root-path, and ", CellKeys()[0].expected));
      }
      if (!names.insert(cell.name).second) {
        return reader_.Error(item.Mark(), absl::StrCat("topology.cells: there are two named ", cell.name));
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
    std::string prefix = absl::StrCat("cells.", cell->name, ".");
    MG_RETURN_IF_ERROR(Sections(node, prefix, {"multigateway", "multipooler", "multiorch", "pgctld"}));
    Warn(node, prefix, {"multigateway", "multipooler", "multiorch", "pgctld"});
    Warn(node["multigateway"], prefix + "multigateway.", {"path", "http-port", "grpc-port", "pg-port", "log-level"});
    Warn(node["multiorch"], prefix + "multiorch.",
         {"path", "http-port", "grpc-port", "log-level", "pooler-health-check-interval", "recovery-cycle-interval"});
    Warn(node["multipooler"], prefix + "multipooler.",
         {"path", "database", "table-group", "shard", "service-id", "pooler-dir", "pg-port", "http-port", "grpc-port",
          "grpc-socket-file", "log-level"});
    Warn(node["pgctld"], prefix + "pgctld.",
         {"path", "http-port", "grpc-port", "grpc-socket-file", "pooler-dir", "pg-port", "pg-database", "pg-user",
          "pg-password", "timeout", "log-level", "pgbackrest-port", "pgbackrest-cert-dir"});
    for (const char* kind : {"multigateway", "multipooler", "multiorch", "pgctld"}) {
      YAML::Node section = node[kind];
      for (const char* key : {"http-port", "grpc-port", "pg-port", "pgbackrest-port"}) {
        // multipooler's pg-port is pgctld's, said again.
        if (PortWish* wish = CellPort(cell, absl::StrCat(kind, ".", key));
            wish != nullptr && absl::StrCat(kind, ".", key) != "multipooler.pg-port") {
          MG_RETURN_IF_ERROR(Port(section, key, absl::StrCat(kind, "/", cell->name), wish));
        }
      }
    }
    YAML::Node pooler = node["multipooler"], pgctld = node["pgctld"];
    MG_RETURN_IF_ERROR(Agree(Get(pgctld, "pg-port"), prefix + "pgctld.pg-port", Get(pooler, "pg-port"),
                             prefix + "multipooler.pg-port"));
    MG_RETURN_IF_ERROR(Agree(Get(pgctld, "pooler-dir"), prefix + "pgctld.pooler-dir", Get(pooler, "pooler-dir"),
                             prefix + "multipooler.pooler-dir"));
    MG_RETURN_IF_ERROR(Only(Get(pooler, "table-group"), prefix + "multipooler.table-group", "default"));
    MG_RETURN_IF_ERROR(Only(Get(pooler, "shard"), prefix + "multipooler.shard", "0-inf"));
    MG_RETURN_IF_ERROR(Text(Get(pooler, "service-id"), "multipooler.service-id", &cell->service_id));
    MG_RETURN_IF_ERROR(Text(Get(pooler, "pooler-dir"), "multipooler.pooler-dir", &cell->pooler_dir));
    MG_RETURN_IF_ERROR(Text(Get(pgctld, "pg-user"), "pgctld.pg-user", &config_->postgres_user));
    MG_RETURN_IF_ERROR(Text(Get(pgctld, "pg-password"), "pgctld.pg-password", &config_->postgres_password));
    if (YAML::Node timeout = Get(pgctld, "timeout"); timeout.IsDefined()) {
      MG_ASSIGN_OR_RETURN(long seconds, reader_.Integer(timeout, "pgctld.timeout", 1, 3600));
      config_->pgctld_timeout_seconds = static_cast<int>(seconds);
    }
    if (!cell->service_id.empty() && !service_ids_.insert(cell->service_id).second) {
      return reader_.Error(pooler["service-id"].Mark(),
                           absl::StrCat("two cells have the service-id ", cell->service_id));
    }
    return absl::OkStatus();
  }

  std::set<std::string> service_ids_;
  Reader& reader_;
  ClusterConfig* config_;
};

}  // namespace

absl::Status ParseUpstream(Reader* reader, const YAML::Node& root, ClusterConfig* config) {
  return UpstreamParser(reader, config).Parse(root);
}

}  // namespace mg::config
