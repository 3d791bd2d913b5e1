#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "cli/commands/commands.h"
#include "cli/commands/context.h"
#include "common/config/cluster_config.h"
#include "common/fs/fs.h"
#include "common/status/status.h"
#include "multigres/cli/v1/output.pb.h"
#include "multigres/provisioner/v1/provisioner.pb.h"

namespace mg::cli {
namespace {

/// A cluster name from a directory's name: what is not allowed becomes '-'.
std::string NameFrom(const std::string& directory) {
  std::string name;
  for (char c : BaseName(directory)) {
    bool allowed = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (c >= 'A' && c <= 'Z') {
      name += static_cast<char>(c - 'A' + 'a');
    } else if (allowed || (!name.empty() && name.back() != '-')) {
      name += allowed ? c : '-';
    }
  }
  while (!name.empty() && name.back() == '-') {
    name.pop_back();
  }
  return name.empty() ? "default" : name.substr(0, 40);
}

absl::Status WriteNew(const std::string& path, const std::string& content) {
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd.valid()) {
    if (errno == EEXIST) {
      return MakeError(absl::StatusCode::kAlreadyExists, absl::StrCat(path, " exists already"),
                       {.reason = "FILE_EXISTS", .hint = "edit it, or remove it first"});
    }
    return ErrnoStatus(errno, absl::StrCat("create ", path));
  }
  fd.Reset();
  return WriteFileAtomically(path, content, 0600);
}

// Upstream's flags: what they ask for is done, or refused.
absl::Status CheckUpstreamFlags(const Context& context) {
  for (const char* flag : {"backup-url", "region", "encrypt-backups"}) {
    if (context.args().Has(flag)) {
      return MakeError(
          absl::StatusCode::kUnimplemented,
          absl::StrCat("--", flag, ": backups in S3, and encrypted ones, are not available in this version"),
          {.hint = "leave it out; --backup-path says where backups go"});
    }
  }
  std::string provisioner = context.args().Get("provisioner", "local");
  return provisioner == "local"
             ? absl::OkStatus()
             : MakeError(absl::StatusCode::kInvalidArgument, absl::StrCat("unsupported provisioner: ", provisioner),
                         {.reason = "USAGE", .hint = "this version has 'local'"});
}

// Takes the place of the line that shows the default.
void SetBackupPath(const std::string& path, std::string* content) {
  const std::string key = "\n#backup-path:";
  const size_t begin = content->find(key) + 1;
  const size_t end = content->find('\n', begin);
  content->replace(begin, end - begin, absl::StrCat("backup-path: '", absl::StrReplaceAll(path, {{"'", "''"}}), "'"));
}

int RunInit(Context& context) {
  if (absl::Status status = CheckUpstreamFlags(context); !status.ok()) {
    return context.Fail(status);
  }
  std::error_code error;
  std::filesystem::path here = std::filesystem::current_path(error);
  std::string given =
      context.args().positionals.empty() ? context.args().Get("config-path", ".") : context.args().positionals[0];
  std::filesystem::path target = (here / given).lexically_normal();
  if (target.has_filename() == false) {
    target = target.parent_path();
  }
  if (target.extension() != ".yaml" && target.extension() != ".yml") {
    if (absl::Status status = MakeDirectories(target.string(), 0755); !status.ok()) {
      return context.Fail(status);
    }
    target /= "multigres.yaml";
  }
  std::string name = context.args().Get("name", NameFrom(target.parent_path().string()));
  std::string content = config::CommentedExample(name);
  if (context.args().Has("backup-path")) {
    SetBackupPath((here / context.args().Get("backup-path")).lexically_normal().string(), &content);
  }
  if (absl::Status status = config::ParseConfig(content, target.string()).status(); !status.ok()) {
    return context.Fail(status);
  }
  if (absl::Status status = WriteNew(target.string(), content); !status.ok()) {
    return context.Fail(status);
  }
  multigres::cli::v1::InitOutput output;
  output.set_path(target.string());
  return context.Emit(
      output, [&] { return absl::StrCat("wrote ", target.string(), "\nedit it if you like, then: multigres up\n"); });
}

absl::StatusOr<std::string> ConfigFile(const Context& context) {
  if (!context.args().positionals.empty()) {
    return context.args().positionals[0];
  }
  MG_ASSIGN_OR_RETURN(config::Home home, config::FindHome(context.environment(), ::geteuid()));
  auto selector = context.Selector();
  config::PlaceRequest request{.name = selector.name(),
                               .config_path = selector.config_path(),
                               .working_directory = selector.working_directory(),
                               .home = home.path,
                               .home_is_explicit = home.is_explicit};
  MG_ASSIGN_OR_RETURN(config::ClusterPlace place, config::FindPlace(request));
  if (place.config_file.empty()) {
    return MakeError(
        absl::StatusCode::kNotFound, "no multigres.yaml here or in any directory above",
        {.reason = "NO_CONFIGURATION", .hint = "'multigres init' writes one; without one the defaults hold"});
  }
  return place.config_file;
}

int RunValidate(Context& context) {
  absl::StatusOr<std::string> file = ConfigFile(context);
  if (!file.ok()) {
    return context.Fail(file.status());
  }
  absl::StatusOr<config::ClusterConfig> config = config::LoadConfig(*file);
  if (!config.ok()) {
    return context.Fail(config.status());
  }
  multigres::provisioner::v1::ValidateClusterResponse output;
  auto* check = output.add_checks();
  check->set_check("configuration");
  check->set_ok(true);
  check->set_detail(absl::StrCat(*file, " is valid: cluster ", config->name, ", ", config->cells.size(), " cells"));
  for (const std::string& warning : config->warnings) {
    auto* more = output.add_checks();
    more->set_check("configuration");
    more->set_ok(true);
    more->set_warning(true);
    more->set_detail(warning);
  }
  return context.Emit(output, [&] {
    std::string text;
    for (const auto& c : output.checks()) {
      absl::StrAppend(&text, c.warning() ? "warning: " : "", c.detail(), "\n");
    }
    return text;
  });
}

}  // namespace

Command InitCommand() {
  return {
      .path = "init",
      .summary = "write a commented multigres.yaml",
      .description =
          "Write a commented multigres.yaml. No file is needed to bring a cluster up; with one, the cluster's data "
          "lives in "
          ".multigres/ beside it. An existing file is never overwritten.",
      .positionals = {{.name = "PATH", .help = "directory (made when missing) or file; default: this directory"}},
      .flags = {{.name = "name", .value = "NAME", .help = "the cluster's name; default: the directory's"},
                {.name = "provisioner", .value = "NAME", .help = "upstream's: local", .hidden = true},
                {.name = "backup-path",
                 .value = "PATH",
                 .help = "where backups go; default: below the cluster's directory"},
                {.name = "backup-url", .value = "URL", .help = "upstream's", .hidden = true},
                {.name = "region", .value = "REGION", .help = "upstream's", .hidden = true},
                {.name = "encrypt-backups", .help = "upstream's", .hidden = true}},
      .examples = {{"multigres init", "write multigres.yaml here"},
                   {"multigres init --name shop ./shop", "in another directory"}},
      .aliases = {"cluster init"},
      .group = "CONFIGURATION",
      .run = RunInit,
  };
}

Command ValidateCommand() {
  return {
      .path = "cluster validate",
      .summary = "check the configuration file",
      .positionals = {{.name = "FILE", .help = "the file; default: the one that applies here"}},
      .examples = {{"multigres cluster validate", "errors come with file, line and column"}},
      .group = "CLUSTER",
      .run = RunValidate,
  };
}

}  // namespace mg::cli
