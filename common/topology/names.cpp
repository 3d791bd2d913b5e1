#include <openssl/rand.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/status/status.h"
#include "common/topology/topology.h"

namespace mg::topology {
namespace {

std::string ComponentWord(clustermetadata::ID::ComponentType type) {
  switch (type) {
    case clustermetadata::ID::MULTIPOOLER:
      return "multipooler";
    case clustermetadata::ID::MULTIGATEWAY:
      return "multigateway";
    case clustermetadata::ID::MULTIORCH:
      return "multiorch";
    default:
      return "unknown";
  }
}

}  // namespace

std::string IdString(const clustermetadata::ID& id) {
  return absl::StrCat(ComponentWord(id.component()), "-", id.cell(), "-", id.name());
}

std::string ClusterIdString(const clustermetadata::ID& id) { return absl::StrCat(id.cell(), "_", id.name()); }

absl::StatusOr<clustermetadata::ID> ParseClusterId(const std::string& text) {
  size_t underscore = text.find('_');
  if (underscore == std::string::npos || underscore == 0 || underscore + 1 == text.size()) {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not of the form cell_name"));
  }
  clustermetadata::ID id;
  id.set_component(clustermetadata::ID::MULTIPOOLER);
  id.set_cell(text.substr(0, underscore));
  id.set_name(text.substr(underscore + 1));
  return id;
}

std::string ShardKeyString(const clustermetadata::ShardKey& key) {
  return absl::StrCat(key.database(), "/", key.table_group(), "/", key.shard());
}

std::string TableGroupType(const std::vector<std::string>& shards) {
  return shards.size() == 1 && shards[0] == "0-inf" ? "unsharded" : "sharded";
}

std::string RandomName() {
  static constexpr char kAlphabet[] = "bcdfghjklmnpqrstvwxz2456789";
  std::string name;
  while (name.size() < 8) {
    unsigned char byte = 0;
    // Bytes beyond a multiple of the alphabet's size would make its first letters likelier.
    if (RAND_bytes(&byte, 1) == 1 && byte < 243) {
      name += kAlphabet[byte % 27];
    }
  }
  return name;
}

absl::Status ValidateCellName(const std::string& name) {
  bool good = !name.empty() && name.size() <= 40 && name != "global" && name[0] != '-';
  for (char c : name) {
    good &= absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-';
  }
  return good ? absl::OkStatus()
              : absl::InvalidArgumentError(absl::StrCat(
                    "'", name,
                    "' is not a cell name: letters, digits and '-', a letter or a digit first, at most 40 characters, "
                    "and not 'global'"));
}

}  // namespace mg::topology
