#include "agentd/provisioners/local/preflight.h"

#include <unistd.h>

#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agentd/provisioners/local/layout.h"
#include "agentd/provisioners/local/teardown.h"
#include "agentd/store/component_name.h"
#include "common/fs/fs.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace mg::local {

namespace {

constexpr std::uint64_t kMiB = 1024 * 1024;
/// An empty PostgreSQL and its WAL, and etcd's.
constexpr std::uint64_t kDiskPerCell = 100 * kMiB;
constexpr std::uint64_t kDiskOfEtcd = 100 * kMiB;
constexpr std::uint64_t kDiskToBeAtEase = 2048 * kMiB;

class Checks {
 public:
  void Good(const std::string& check, const std::string& detail) { Add(check, true, detail, "", false); }
  void Bad(const std::string& check, const std::string& detail, const std::string& hint) {
    Add(check, false, detail, hint, false);
  }
  void Warn(const std::string& check, const std::string& detail, const std::string& hint) {
    Add(check, false, detail, hint, true);
  }
  void Bad(const std::string& check, const absl::Status& status) {
    std::optional<ErrorDetail> detail = DetailOf(status);
    Bad(check, std::string(status.message()), detail ? detail->hint : "");
  }
  v1::ValidateClusterResponse Take() { return std::move(response_); }

 private:
  void Add(const std::string& check, bool ok, const std::string& detail, const std::string& hint, bool warning) {
    v1::CheckResult* result = response_.add_checks();
    result->set_check(check);
    result->set_ok(ok);
    result->set_detail(detail);
    result->set_hint(hint);
    result->set_warning(warning);
  }
  v1::ValidateClusterResponse response_;
};

void CheckConfiguration(const Model& model, Checks* checks) {
  for (const std::string& warning : model.input.config.warnings) {
    checks->Warn("configuration", warning, "");
  }
  if (model.input.config.warnings.empty()) {
    checks->Good("configuration", model.place.config_file.empty()
                                      ? "defaults, no file"
                                      : absl::StrCat(model.place.config_file, " is well-formed"));
  }
}

/// Which programs run, in a few words.
std::string ImplementationsText(const Implementations& implementations) {
  std::vector<std::string> others;
  bool builtin = false, upstream = true;
  for (const auto& [kind, implementation] : implementations) {
    if (kind == store::kEtcd) {
      continue;
    }
    builtin |= implementation.is_builtin;
    if (!implementation.is_builtin) {
      others.push_back(absl::StrCat(kind, " ", implementation.word));
      upstream &= implementation.word == "upstream";
    }
  }
  return others.empty() ? "built-in components"
         : builtin      ? absl::StrCat("built-in components but ", absl::StrJoin(others, ", "))
         : upstream     ? "upstream components"
                        : absl::StrJoin(others, ", ");
}

void CheckBinaries(const Model& model, const MachineFacts& facts, Checks* checks) {
  std::map<std::string, std::string> programs;
  for (const auto& [kind, wish] : model.input.config.implementations) {
    if (absl::StartsWith(wish, "/")) {
      programs[kind] = wish;
    }
  }
  for (const auto& [kind, implementation] : model.input.implementations) {
    programs[kind] = implementation.program;
  }
  std::vector<std::string> problems;
  for (const auto& [kind, program] : programs) {
    if (access(program.c_str(), X_OK) != 0) {
      problems.push_back(absl::StrCat(kind, ": ", program, " is not an executable file"));
    }
  }
  if (problems.empty() && !model.implementations.ok()) {
    return checks->Bad("binaries", model.implementations);
  }
  if (access(model.input.shim.c_str(), X_OK) != 0) {
    problems.push_back(absl::StrCat(model.input.shim, " is missing"));
  }
  if (!problems.empty()) {
    return checks->Bad("binaries", absl::StrJoin(problems, "; "), "run 'make build', or correct the configuration");
  }
  std::string etcd = model.input.implementations.at(store::kEtcd).version;
  checks->Good("binaries", absl::StrCat("postgres ", facts.postgres_version, " · etcd ", etcd, " · ",
                                        ImplementationsText(model.input.implementations)));
}

void CheckDirectory(const Model& model, Checks* checks) {
  std::string nearest = NearestExisting(model.place.root_dir);
  if (access(nearest.c_str(), W_OK | X_OK) != 0) {
    return checks->Bad(
        "directory",
        absl::StrCat(nearest, " is not writable, and the cluster's directory is to be ", model.place.root_dir),
        "give MULTIGRES_HOME another directory, or correct the permissions");
  }
  checks->Good("directory", model.place.root_dir);
}

void CheckDisk(const Model& model, Checks* checks) {
  std::uint64_t needed = kDiskOfEtcd + kDiskPerCell * static_cast<std::uint64_t>(model.cell_count());
  std::uint64_t free_bytes = FreeDisk(model.place.root_dir);
  std::string detail = absl::StrCat(text::HumanBytes(free_bytes), " free in ", NearestExisting(model.place.root_dir));
  std::string hint = "make room, or give MULTIGRES_HOME a directory on another disk";
  if (free_bytes < needed && !model.record.initialised()) {
    checks->Bad("disk", absl::StrCat(detail, "; a new cluster needs about ", text::HumanBytes(needed)), hint);
  } else if (free_bytes < kDiskToBeAtEase) {
    checks->Warn("disk", detail, hint);
  } else {
    checks->Good("disk", detail);
  }
}

/// As root, PostgreSQL runs as another user, who must get to its data.
void CheckUser(const Model& model, Checks* checks) {
  if (!model.input.root) {
    return checks->Good("user", "PostgreSQL runs as this user");
  }
  absl::StatusOr<OsUser> user = FindUser(model.input.config.run_as);
  if (!user.ok()) {
    return checks->Bad("user",
                       absl::StrCat("PostgreSQL refuses to run as root, and ", std::string(user.status().message())),
                       "run 'make deps' (its packages make the user postgres), or name another in 'postgres: run-as:'");
  }
  if (user->uid == 0) {
    return checks->Bad("user", "PostgreSQL refuses to run as root, and run-as names root",
                       "name another user in 'postgres: run-as:'");
  }
  for (const Member& member : MembersOf(model.input)) {
    // What lies in the cluster's own directory is made so that it can be passed; what is above it is not ours.
    std::string dir = PoolerDirOf(model.input, member);
    if (std::string blocked = BlockedAt(dir, *user); !blocked.empty()) {
      return checks->Bad("user", absl::StrCat("user ", user->name, " cannot pass through ", blocked, " to ", dir),
                         absl::StrCat("run 'chmod o+x ", blocked, "', or give MULTIGRES_HOME a directory that ",
                                      user->name, " can reach, such as /var/lib/multigres"));
    }
  }
  checks->Good("user", absl::StrCat("PostgreSQL runs as ", user->name));
}

void CheckSocketPaths(const Model& model, unsigned uid, Checks* checks) {
  bool short_form = false;
  for (const Member& member : MembersOf(model.input)) {
    short_form |= SocketPlaceOf(model.place.root_dir, PoolerDirOf(model.input, member), member.Place(), uid).short_form;
  }
  checks->Good("socket-path", short_form ? absl::StrCat("sockets are in ", ShortDirectory(model.place.root_dir, uid))
                                         : "sockets are in the cluster's directory");
}

void CheckLeftovers(const Model& model, Checks* checks) {
  std::vector<std::string> found;
  for (const Leftover& leftover : FindLeftovers(model)) {
    found.push_back(absl::StrCat(leftover.component, " (pid ", leftover.pid, ")"));
  }
  if (found.empty()) {
    return checks->Good("leftovers", "none");
  }
  checks->Bad("leftovers", absl::StrCat("left over from an earlier run, out of control: ", absl::StrJoin(found, ", ")),
              "'multigres down' stops it");
}

}  // namespace

v1::ValidateClusterResponse Preflight(const Model& model, const MachineFacts& facts, unsigned uid) {
  Checks checks;
  CheckConfiguration(model, &checks);
  CheckBinaries(model, facts, &checks);
  CheckDirectory(model, &checks);
  CheckUser(model, &checks);
  if (model.ports.ok()) {
    checks.Good("ports", "free, or this cluster's own");
  } else {
    checks.Bad("ports", model.ports);
  }
  CheckDisk(model, &checks);
  CheckSocketPaths(model, uid, &checks);
  CheckLeftovers(model, &checks);
  return checks.Take();
}

}  // namespace mg::local
