#include "agentd/store/registry.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "agentd/store/cluster_store.h"
#include "agentd/store/previous.h"
#include "common/fs/fs.h"
#include "common/log/log.h"
#include "common/status/status.h"

namespace mg::store {

namespace state = multigres::state::v1;

std::string Registry::Path() const { return JoinPath(home_, "clusters.json"); }

namespace {

absl::StatusOr<state::ClusterRegistry> ReadFrom(const std::string& path) {
  state::ClusterRegistry registry;
  MG_ASSIGN_OR_RETURN(std::string text, ReadFile(path));
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  auto status = google::protobuf::util::JsonStringToMessage(text, &registry, options);
  if (!status.ok()) {
    return MakeError(
        absl::StatusCode::kDataLoss, absl::StrCat(path, " cannot be read: ", status.ToString()),
        {.reason = "REGISTRY_UNREADABLE", .hint = "move the file away; 'up' in a cluster's directory enters it again"});
  }
  return registry;
}

/// The clusters without a configuration file stand below the home; those beside one enter themselves with their next
/// 'up'.
state::ClusterRegistry LookAround(const std::string& home) {
  state::ClusterRegistry registry;
  std::string clusters = JoinPath(home, "clusters");
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(clusters, ignored)) {
    absl::StatusOr<std::unique_ptr<ClusterStore>> found = ClusterStore::Open(entry.path());
    if (found.ok()) {
      RegisteredCluster* cluster = registry.add_clusters();
      cluster->set_name((*found)->Get().name());
      cluster->set_root(entry.path());
      cluster->set_config_file((*found)->Get().config_file());
    }
  }
  return registry;
}

}  // namespace

absl::StatusOr<state::ClusterRegistry> Registry::Read() const {
  absl::StatusOr<state::ClusterRegistry> registry = ReadFrom(Path());
  if (registry.ok()) {
    return registry;
  }
  absl::StatusOr<state::ClusterRegistry> previous = ReadFrom(PreviousOf(Path()));
  if (absl::IsNotFound(registry.status()) && absl::IsNotFound(previous.status())) {
    return LookAround(home_);
  }
  log::Warn("the list of clusters is lost or broken: its previous version and what is there are used instead",
            {{"error", std::string(registry.status().message())}});
  state::ClusterRegistry merged = previous.ok() ? *std::move(previous) : state::ClusterRegistry();
  const state::ClusterRegistry around = LookAround(home_);
  for (const RegisteredCluster& found : around.clusters()) {
    bool known = std::any_of(merged.clusters().begin(), merged.clusters().end(),
                             [&](const auto& cluster) { return cluster.root() == found.root(); });
    if (!known) {
      *merged.add_clusters() = found;
    }
  }
  MG_RETURN_IF_ERROR(Write(std::move(merged)));
  return ReadFrom(Path());
}

absl::Status Registry::Write(state::ClusterRegistry registry) const {
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
  return WriteKeepingPrevious(Path(), text, 0600, /*broken=*/!ReadFrom(Path()).ok());
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
