/// The keys of our dialect of multigres.yaml: one table from which the parser, the commented example and the JSON
/// Schema are made, so that they cannot differ. Pure values.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/config/cluster_config.h"

namespace YAML {
class Node;
}

namespace mg::config {

enum class KeyType { kString, kInteger, kStringList, kSettings, kCells };

struct Key {
  std::string path;  ///< postgres.user
  KeyType type = KeyType::kString;
  std::string doc;           ///< one sentence
  std::string default_text;  ///< as YAML, for the example
  std::vector<std::string> choices = {};
  long minimum = 0, maximum = 0;  ///< of integers; both 0: any
  std::function<void(ClusterConfig*, const std::string&)> set_string = {};
  std::function<void(ClusterConfig*, long)> set_integer = {};
  std::function<void(ClusterConfig*, const std::vector<std::string>&)> set_list = {};
  std::function<void(ClusterConfig*, const std::string&, const std::string&)> set_setting = {};
};

const std::vector<Key>& Keys();
/// Keys of an item of `cells`.
const std::vector<Key>& CellKeys();
/// Where a cell's port key goes; null: no such key.
PortWish* CellPort(CellConfig* cell, const std::string& key);

/// Name rule of clusters: lower-case letters, digits and '-', 1 to 40, beginning with a letter.
bool ValidClusterName(const std::string& name);

}  // namespace mg::config
