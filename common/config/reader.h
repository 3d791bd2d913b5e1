/// Helpers of the two dialects' parsers: errors with file, line and column, and typed reads. One parse at a time.
#pragma once

#include <yaml-cpp/yaml.h>

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace mg::config {

class Reader {
 public:
  explicit Reader(std::string path) : path_(std::move(path)) {}
  const std::string& path() const { return path_; }

  /// file:line:column of a node, from 1.
  std::string Place(const YAML::Mark& mark) const;
  absl::Status Error(const YAML::Mark& mark, const std::string& message, const std::string& hint = "") const;

  absl::StatusOr<std::string> String(const YAML::Node& node, const std::string& key) const;
  absl::StatusOr<long> Integer(const YAML::Node& node, const std::string& key, long minimum, long maximum) const;
  absl::StatusOr<std::vector<std::string>> List(const YAML::Node& node, const std::string& key) const;
  absl::Status ExpectMap(const YAML::Node& node, const std::string& key) const;
  /// No key twice in any map, keys are texts, and the whole is of a size that a configuration has (aliases can make a
  /// small file huge).
  absl::Status CheckShape(const YAML::Node& root) const;

  /// Remembers where a fixed port was given. `owner` is a component and a port's name: "multigateway/zone1 postgres".
  void NotePort(const std::string& owner, int number, const YAML::Mark& mark);
  /// No two of them are the same.
  absl::Status CheckPorts() const;

 private:
  struct PortPlace {
    int number = 0;
    YAML::Mark mark;
  };
  absl::Status CheckNode(const YAML::Node& node, int depth, int* count) const;

  std::string path_;
  std::map<std::string, PortPlace> ports_;  ///< by owner: a later word on the same port replaces the earlier
};

struct ClusterConfig;

/// The upstream dialect: a document with the key provisioner-config.
absl::Status ParseUpstream(Reader* reader, const YAML::Node& root, ClusterConfig* config);
absl::Status ParseOurs(Reader* reader, const YAML::Node& root, ClusterConfig* config);

}  // namespace mg::config
