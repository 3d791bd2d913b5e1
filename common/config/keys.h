/// The keys of our dialect of multigres.yaml: one table from which the parser, the commented example and the JSON
/// Schema are made, so that they cannot differ. Pure values.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/config/cluster_config.h"

namespace YAML {
class Node;
}

namespace mg::config {

/// kFile: the path of a file, from the configuration's directory; its content is the value.
enum class KeyType { kString, kInteger, kStringList, kSettings, kCells, kFile };

struct Key {
  std::string path;  ///< postgres.user
  KeyType type = KeyType::kString;
  std::string doc;           ///< one sentence
  std::string default_text;  ///< as YAML, for the example
  std::vector<std::string> choices = {};
  long minimum = 0, maximum = 0;  ///< of integers; both 0: any
  std::string pattern = {};       ///< of texts, and of a list's items: an ECMAScript expression for the whole of it
  std::string expected = {};      ///< the same in words: "a name of …"
  std::map<std::string, std::string> refused = {};  ///< values, or names of settings, that are known: why not
  bool alternative = false;                         ///< to the key before it; both at once is an error
  std::function<void(ClusterConfig*, const std::string&)> set_string = {};
  std::function<void(ClusterConfig*, long)> set_integer = {};
  std::function<void(ClusterConfig*, const std::vector<std::string>&)> set_list = {};
  std::function<void(ClusterConfig*, const std::string&, const std::string&)> set_setting = {};
};

const std::vector<Key>& Keys();
/// Keys of an item of `cells`. Those of ports are also keys of the section `ports`: there of the first cell, and each
/// further cell takes the next number.
const std::vector<Key>& CellKeys();
/// One line about a section of keys.
std::string SectionDoc(const std::string& section);
/// Where a cell's port key goes; null: no such key.
PortWish* CellPort(CellConfig* cell, const std::string& key);

/// Longest text that a pattern is asked about.
inline constexpr size_t kMaxPatternText = 4096;
/// Whether the whole of `text` is what the expression describes, and not too long. An empty pattern takes everything.
bool Matches(const std::string& text, const std::string& pattern);
/// Name rule of clusters: a lower-case letter, then lower-case letters, digits and '-', at most 40.
bool ValidClusterName(const std::string& name);

}  // namespace mg::config
