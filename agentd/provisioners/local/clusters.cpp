#include "agentd/provisioners/local/clusters.h"

#include <stdlib.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/fs/fs.h"
#include "common/status/status.h"
#include "common/text/suggest.h"

namespace mg::local {

namespace {

constexpr char kDefaultName[] = "default";

/// The path without symlinks, as far as it exists: one cluster has one root, however it is reached.
std::string Canonical(const std::string& path) {
  std::string existing = NearestExisting(path);
  char* resolved = realpath(existing.c_str(), nullptr);
  if (resolved == nullptr) {
    return path;
  }
  std::string result = absl::StrCat(resolved, path.substr(existing.size()));
  free(resolved);
  return existing == "/" ? path : result;
}

/// A cluster without a record is new, unless its components were launched: then record and previous version are lost,
/// and new names, ports and data beside the old ones would make two clusters of one.
absl::Status CheckNeverBroughtUp(const Model& model) {
  return WasLaunched(model)
             ? MakeError(absl::StatusCode::kDataLoss,
                         absl::StrCat("the record of cluster ", model.place.name, ", ", model.input.paths.Record(),
                                      ", is lost"),
                         {.reason = "RECORD_UNREADABLE",
                          .hint = absl::StrCat("the data itself is untouched in ", model.input.paths.Data(),
                                               "; restore the file from a backup, or 'multigres down "
                                               "--clean' removes the data too")})
             : absl::OkStatus();
}

}  // namespace

absl::StatusOr<config::ClusterPlace> Clusters::PlaceOf(const v1::ClusterSelector& selector, bool may_be_new) {
  if (!selector.name().empty() && selector.config_path().empty()) {
    MG_ASSIGN_OR_RETURN(std::vector<store::RegisteredCluster> registered, registry_.List());
    std::erase_if(registered, [&](const auto& cluster) { return cluster.name() != selector.name(); });
    if (registered.size() == 1) {
      return config::ClusterPlace{
          .name = registered[0].name(), .root_dir = registered[0].root(), .config_file = registered[0].config_file()};
    }
    if (registered.size() > 1) {
      return MakeError(absl::StatusCode::kFailedPrecondition,
                       absl::StrCat("there are ", registered.size(), " clusters named ", selector.name()),
                       {.reason = "CLUSTER_AMBIGUOUS", .hint = "name the one you mean by --config-path"});
    }
  }
  config::PlaceRequest request{
      .name = selector.name(),
      .config_path = selector.config_path(),
      .working_directory = selector.working_directory().empty() ? "/" : selector.working_directory(),
      .home = options_.home,
      .home_is_explicit = selector.home_is_explicit() || options_.home_is_explicit};
  absl::StatusOr<config::ClusterPlace> found = config::FindPlace(request);
  if (!found.ok()) {
    // A file that cannot be understood by now still belongs to the cluster that was brought up with it: to look at, and
    // to stop. A start reads it again, and fails.
    absl::StatusOr<std::string> file = config::FindConfigFile(request);
    absl::StatusOr<std::vector<store::RegisteredCluster>> registered = registry_.List();
    for (const auto& cluster : registered.ok() ? *registered : std::vector<store::RegisteredCluster>()) {
      if (file.ok() && !file->empty() && cluster.config_file() == *file) {
        return config::ClusterPlace{
            .name = cluster.name(), .root_dir = cluster.root(), .config_file = cluster.config_file()};
      }
    }
    return found.status();
  }
  config::ClusterPlace place = *std::move(found);
  place.root_dir = Canonical(place.root_dir);
  bool named_by_user = !selector.name().empty() && selector.name() != kDefaultName;
  if (named_by_user && !may_be_new && place.config_file.empty() && !Exists(store::Paths(place.root_dir).Record())) {
    MG_ASSIGN_OR_RETURN(std::vector<store::RegisteredCluster> registered, registry_.List());
    std::vector<std::string> names;
    for (const auto& cluster : registered) {
      names.push_back(cluster.name());
    }
    return MakeError(
        absl::StatusCode::kNotFound, absl::StrCat("there is no cluster ", selector.name()),
        {.reason = "CLUSTER_NOT_FOUND",
         .hint = text::DidYouMean(
             selector.name(), names,
             names.empty() ? "'multigres up' makes one" : absl::StrCat("known are ", absl::StrJoin(names, ", ")))});
  }
  return place;
}

absl::StatusOr<std::shared_ptr<Cluster>> Clusters::At(const config::ClusterPlace& place) {
  std::lock_guard lock(mutex_);
  std::shared_ptr<Cluster>& cluster = clusters_[place.root_dir];
  if (cluster == nullptr) {
    cluster = std::make_shared<Cluster>();
  }
  std::lock_guard inner(cluster->mutex);
  cluster->place = place;
  if (cluster->store == nullptr) {
    absl::StatusOr<std::unique_ptr<store::ClusterStore>> opened = store::ClusterStore::Open(place.root_dir);
    if (opened.ok()) {
      cluster->store = *std::move(opened);
    } else if (!absl::IsNotFound(opened.status())) {
      return opened.status();
    }
  }
  return cluster;
}

absl::StatusOr<std::shared_ptr<Cluster>> Clusters::Find(const v1::ClusterSelector& selector, bool may_be_new) {
  MG_ASSIGN_OR_RETURN(config::ClusterPlace place, PlaceOf(selector, may_be_new));
  return At(place);
}

absl::StatusOr<std::vector<std::shared_ptr<Cluster>>> Clusters::All() {
  MG_ASSIGN_OR_RETURN(std::vector<store::RegisteredCluster> registered, registry_.List());
  std::vector<std::shared_ptr<Cluster>> all;
  for (const store::RegisteredCluster& entry : registered) {
    absl::StatusOr<std::shared_ptr<Cluster>> cluster =
        At({.name = entry.name(), .root_dir = entry.root(), .config_file = entry.config_file()});
    if (cluster.ok() && (*cluster)->Store() != nullptr) {
      all.push_back(*std::move(cluster));
    }
  }
  return all;
}

absl::Status Clusters::Save(Cluster* cluster, Model* model) {
  const std::string& root = model->place.root_dir;
  if (model->store == nullptr) {
    MG_RETURN_IF_ERROR(CheckNeverBroughtUp(*model));
    model->record.set_root_is_ours(!Exists(root));
    MG_RETURN_IF_ERROR(MakeDirectories(root, model->input.root ? 0711 : 0700));
    model->store = store::ClusterStore::New(root, model->record);
  }
  MG_RETURN_IF_ERROR(model->store->Update([&](store::ClusterRecord* record) {
    for (auto& [name, entry] : *model->record.mutable_components()) {
      // Generations grow beside us; everything else of a component was decided by the model.
      entry.set_generation(std::max(entry.generation(), (*record->mutable_components())[name].generation()));
    }
    *record = model->record;
  }));
  {
    std::lock_guard lock(cluster->mutex);
    cluster->store = model->store;
    cluster->service_ids.clear();
  }
  store::RegisteredCluster line;
  line.set_name(model->place.name);
  line.set_root(root);
  line.set_config_file(model->place.config_file);
  return registry_.Put(line);
}

absl::Status Clusters::Forget(Cluster* cluster) {
  std::string root;
  {
    std::lock_guard lock(cluster->mutex);
    root = cluster->place.root_dir;
    cluster->store = nullptr;
    cluster->service_ids.clear();
  }
  return registry_.Remove(root);
}

std::set<int> Clusters::PortsOfOthers(const Cluster& cluster) {
  std::set<int> ports;
  absl::StatusOr<std::vector<std::shared_ptr<Cluster>>> all = All();
  if (!all.ok()) {
    return ports;
  }
  for (const std::shared_ptr<Cluster>& other : *all) {
    if (other.get() == &cluster) {
      continue;
    }
    std::shared_ptr<store::ClusterStore> store = other->Store();
    if (store == nullptr) {
      continue;  // forgotten meanwhile
    }
    // Named: a range-for does not keep the record alive that components() is a part of.
    const auto record = store->Get();
    for (const auto& [name, entry] : record.components()) {
      for (const auto& [port_name, port] : entry.ports()) {
        ports.insert(port);
      }
    }
  }
  return ports;
}

bool WasLaunched(const Model& model) {
  return std::any_of(model.specs.begin(), model.specs.end(), [&](const v1::ComponentSpec& spec) {
    absl::StatusOr<store::ComponentName> name = store::ComponentName::Parse(spec.name());
    return name.ok() && Exists(JoinPath(model.input.paths.RunDir(*name), "launch"));
  });
}

provisioners::Provisioner::ClusterInfo InfoOf(Cluster* cluster) {
  std::lock_guard lock(cluster->mutex);
  provisioners::Provisioner::ClusterInfo info{.name = cluster->place.name,
                                              .cluster_id = "",
                                              .root_dir = cluster->place.root_dir,
                                              .config_file = cluster->place.config_file};
  if (cluster->store != nullptr) {
    store::ClusterRecord record = cluster->store->Get();
    info.cluster_id = record.cluster_id();
    info.cells = record.cells_size();
    if (record.has_started_at()) {
      info.started_at = absl::FromUnixSeconds(record.started_at().seconds());
    }
  }
  return info;
}

}  // namespace mg::local
