#include "agentd/store/registry.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/fs/fs.h"
#include "common/status/status.h"

namespace mg::store {

namespace state = multigres::state::v1;

std::string Registry::Path() const { return JoinPath(home_, "clusters.json"); }

absl::StatusOr<state::ClusterRegistry> Registry::Read() const {
  state::ClusterRegistry registry;
  absl::StatusOr<std::string> text = ReadFile(Path());
  if (absl::IsNotFound(text.status())) {
    return registry;
  }
  MG_RETURN_IF_ERROR(text.status());
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  auto status = google::protobuf::util::JsonStringToMessage(*text, &registry, options);
  if (!status.ok()) {
    return MakeError(
        absl::StatusCode::kDataLoss, absl::StrCat(Path(), " cannot be read: ", status.ToString()),
        {.reason = "REGISTRY_UNREADABLE", .hint = "move the file away; 'up' in a cluster's directory enters it again"});
  }
  return registry;
}

absl::Status Registry::Write(state::ClusterRegistry registry) {
  auto* clusters = registry.mutable_clusters();
  std::sort(clusters->begin(), clusters->end(),
            [](const auto& a, const auto& b) { return std::tie(a.name(), a.root()) < std::tie(b.name(), b.root()); });
  registry.set_version(1);
  std::string text;
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  auto status = google::protobuf::util::MessageToJsonString(registry, &text, options);
  if (!status.ok()) {
    return absl::InternalError(absl::StrCat("print the registry: ", status.ToString()));
  }
  return WriteFileAtomically(Path(), text, 0600);
}

absl::StatusOr<std::vector<RegisteredCluster>> Registry::List() const {
  std::lock_guard lock(mutex_);
  MG_ASSIGN_OR_RETURN(state::ClusterRegistry registry, Read());
  std::vector<RegisteredCluster> clusters;
  for (const RegisteredCluster& cluster : registry.clusters()) {
    if (Exists(cluster.root())) {
      clusters.push_back(cluster);
    }
  }
  return clusters;
}

absl::Status Registry::Put(const RegisteredCluster& cluster) {
  std::lock_guard lock(mutex_);
  MG_ASSIGN_OR_RETURN(state::ClusterRegistry registry, Read());
  for (RegisteredCluster& entry : *registry.mutable_clusters()) {
    if (entry.root() == cluster.root()) {
      if (entry.name() == cluster.name() && entry.config_file() == cluster.config_file()) {
        return absl::OkStatus();
      }
      entry = cluster;
      return Write(std::move(registry));
    }
  }
  *registry.add_clusters() = cluster;
  return Write(std::move(registry));
}

absl::Status Registry::Remove(const std::string& root) {
  std::lock_guard lock(mutex_);
  MG_ASSIGN_OR_RETURN(state::ClusterRegistry registry, Read());
  auto* clusters = registry.mutable_clusters();
  auto gone =
      std::remove_if(clusters->begin(), clusters->end(), [&](const auto& entry) { return entry.root() == root; });
  if (gone == clusters->end()) {
    return absl::OkStatus();
  }
  clusters->erase(gone, clusters->end());
  return Write(std::move(registry));
}

}  // namespace mg::store
