#include "common/config/keys.h"

#include "absl/strings/str_cat.h"

namespace mg::config {
namespace {

Key Text(std::string path, std::string doc, std::string default_text, std::string ClusterConfig::*member) {
  return {.path = std::move(path),
          .doc = std::move(doc),
          .default_text = std::move(default_text),
          .set_string = [member](ClusterConfig* c, const std::string& v) { c->*member = v; }};
}

Key PortKey(std::string path, std::string doc, std::string default_text, Ports ClusterConfig::*member,
            std::string port) {
  return {.path = std::move(path),
          .type = KeyType::kInteger,
          .doc = std::move(doc),
          .default_text = std::move(default_text),
          .minimum = 1,
          .maximum = 65535,
          .set_integer = [member, port](ClusterConfig* c, long v) {
            (c->*member)[port] = {static_cast<int>(v), true};
          }};
}

Key ComponentKey(const std::string& kind) {
  return {.path = absl::StrCat("components.", kind),
          .doc = absl::StrCat("which ", kind, " runs: auto, builtin, or an absolute path"),
          .default_text = "auto",
          .set_string = [kind](ClusterConfig* c, const std::string& v) { c->implementations[kind] = v; }};
}

Key ListKey(std::string path, std::string doc, std::vector<std::string> ClusterConfig::*member) {
  return {.path = std::move(path),
          .type = KeyType::kStringList,
          .doc = std::move(doc),
          .default_text = "[]",
          .set_list = [member](ClusterConfig* c, const std::vector<std::string>& v) { c->*member = v; }};
}

std::vector<Key> MakeKeys() {
  std::vector<Key> keys = {
      Text("name", "the cluster's name: lower-case letters, digits and '-'", "default", &ClusterConfig::name),
      {.path = "cells",
       .type = KeyType::kCells,
       .doc = "number of cells (1 to 7), or a list of cells with a name and, if wanted, fixed ports",
       .default_text = "3"},
      Text("database", "the database that is made", "postgres", &ClusterConfig::database),
      {.path = "durability-policy",
       .doc = "when a commit is durable; with one cell it is local",
       .default_text = "AT_LEAST_2",
       .choices = {"AT_LEAST_2", "MULTI_CELL_AT_LEAST_2"},
       .set_string = [](ClusterConfig* c, const std::string& v) { c->durability_policy = v; }},
      {.path = "log-level",
       .doc = "of the components",
       .default_text = "info",
       .choices = {"debug", "info", "warn", "error"},
       .set_string = [](ClusterConfig* c, const std::string& v) { c->log_level = v; }},
      {.path = "postgres.version",
       .type = KeyType::kInteger,
       .doc = "major version for new data; absent: the newest installed",
       .default_text = "15",
       .minimum = 14,
       .maximum = 17,
       .set_integer = [](ClusterConfig* c, long v) { c->postgres_version = static_cast<int>(v); }},
      Text("postgres.user", "the superuser role", "postgres", &ClusterConfig::postgres_user),
      Text("postgres.password", "its password; the cluster keeps it in a file that only this user can read", "postgres",
           &ClusterConfig::postgres_password),
      Text("postgres.run-as", "the user that PostgreSQL runs as when the agent is root", "postgres",
           &ClusterConfig::run_as),
      {.path = "postgres.settings",
       .type = KeyType::kSettings,
       .doc = "lines of postgresql.conf",
       .default_text = "{}",
       .set_setting = [](ClusterConfig* c, const std::string& k,
                         const std::string& v) { c->postgres_settings[k] = v; }},
      ListKey("postgres.initdb-args", "further arguments of initdb", &ClusterConfig::initdb_args),
      ListKey("postgres.init-sql", "SQL that is run once on a new cluster, as the superuser", &ClusterConfig::init_sql),
      {.path = "postgres.extensions",
       .type = KeyType::kStringList,
       .doc = "extensions that are created on a new cluster",
       .default_text = "[]",
       .set_list =
           [](ClusterConfig* c, const std::vector<std::string>& names) {
             for (const std::string& name : names) {
               c->init_sql.push_back(absl::StrCat("CREATE EXTENSION IF NOT EXISTS \"", name, "\""));
             }
           }},
      PortKey("etcd.port", "client port; a port that is given here is fixed, others move when they are taken", "2379",
              &ClusterConfig::etcd, "client"),
      PortKey("etcd.peer-port", "peer port", "2380", &ClusterConfig::etcd, "peer"),
      PortKey("etcd.metrics-port", "metrics port", "2381", &ClusterConfig::etcd, "metrics"),
      PortKey("multiadmin.http-port", "HTTP port of the Admin API", "15000", &ClusterConfig::multiadmin, "http"),
      PortKey("multiadmin.grpc-port", "gRPC port of the Admin API", "15070", &ClusterConfig::multiadmin, "grpc"),
      {.path = "multiadmin.auth",
       .doc = "authentication of the Admin API",
       .default_text = "none",
       .choices = {"none"},
       .set_string = [](ClusterConfig* c, const std::string& v) { c->admin_auth = v; }},
      Text("backup-path", "where backups go; absent: below the cluster's directory", "/path",
           &ClusterConfig::backup_path),
  };
  for (const char* kind : {"etcd", "multiadmin", "pgctld", "multipooler", "multiorch", "multigateway"}) {
    keys.push_back(ComponentKey(kind));
  }
  return keys;
}

Key CellInteger(const std::string& path, const std::string& doc, int example) {
  return {.path = path,
          .type = KeyType::kInteger,
          .doc = doc,
          .default_text = absl::StrCat(example),
          .minimum = 1,
          .maximum = 65535};
}

}  // namespace

const std::vector<Key>& Keys() {
  static const auto* const kKeys = new std::vector<Key>(MakeKeys());
  return *kKeys;
}

const std::vector<Key>& CellKeys() {
  static const auto* const kKeys = new std::vector<Key>{
      {.path = "name", .doc = "letters, digits and '-'", .default_text = "zone1"},
      {.path = "service-id", .doc = "name of the cell's pooler; absent: chosen once", .default_text = "bcdfghjk"},
      CellInteger("multigateway.pg-port", "read-write PostgreSQL port", 15432),
      CellInteger("multigateway.pg-replica-port", "read-only PostgreSQL port", 15532),
      CellInteger("multigateway.http-port", "HTTP port", 15100),
      CellInteger("multigateway.grpc-port", "gRPC port", 15170),
      CellInteger("multipooler.http-port", "HTTP port", 15200),
      CellInteger("multipooler.grpc-port", "gRPC port", 15270),
      CellInteger("multiorch.http-port", "HTTP port", 15300),
      CellInteger("multiorch.grpc-port", "gRPC port", 15370),
      CellInteger("pgctld.http-port", "HTTP port", 15400),
      CellInteger("pgctld.grpc-port", "gRPC port", 15470),
      CellInteger("pgctld.pg-port", "PostgreSQL's own port", 25432),
  };
  return *kKeys;
}

PortWish* CellPort(CellConfig* cell, const std::string& key) {
  static const std::map<std::string, std::pair<Ports CellConfig::*, std::string>> kPlaces = {
      {"multigateway.pg-port", {&CellConfig::multigateway, "postgres"}},
      {"multigateway.pg-replica-port", {&CellConfig::multigateway, "postgres_replica"}},
      {"multigateway.http-port", {&CellConfig::multigateway, "http"}},
      {"multigateway.grpc-port", {&CellConfig::multigateway, "grpc"}},
      {"multipooler.http-port", {&CellConfig::multipooler, "http"}},
      {"multipooler.grpc-port", {&CellConfig::multipooler, "grpc"}},
      {"multipooler.pg-port", {&CellConfig::pgctld, "postgres"}},
      {"multiorch.http-port", {&CellConfig::multiorch, "http"}},
      {"multiorch.grpc-port", {&CellConfig::multiorch, "grpc"}},
      {"pgctld.http-port", {&CellConfig::pgctld, "http"}},
      {"pgctld.grpc-port", {&CellConfig::pgctld, "grpc"}},
      {"pgctld.pg-port", {&CellConfig::pgctld, "postgres"}},
      {"pgctld.pgbackrest-port", {&CellConfig::pgctld, "pgbackrest"}},
  };
  auto it = kPlaces.find(key);
  return it == kPlaces.end() ? nullptr : &(cell->*it->second.first)[it->second.second];
}

bool ValidClusterName(const std::string& name) {
  if (name.empty() || name.size() > 40 || name[0] < 'a' || name[0] > 'z') {
    return false;
  }
  for (char c : name) {
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-')) {
      return false;
    }
  }
  return true;
}

}  // namespace mg::config
