#include "common/config/keys.h"

#include <regex>

#include "absl/strings/str_cat.h"

namespace mg::config {
namespace {

constexpr char kClusterName[] = "[a-z][a-z0-9-]{0,39}";
constexpr char kCellName[] = "(?!global$)[A-Za-z0-9][A-Za-z0-9-]{0,39}";
constexpr char kRoleName[] = "(?!pg_)[A-Za-z_][A-Za-z0-9_$-]{0,62}";
constexpr char kDatabaseName[] = "(?!template[01]$)[A-Za-z_][A-Za-z0-9_$-]{0,62}";
constexpr char kUserName[] = "(?!root$)[A-Za-z_][A-Za-z0-9_.-]{0,31}";
constexpr char kImplementation[] = "auto|builtin|/.+";
constexpr char kOneLine[] = "[^\\r\\n\\0]+";
constexpr char kWord[] = "[^\\s,]+";
constexpr char kSettingName[] = "[A-Za-z_][A-Za-z0-9_]*([.][A-Za-z_][A-Za-z0-9_]*)?";
constexpr char kAbsolutePath[] = "/.*";

/// Settings that would break the cluster: they are the product's own.
std::map<std::string, std::string> OwnSettings() {
  std::map<std::string, std::string> result;
  for (const char* name : {"port",
                           "listen_addresses",
                           "unix_socket_directories",
                           "unix_socket_permissions",
                           "unix_socket_group",
                           "data_directory",
                           "config_file",
                           "hba_file",
                           "ident_file",
                           "external_pid_file",
                           "wal_level",
                           "hot_standby",
                           "wal_log_hints",
                           "max_wal_senders",
                           "max_replication_slots",
                           "password_encryption",
                           "logging_collector",
                           "log_destination",
                           "synchronous_standby_names",
                           "primary_conninfo",
                           "primary_slot_name",
                           "restore_command",
                           "recovery_target_timeline",
                           "promote_trigger_file",
                           "cluster_name"}) {
    result[name] = "is set by multigres itself";
  }
  return result;
}

Key Text(std::string path, std::string doc, std::string default_text, std::string pattern, std::string expected,
         std::string ClusterConfig::*member) {
  return {.path = std::move(path),
          .doc = std::move(doc),
          .default_text = std::move(default_text),
          .pattern = std::move(pattern),
          .expected = std::move(expected),
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
          .doc = absl::StrCat("which ", kind),
          .default_text = "auto",
          .pattern = kind == "etcd" ? "auto|/.+" : kImplementation,
          .expected = kind == "etcd" ? "auto or an absolute path; there is no built-in etcd"
                                     : "auto, builtin or an absolute path",
          .set_string = [kind](ClusterConfig* c, const std::string& v) { c->implementations[kind] = v; }};
}

Key RestartKey(const std::string& kind) {
  return {.path = absl::StrCat("restart.", kind),
          .doc = absl::StrCat("what follows the end of a ", kind),
          .default_text = "always",
          .choices = {"always", "on-failure", "never"},
          .set_string = [kind](ClusterConfig* c, const std::string& v) { c->restart[kind] = v; }};
}

Key ListKey(std::string path, std::string doc, std::string pattern, std::string expected,
            std::vector<std::string> ClusterConfig::*member) {
  return {.path = std::move(path),
          .type = KeyType::kStringList,
          .doc = std::move(doc),
          .default_text = "[]",
          .pattern = std::move(pattern),
          .expected = std::move(expected),
          .set_list = [member](ClusterConfig* c, const std::vector<std::string>& v) { c->*member = v; }};
}

std::vector<Key> MakeKeys() {
  std::vector<Key> keys = {
      Text("name", "the cluster's name: lower-case letters, digits and '-'", "default", kClusterName,
           "a lower-case letter, then lower-case letters, digits and '-', at most 40", &ClusterConfig::name),
      {.path = "cells",
       .type = KeyType::kCells,
       .doc = "number of cells (1 to 7), or a list of cells with a name and, if wanted, fixed ports",
       .default_text = "3"},
      Text("database", "the database that is made", "postgres", kDatabaseName,
           "a letter, then letters, digits, '_', '$' and '-', at most 63, not template0 or template1",
           &ClusterConfig::database),
      {.path = "durability-policy",
       .doc = "when a commit is durable; with one cell it is local",
       .default_text = "AT_LEAST_2",
       .choices = {"AT_LEAST_2", "MULTI_CELL_AT_LEAST_2"},
       .set_string = [](ClusterConfig* c, const std::string& v) { c->durability_policy = v; }},
      {.path = "log-level",
       .doc = "log level of the components",
       .default_text = "info",
       .choices = {"debug", "info", "warn", "error"},
       .set_string = [](ClusterConfig* c, const std::string& v) { c->log_level = v; }},
      {.path = "logs.file-size-mb",
       .type = KeyType::kInteger,
       .doc = "size at which a component's log file is closed and the next begun; from its next start",
       .default_text = "16",
       .minimum = 1,
       .maximum = 1024,
       .set_integer = [](ClusterConfig* c, long v) { c->log_file_mb = static_cast<int>(v); }},
      {.path = "logs.files",
       .type = KeyType::kInteger,
       .doc = "old files of each component that are kept, compressed; from its next start",
       .default_text = "8",
       .minimum = 1,
       .maximum = 1000,
       .set_integer = [](ClusterConfig* c, long v) { c->log_files = static_cast<int>(v); }},
      {.path = "logs.total-size-mb",
       .type = KeyType::kInteger,
       .doc = "size of all log files of the cluster; above it the oldest go",
       .default_text = "1024",
       .minimum = 16,
       .maximum = 1048576,
       .set_integer = [](ClusterConfig* c, long v) { c->log_total_mb = static_cast<int>(v); }},
      {.path = "postgres.version",
       .type = KeyType::kInteger,
       .doc = "major version for new data; absent: the newest installed",
       .default_text = "15",
       .minimum = 14,
       .maximum = 17,
       .set_integer = [](ClusterConfig* c, long v) { c->postgres_version = static_cast<int>(v); }},
      Text("postgres.user", "the superuser role", "postgres", kRoleName,
           "a letter, then letters, digits, '_', '$' and '-', at most 63, not beginning with pg_",
           &ClusterConfig::postgres_user),
      Text("postgres.password", "its password; the cluster keeps it in a file that only this user can read", "postgres",
           kOneLine, "one line that is not empty", &ClusterConfig::postgres_password),
      {.path = "postgres.password-file",
       .type = KeyType::kFile,
       .doc = "or the file that has it, from this file's directory",
       .default_text = "/path",
       .pattern = kOneLine,
       .expected = "one line that is not empty",
       .alternative = true,
       .set_string = [](ClusterConfig* c, const std::string& v) { c->postgres_password = v; }},
      Text("postgres.run-as", "the user that PostgreSQL runs as when the agent is root", "postgres", kUserName,
           "a user's name, not root: PostgreSQL refuses to run as root", &ClusterConfig::run_as),
      {.path = "postgres.settings",
       .type = KeyType::kSettings,
       .doc = "lines of postgresql.conf, as setting: value",
       .default_text = "{}",
       .pattern = kSettingName,
       .expected = "the name of a setting",
       .refused = OwnSettings(),
       .set_setting = [](ClusterConfig* c, const std::string& k,
                         const std::string& v) { c->postgres_settings[k] = v; }},
      ListKey("postgres.initdb-args", "further arguments of initdb, such as --wal-segsize=32", kWord,
              "an argument without blanks or commas", &ClusterConfig::initdb_args),
      ListKey("postgres.init-sql", "SQL that is run once on a new cluster, as the superuser", "",
              "SQL that is not empty", &ClusterConfig::init_sql),
      {.path = "postgres.extensions",
       .type = KeyType::kStringList,
       .doc = "extensions that are created on a new cluster",
       .default_text = "[]",
       .pattern = "[A-Za-z_][A-Za-z0-9_-]{0,62}",
       .expected = "the name of an extension",
       .set_list =
           [](ClusterConfig* c, const std::vector<std::string>& names) {
             for (const std::string& name : names) {
               c->init_sql.push_back(absl::StrCat("CREATE EXTENSION IF NOT EXISTS \"", name, "\""));
             }
           }},
      PortKey("etcd.port", "client port", "2379", &ClusterConfig::etcd, "client"),
      PortKey("etcd.peer-port", "peer port", "2380", &ClusterConfig::etcd, "peer"),
      PortKey("etcd.metrics-port", "metrics port", "2381", &ClusterConfig::etcd, "metrics"),
      PortKey("multiadmin.http-port", "HTTP port of the Admin API", "15000", &ClusterConfig::multiadmin, "http"),
      PortKey("multiadmin.grpc-port", "gRPC port of the Admin API", "15070", &ClusterConfig::multiadmin, "grpc"),
      {.path = "multiadmin.auth",
       .doc = "who may call the Admin API: token, those with a token; none, everybody on this machine",
       .default_text = "token",
       .choices = {"token", "none"},
       .set_string = [](ClusterConfig* c, const std::string& v) { c->admin_auth = v; }},
      Text("backup-path", "where backups go; absent: below the cluster's directory", "/path", kAbsolutePath,
           "an absolute path", &ClusterConfig::backup_path),
  };
  for (const char* kind : {"etcd", "multiadmin", "pgctld", "multipooler", "multiorch", "multigateway"}) {
    keys.push_back(ComponentKey(kind));
  }
  for (const char* kind : {"etcd", "multiadmin", "pgctld", "multipooler", "multiorch", "multigateway"}) {
    keys.push_back(RestartKey(kind));
  }
  for (const Key& port : CellKeys()) {
    if (port.type == KeyType::kInteger) {
      keys.push_back(port);
      keys.back().path = absl::StrCat("ports.", port.path);
    }
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
      {.path = "name",
       .doc = "name of the cell",
       .default_text = "zone1",
       .pattern = kCellName,
       .expected = "a name of letters, digits and '-', at most 40, not 'global'"},
      {.path = "service-id",
       .doc = "name of the cell's pooler; absent: chosen once",
       .default_text = "bcdfghjk",
       .pattern = "[A-Za-z0-9][A-Za-z0-9-]{0,39}",
       .expected = "letters, digits and '-', at most 40"},
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

std::string SectionDoc(const std::string& section) {
  static const std::map<std::string, std::string> kDocs = {
      {"postgres", "PostgreSQL itself"},
      {"logs", "how much of the components' output is kept"},
      {"etcd", "ports that are given here are fixed; others move when they are taken"},
      {"multiadmin", "the Admin API"},
      {"components", "which program runs: auto (upstream's when it can), builtin, or an absolute path"},
      {"restart", "when a component that ended is started again; PostgreSQL belongs to its pooler"},
      {"ports", "fixed ports of the first cell; each further cell takes the next number"},
  };
  auto it = kDocs.find(section);
  return it == kDocs.end() ? "" : it->second;
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

bool Matches(const std::string& text, const std::string& pattern) {
  // The bound is for std::regex too, which recurses with the length of its input.
  return pattern.empty() || (text.size() <= kMaxPatternText && std::regex_match(text, std::regex(pattern)));
}

bool ValidClusterName(const std::string& name) { return Matches(name, kClusterName); }

}  // namespace mg::config
