#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/config/cluster_config.h"
#include "common/config/keys.h"
#include "common/fs/fs.h"
#include "common/status/status.h"

namespace mg::config {
namespace {

constexpr char kFileName[] = "multigres.yaml";

std::string ValueOf(const std::map<std::string, std::string>& environment, const std::string& name) {
  auto it = environment.find(name);
  return it == environment.end() ? "" : it->second;
}

/// FNV-1a: a short stable name for a path, so that two projects of the same name do not meet below one home.
std::string ShortHash(const std::string& text) {
  std::uint32_t hash = 2166136261u;
  for (char c : text) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  }
  return absl::StrFormat("%08x", hash);
}

bool IsDirectory(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

/// A file that was only found, not named, must be this user's or root's: it says which programs run.
absl::Status CheckFound(const std::string& file) {
  struct stat info {};
  if (::stat(file.c_str(), &info) != 0 || info.st_uid == 0 || info.st_uid == ::geteuid()) {
    return absl::OkStatus();
  }
  return MakeError(
      absl::StatusCode::kPermissionDenied,
      absl::StrCat("the configuration file ", file, " belongs to another user (uid ", info.st_uid, ")"),
      {.reason = "FOREIGN_CONFIGURATION", .hint = absl::StrCat("if you trust it, name it: --config-path ", file)});
}

/// The file in the directory's own place, however that was reached: one file is one cluster. A file that is a link
/// itself stays what it is, since its cluster's data lies beside it.
std::string WithoutLinkedDirectory(const std::string& file) {
  char* resolved = ::realpath(DirName(file).c_str(), nullptr);
  const std::string directory = resolved == nullptr ? DirName(file) : resolved;
  ::free(resolved);
  return JoinPath(directory, file.substr(file.rfind('/') + 1));
}

/// The configuration file that the request chooses; empty: none.
absl::StatusOr<std::string> FindFile(const PlaceRequest& request) {
  if (!request.config_path.empty()) {
    std::string file =
        IsDirectory(request.config_path) ? JoinPath(request.config_path, kFileName) : request.config_path;
    if (!Exists(file)) {
      return MakeError(absl::StatusCode::kNotFound, absl::StrCat("there is no configuration file ", file),
                       {.reason = "NO_CONFIGURATION", .hint = "'multigres init' writes one"});
    }
    return WithoutLinkedDirectory(file);
  }
  if (std::string local = JoinPath(request.working_directory, absl::StrCat("multigres_local/", kFileName));
      Exists(local)) {
    MG_RETURN_IF_ERROR(CheckFound(local));
    return WithoutLinkedDirectory(local);
  }
  for (std::string directory = request.working_directory;; directory = DirName(directory)) {
    if (std::string file = JoinPath(directory, kFileName); Exists(file)) {
      MG_RETURN_IF_ERROR(CheckFound(file));
      return file;
    }
    if (directory == "/" || directory == "." || directory.empty()) {
      return std::string();
    }
  }
}

}  // namespace

absl::StatusOr<Home> FindHome(const std::map<std::string, std::string>& environment, unsigned uid) {
  Home home;
  if (home.path = ValueOf(environment, "MULTIGRES_HOME"); !home.path.empty()) {
    home.is_explicit = true;
  } else if (std::string data = ValueOf(environment, "XDG_DATA_HOME"); !data.empty()) {
    home.path = JoinPath(data, "multigres");
  } else if (uid == 0) {
    home.path = "/var/lib/multigres";
  } else if (std::string user_home = ValueOf(environment, "HOME"); !user_home.empty()) {
    home.path = JoinPath(user_home, ".local/share/multigres");
  } else {
    return MakeError(absl::StatusCode::kFailedPrecondition, "neither MULTIGRES_HOME nor HOME is set",
                     {.reason = "NO_HOME", .hint = "set MULTIGRES_HOME to a directory of yours"});
  }
  if (home.path[0] != '/') {
    return MakeError(absl::StatusCode::kInvalidArgument,
                     absl::StrCat("the state directory '", home.path, "' is not absolute"),
                     {.reason = "RELATIVE_HOME", .hint = "give MULTIGRES_HOME as an absolute path"});
  }
  while (home.path.size() > 1 && home.path.back() == '/') {
    home.path.pop_back();
  }
  return home;
}

absl::StatusOr<std::string> FindConfigFile(const PlaceRequest& request) { return FindFile(request); }

absl::StatusOr<ClusterPlace> FindPlace(const PlaceRequest& request) {
  if (!request.name.empty() && !ValidClusterName(request.name)) {
    return MakeError(absl::StatusCode::kInvalidArgument,
                     absl::StrCat("'", request.name, "' is not a cluster's name: expected a lower-case letter, then ",
                                  "lower-case letters, digits and '-', at most 40"),
                     {.reason = "BAD_CLUSTER_NAME", .hint = "'multigres list' shows the clusters"});
  }
  MG_ASSIGN_OR_RETURN(std::string file, FindFile(request));
  ClusterPlace place;
  if (file.empty()) {
    place.name = request.name.empty() ? "default" : request.name;
    place.root_dir = JoinPath(request.home, absl::StrCat("clusters/", place.name));
    return place;
  }
  MG_ASSIGN_OR_RETURN(ClusterConfig config, LoadConfig(file));
  if (!request.name.empty() && request.name != config.name && request.config_path.empty()) {
    // Another cluster is asked for by name; the file that happens to lie here is not its.
    place.name = request.name;
    place.root_dir = JoinPath(request.home, absl::StrCat("clusters/", place.name));
    return place;
  }
  place.name = config.name;
  place.config_file = file;
  std::string directory = DirName(file);
  if (!config.root_dir.empty()) {
    place.root_dir = config.root_dir[0] == '/' ? config.root_dir : JoinPath(directory, config.root_dir);
  } else if (request.home_is_explicit) {
    place.root_dir = JoinPath(request.home, absl::StrCat("clusters/", config.name, "-", ShortHash(directory)));
  } else {
    place.root_dir = JoinPath(directory, ".multigres");
  }
  return place;
}

}  // namespace mg::config
