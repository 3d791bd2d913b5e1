#include "agentd/provisioners/local/implementation.h"

#include <algorithm>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "agentd/store/component_name.h"
#include "common/fs/fs.h"
#include "common/status/status.h"
#include "common/version/version.h"

namespace mg::local {

namespace {

constexpr char kAuto[] = "auto";
constexpr char kBuiltin[] = "builtin";
constexpr char kDebian[] = "debian";
constexpr char kUpstream[] = "upstream";
constexpr int kUpstreamPostgres = 17;
constexpr char kUpstreamPgbackrest[] = "2.57";

const std::vector<std::string>& Trio() {
  static const auto* kinds = new std::vector<std::string>{store::kMultigateway, store::kMultipooler, store::kMultiorch};
  return *kinds;
}

std::string WishFor(const std::map<std::string, config::Implementation>& wishes, const std::string& kind) {
  auto found = wishes.find(kind);
  return found == wishes.end() || found->second.empty() ? kAuto : found->second;
}

bool UpstreamCanRun(const MachineFacts& facts) {
  return !facts.root && facts.postgres_major == kUpstreamPostgres && !facts.pgbackrest_version.empty() &&
         VersionAtLeast(facts.pgbackrest_version, kUpstreamPgbackrest);
}

absl::StatusOr<Implementation> Builtin(const std::string& kind, const MachineFacts& facts) {
  auto found = facts.builtin.find(kind);
  if (found == facts.builtin.end()) {
    return MakeError(
        absl::StatusCode::kFailedPrecondition, absl::StrCat("the built-in ", kind, " is not installed"),
        {.reason = "PROGRAM_MISSING", .hint = "run 'make build', or 'make install' again", .subject = kind});
  }
  return Implementation{.word = kBuiltin, .program = found->second, .version = kVersion, .is_builtin = true};
}

/// The file gives a path. Our own programs stay built-in wherever they are named from.
Implementation FromPath(const std::string& path, const std::string& kind, const MachineFacts& facts) {
  auto ours = facts.builtin.find(kind);
  bool is_builtin = ours != facts.builtin.end() && ours->second == path;
  return {.word = path, .program = path, .version = is_builtin ? kVersion : "", .is_builtin = is_builtin};
}

absl::StatusOr<Implementation> Etcd(const std::string& wish, const MachineFacts& facts) {
  if (absl::StartsWith(wish, "/")) {
    return Implementation{.word = wish, .program = wish};
  }
  if (facts.etcd.empty()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "etcd was not found on PATH or in /usr/bin",
                     {.reason = "PROGRAM_MISSING",
                      .hint = "run 'make deps', or 'apt-get install etcd-server'; then start the agent again",
                      .subject = store::kEtcd});
  }
  return Implementation{.word = kDebian, .program = facts.etcd, .version = facts.etcd_version};
}

}  // namespace

bool VersionAtLeast(const std::string& a, const std::string& b) {
  std::vector<std::string> left = absl::StrSplit(a, '.'), right = absl::StrSplit(b, '.');
  for (size_t i = 0; i < std::max(left.size(), right.size()); ++i) {
    int x = 0, y = 0;
    (void)absl::SimpleAtoi(i < left.size() ? left[i] : "0", &x);
    (void)absl::SimpleAtoi(i < right.size() ? right[i] : "0", &y);
    if (x != y) {
      return x > y;
    }
  }
  return true;
}

absl::StatusOr<Implementations> ChooseImplementations(const std::map<std::string, config::Implementation>& wishes,
                                                      const MachineFacts& facts) {
  Implementations chosen;
  MG_ASSIGN_OR_RETURN(chosen[store::kEtcd], Etcd(WishFor(wishes, store::kEtcd), facts));
  if (facts.postgres_major == 0) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "no PostgreSQL server (14 to 17) was found",
                     {.reason = "PROGRAM_MISSING",
                      .hint = "run 'make deps', or 'apt-get install postgresql-15'",
                      .subject = store::kPostgres});
  }
  bool upstream = UpstreamCanRun(facts);
  bool trio_on_path = std::all_of(Trio().begin(), Trio().end(), [&](const std::string& kind) {
    return WishFor(wishes, kind) == kAuto && facts.upstream.count(kind) != 0;
  });
  for (const char* kind :
       {store::kMultiadmin, store::kPgctld, store::kMultigateway, store::kMultipooler, store::kMultiorch}) {
    std::string wish = WishFor(wishes, kind);
    bool in_trio = std::find(Trio().begin(), Trio().end(), kind) != Trio().end();
    if (absl::StartsWith(wish, "/")) {
      chosen[kind] = FromPath(wish, kind, facts);
    } else if (wish == kAuto && upstream && facts.upstream.count(kind) != 0 && (!in_trio || trio_on_path)) {
      chosen[kind] = {.word = kUpstream, .program = facts.upstream.at(kind)};
    } else {
      MG_ASSIGN_OR_RETURN(chosen[kind], Builtin(kind, facts));
    }
  }
  for (const std::string& kind : Trio()) {
    const std::string& first = Trio().front();
    if (chosen[kind].is_builtin != chosen[first].is_builtin) {
      return MakeError(
          absl::StatusCode::kInvalidArgument,
          absl::StrCat(kind, " (", chosen[kind].word, ") and ", first, " (", chosen[first].word,
                       ") do not speak to each other"),
          {.reason = "CONFIGURATION_INVALID",
           .hint = "choose multigateway, multipooler and multiorch together: all built-in or all upstream"});
    }
  }
  for (const auto& [kind, implementation] : chosen) {
    if (facts.root && !implementation.is_builtin && kind != store::kEtcd) {
      return MakeError(absl::StatusCode::kFailedPrecondition,
                       absl::StrCat(implementation.program, " refuses to run as root"),
                       {.reason = "USER_UNSUITABLE",
                        .hint = "run multigres as another user, or choose 'builtin' in the configuration file",
                        .subject = kind});
    }
  }
  return chosen;
}

}  // namespace mg::local
