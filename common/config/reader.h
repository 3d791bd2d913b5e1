/// Helpers of the two dialects' parsers: errors with file, line and column, and typed reads. One parse at a time.
#pragma once

#include <yaml-cpp/yaml.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace mg::config {

class Reader {
 public:
  explicit Reader(std::string path) : path_(std::move(path)) {}

  /// file:line:column of a node, from 1.
  std::string Place(const YAML::Mark& mark) const;
  absl::Status Error(const YAML::Mark& mark, const std::string& message, const std::string& hint = "") const;

  absl::StatusOr<std::string> String(const YAML::Node& node, const std::string& key) const;
  absl::StatusOr<long> Integer(const YAML::Node& node, const std::string& key, long minimum, long maximum) const;
  absl::StatusOr<std::vector<std::string>> List(const YAML::Node& node, const std::string& key) const;
  absl::Status ExpectMap(const YAML::Node& node, const std::string& key) const;

 private:
  std::string path_;
};

struct ClusterConfig;

/// The upstream dialect: a document with the key provisioner-config.
absl::Status ParseUpstream(const Reader& reader, const YAML::Node& root, ClusterConfig* config);
absl::Status ParseOurs(const Reader& reader, const YAML::Node& root, ClusterConfig* config);

}  // namespace mg::config
