#include <dirent.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "cli/bundle/archive.h"
#include "cli/client/agent_client.h"
#include "cli/commands/commands.h"
#include "cli/commands/doctor.h"
#include "cli/output/render.h"
#include "common/config/cluster_config.h"
#include "common/fs/fs.h"
#include "common/logs/log_file.h"
#include "common/pginstall/pginstall.h"
#include "common/process/helper.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "common/version/version.h"
#include "multigres/cli/v1/output.pb.h"

namespace mg::cli {
namespace {

namespace agent = multigres::agent::v1;

constexpr std::uint64_t kMostLogBytes = 1u << 30;
constexpr std::uint64_t kLogBytes = 4 << 20;
constexpr std::uint64_t kFileBytes = 16 << 20;
constexpr absl::Duration kQuestionLimit = absl::Seconds(10);

constexpr char kReadme[] =
    "This archive was written by 'multigres bundle' to find out what is wrong with a cluster.\n\n"
    "Passwords, tokens, keys and verifiers that are known or look like such were replaced by [removed]; the cluster's\n"
    "password files, certificates and data are not in it. Log lines may hold statements and so data of applications:\n"
    "look through them before you give the archive away.\n";

// What is in a directory, without . and ..; sorted. Empty when it cannot be read.
std::vector<std::string> Entries(const std::string& directory) {
  std::vector<std::string> names;
  DIR* dir = ::opendir(directory.c_str());
  while (dirent* entry = dir != nullptr ? ::readdir(dir) : nullptr) {
    if (std::string name = entry->d_name; name != "." && name != "..") {
      names.push_back(name);
    }
  }
  if (dir != nullptr) {
    ::closedir(dir);
  }
  std::sort(names.begin(), names.end());
  return names;
}

class Bundler {
 public:
  Bundler(Context& context, AgentPlace place, std::uint64_t log_bytes)
      : context_(context), place_(std::move(place)), log_bytes_(log_bytes) {}

  absl::StatusOr<multigres::cli::v1::BundleOutput> Run(const std::string& wanted_path) {
    MG_RETURN_IF_ERROR(Find());
    std::string stamp = absl::FormatTime("%Y%m%dT%H%M%SZ", absl::Now(), absl::UTCTimeZone());
    std::string name = absl::StrCat("multigres-", cluster_, "-", stamp);
    MG_ASSIGN_OR_RETURN(Archive archive, Archive::Create(name, KnownSecrets()));
    MG_RETURN_IF_ERROR(archive.AddText("README", kReadme));
    MG_RETURN_IF_ERROR(archive.AddText("versions.txt", Versions()));
    MG_RETURN_IF_ERROR(archive.AddText("machine.txt", Machine()));
    MG_RETURN_IF_ERROR(archive.AddText("doctor.json", ToJson(Examine(context_, place_, /*fix=*/false))));
    MG_RETURN_IF_ERROR(archive.AddText("status.json", status_));
    MG_RETURN_IF_ERROR(Agent(&archive));
    MG_RETURN_IF_ERROR(Cluster(&archive));
    multigres::cli::v1::BundleOutput output;
    std::string path = wanted_path.empty() ? name + ".tar.gz" : wanted_path;
    if (path.front() != '/') {
      path = JoinPath(context_.Selector().working_directory(), path);
    }
    if (!Exists(DirName(path))) {
      return MakeError(absl::StatusCode::kInvalidArgument, absl::StrCat("there is no directory ", DirName(path)),
                       {.reason = "USAGE", .hint = "make it, or choose another place with --file"});
    }
    MG_ASSIGN_OR_RETURN(std::uint64_t bytes, archive.Write(path));
    output.set_path(path);
    output.set_bytes(static_cast<std::int64_t>(bytes));
    for (const std::string& file : archive.files()) {
      output.add_files(file);
    }
    return output;
  }

 private:
  // Which cluster, where, and its state. An agent that does not run is not started: that would change what is looked
  // at.
  absl::Status Find() {
    config::PlaceRequest request{.name = context_.Selector().name(),
                                 .config_path = context_.Selector().config_path(),
                                 .working_directory = context_.Selector().working_directory(),
                                 .home = place_.home,
                                 .home_is_explicit = place_.home_is_explicit};
    absl::StatusOr<config::ClusterPlace> found = config::FindPlace(request);
    if (found.ok()) {
      cluster_ = found->name;
      root_ = found->root_dir;
      config_file_ = found->config_file;
    }
    absl::StatusOr<AgentClient*> client = context_.Agent(/*start=*/false, /*any=*/true);
    if (!client.ok()) {
      status_ = absl::StrCat("no state: ", std::string(client.status().message()), "\n");
      return found.status();
    }
    agent::GetClusterRequest question;
    *question.mutable_cluster() = context_.Selector();
    absl::StatusOr<agent::GetClusterResponse> answer = (*client)->Call(question, absl::Now() + kQuestionLimit);
    if (!answer.ok()) {
      status_ = absl::StrCat("no state: ", std::string(answer.status().message()), "\n");
      return found.status();
    }
    status_ = ToJson(answer->status());
    cluster_ = answer->status().cluster();
    root_ = answer->status().root_directory();
    return absl::OkStatus();
  }

  // Whatever may be one is remembered, and taken out of everything that goes into the archive.
  Secrets KnownSecrets() const {
    Secrets secrets;
    if (absl::StatusOr<std::string> passfile = ReadFile(JoinPath(root_, "pgpass")); passfile.ok()) {
      secrets.AddPassfile(*passfile);
    }
    std::string data = JoinPath(root_, "data");
    for (const std::string& directory : Entries(data)) {
      for (const char* file : {"postgres-password", "pgpass"}) {
        absl::StatusOr<std::string> text = ReadFile(JoinPath(JoinPath(data, directory), file));
        if (text.ok() && std::string(file) == "pgpass") {
          secrets.AddPassfile(*text);
        } else if (text.ok()) {
          secrets.Add(*text);
        }
      }
    }
    for (const char* name : {"PGPASSWORD", "MULTIGRES_TOKEN"}) {
      secrets.Add(context_.Env(name));
    }
    for (const std::string& name : Entries(root_)) {
      if (name.find("token") != std::string::npos) {
        absl::StatusOr<std::string> text = ReadFile(JoinPath(root_, name));
        secrets.Add(text.ok() ? *text : "");
      }
    }
    return secrets;
  }

  std::string Versions() {
    std::string text = absl::StrCat("multigres ", kVersion, ", agent protocol ", kAgentProtocol, "\n");
    absl::StatusOr<AgentClient*> client = context_.Agent(/*start=*/false, /*any=*/true);
    std::string running(client.status().message());
    if (client.ok()) {
      absl::StatusOr<agent::GetInfoResponse> info =
          (*client)->Call(agent::GetInfoRequest(), absl::Now() + kQuestionLimit);
      running = info.ok() ? info->version() : std::string(info.status().message());
    }
    absl::StrAppend(&text, "agent ", running, "\n");
    for (const pginstall::Installation& installation : pginstall::List()) {
      absl::StrAppend(&text, "PostgreSQL ", installation.version, " in ", installation.bin_dir, "\n");
    }
    absl::StatusOr<HelperResult> etcd = RunHelper({.argv = {"etcd", "--version"}, .timeout = kQuestionLimit});
    absl::StrAppend(
        &text, etcd.ok() ? etcd->standard_output : absl::StrCat("etcd: ", std::string(etcd.status().message()), "\n"));
    return text;
  }

  std::string Machine() const {
    utsname system{};
    ::uname(&system);
    std::string text = absl::StrCat(system.sysname, " ", system.release, " ", system.machine, "\nprocessors ",
                                    ::sysconf(_SC_NPROCESSORS_ONLN), "\nuser ", ::geteuid(), "\n");
    for (const char* file : {"/etc/os-release", "/proc/uptime", "/proc/loadavg", "/proc/meminfo", "/proc/self/limits",
                             "/proc/self/cgroup"}) {
      absl::StatusOr<std::string> content = ReadFile(file);
      absl::StrAppend(&text, "\n--- ", file, "\n", content.ok() ? *content : std::string(content.status().message()));
    }
    absl::StatusOr<HelperResult> disk =
        RunHelper({.argv = {"df", "-k", root_, "/tmp", "/dev/shm"}, .timeout = kQuestionLimit});
    absl::StrAppend(&text, "\n--- df -k\n",
                    disk.ok() ? disk->standard_output + disk->standard_error : std::string(disk.status().message()));
    return text;
  }

  absl::Status Agent(Archive* archive) const {
    for (const char* name : {"clusters.json", "events.jsonl", "events.1.jsonl"}) {
      MG_RETURN_IF_ERROR(archive->AddFile(absl::StrCat("agent/", name), JoinPath(place_.home, name), kFileBytes));
    }
    std::string directory = DirName(place_.log_file);
    for (const std::string& name : Entries(directory)) {
      if (name.starts_with("agent") && name.ends_with(".log")) {
        MG_RETURN_IF_ERROR(archive->AddFile(absl::StrCat("agent/", name), JoinPath(directory, name), log_bytes_));
      }
    }
    return absl::OkStatus();
  }

  absl::Status Cluster(Archive* archive) const {
    if (!config_file_.empty()) {
      MG_RETURN_IF_ERROR(archive->AddFile("config/multigres.yaml", config_file_, kFileBytes));
    }
    MG_RETURN_IF_ERROR(archive->AddFile("cluster.json", JoinPath(root_, "cluster.json"), kFileBytes));
    MG_RETURN_IF_ERROR(
        archive->AddFile("config/postgresql.conf", JoinPath(root_, "config/postgresql.conf"), kFileBytes));
    MG_RETURN_IF_ERROR(Tree(archive, "run", kFileBytes));
    std::string data = JoinPath(root_, "data");
    for (const std::string& pooler : Entries(data)) {
      for (const char* file : {"consensus_promises.json", "pg_data/postgresql.conf", "pg_data/postgresql.auto.conf",
                               "pg_data/pg_hba.conf", "pg_data/postmaster.pid", "pg_data/PG_VERSION"}) {
        std::string path = absl::StrCat("data/", pooler, "/", file);
        MG_RETURN_IF_ERROR(archive->AddFile(path, JoinPath(root_, path), kFileBytes));
      }
    }
    return Tree(archive, "logs", log_bytes_);
  }

  // The end of a compressed log, as text: so that it is searched for secrets, too.
  absl::Status Unpacked(Archive* archive, const std::string& path) const {
    logs::LogFile file = logs::LogFile::Open(JoinPath(root_, path));
    if (!file.valid()) {
      return archive->AddText(path, "could not be read: it is damaged, or was removed\n");
    }
    auto most = static_cast<off_t>(std::min<std::uint64_t>(log_bytes_, kMostLogBytes));
    off_t size = file.Size(), begin = size > most ? size - most : 0;
    std::string text(static_cast<size_t>(size - begin), '\0');
    text.resize(static_cast<size_t>(std::max<ssize_t>(file.Read(text.data(), text.size(), begin), 0)));
    if (begin > 0) {
      text = absl::StrCat("(", begin, " bytes before this are left out)\n", text.substr(text.find('\n') + 1));
    }
    return archive->AddText(path.substr(0, path.size() - std::string(logs::kCompressedSuffix).size()), text);
  }

  // Every regular file below a directory of the cluster; sockets and the like are left out, and so are certificates.
  absl::Status Tree(Archive* archive, const std::string& directory, std::uint64_t most) const {
    for (const std::string& name : Entries(JoinPath(root_, directory))) {
      std::string path = JoinPath(directory, name);
      if (logs::IsCompressedLog(name)) {
        MG_RETURN_IF_ERROR(Unpacked(archive, path));
        continue;
      }
      bool packed = name.ends_with(".gz") || name.ends_with(".zst");
      if (packed || name.ends_with(".key") || name.ends_with(".pem")) {
        continue;  // what is packed cannot be searched for secrets
      }
      MG_RETURN_IF_ERROR(archive->AddFile(path, JoinPath(root_, path), most));
      MG_RETURN_IF_ERROR(Tree(archive, path, most));
    }
    return absl::OkStatus();
  }

  Context& context_;
  const AgentPlace place_;
  const std::uint64_t log_bytes_;
  std::string cluster_, root_, config_file_, status_;
};

int RunBundle(Context& context) {
  absl::StatusOr<AgentPlace> place = FindAgent(context.environment());
  if (!place.ok()) {
    return context.Fail(place.status());
  }
  std::uint64_t log_bytes = kLogBytes;
  if (context.args().Has("log-bytes") && !absl::SimpleAtoi(context.args().Get("log-bytes"), &log_bytes)) {
    return context.Fail(
        MakeError(absl::StatusCode::kInvalidArgument,
                  absl::StrCat("--log-bytes: '", context.args().Get("log-bytes"), "' is not a number"),
                  {.reason = "USAGE", .hint = "give the number of bytes of each log file, such as 1000000"}));
  }
  absl::StatusOr<multigres::cli::v1::BundleOutput> output =
      Bundler(context, *place, log_bytes).Run(context.args().Get("file"));
  if (!output.ok()) {
    return context.Fail(output.status());
  }
  return context.Emit(*output, [&] {
    return absl::StrCat("wrote ", output->path(), " (", text::HumanBytes(static_cast<std::uint64_t>(output->bytes())),
                        ", ", output->files_size(),
                        " files)\nsecrets were taken out; log lines may still hold data of applications\n");
  });
}

}  // namespace

Command BundleCommand() {
  return {
      .path = "bundle",
      .summary = "write logs, configuration, state and versions into one archive",
      .description =
          "Write everything that helps to find out what is wrong into one archive (tar, gzip): the ends of all logs, "
          "the "
          "configuration, the state, events, what the doctor finds, versions and facts about the machine. Passwords, "
          "tokens, keys and verifiers are taken out. Works without an agent, and starts none.",
      .flags = {{.name = "file", .letter = 'f', .value = "FILE", .help = "where to write it; default: a new file here"},
                {.name = "log-bytes", .value = "N", .help = "of each log file, from its end (4194304)"}},
      .examples = {{"multigres bundle", "to attach to a report"},
                   {"multigres bundle --file /tmp/b.tar.gz --json", "for a CI job that failed"}},
      .group = "CONFIGURATION",
      .run = RunBundle,
  };
}

}  // namespace mg::cli
