#include "agentd/provisioners/local/layout.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "agentd/provisioners/local/certificates.h"
#include "agentd/store/component_name.h"
#include "common/admin_token/admin_token.h"
#include "common/fs/fs.h"
#include "common/status/status.h"

namespace mg::local {

namespace {

constexpr mode_t kPassable = 0711;  ///< PostgreSQL's user passes through, and sees nothing
constexpr mode_t kReadable = 0755;
constexpr mode_t kPrivate = 0700;
constexpr size_t kLongestSocketName = sizeof("/.s.PGSQL.65535") - 1;

std::uint32_t Fnv1a(const std::string& text) {
  std::uint32_t hash = 2166136261u;
  for (char c : text) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  }
  return hash;
}

absl::Status Own(const std::string& path, const OsUser& user) {
  return lchown(path.c_str(), user.uid, user.gid) == 0
             ? absl::OkStatus()
             : ErrnoStatus(errno, absl::StrCat("give ", path, " to ", user.name));
}

absl::Status WriteIfDifferent(const std::string& path, const std::string& content, mode_t mode) {
  absl::StatusOr<std::string> present = ReadFile(path);
  struct stat info {};
  if (present.ok() && *present == content && stat(path.c_str(), &info) == 0 && (info.st_mode & 07777) == mode) {
    return absl::OkStatus();
  }
  return WriteFileAtomically(path, content, mode);
}

/// `link` leads to `target`. A real directory in its place is replaced only when it is empty.
absl::Status PlaceLink(const std::string& target, const std::string& link) {
  char present[4096];
  ssize_t size = readlink(link.c_str(), present, sizeof(present));
  if (size >= 0 && std::string(present, static_cast<size_t>(size)) == target) {
    return absl::OkStatus();
  }
  if ((size >= 0 ? unlink(link.c_str()) : rmdir(link.c_str())) != 0 && errno != ENOENT) {
    return ErrnoStatus(errno, absl::StrCat("replace ", link));
  }
  return symlink(target.c_str(), link.c_str()) == 0 ? absl::OkStatus()
                                                    : ErrnoStatus(errno, absl::StrCat("make the link ", link));
}

class Preparation {
 public:
  Preparation(const Model& model, unsigned uid) : model_(model), input_(model.input), uid_(uid) {}

  absl::Status Run() {
    if (input_.root) {
      MG_ASSIGN_OR_RETURN(postgres_user_, FindUser(input_.config.run_as));
    }
    MG_RETURN_IF_ERROR(Tree());
    MG_RETURN_IF_ERROR(Settings());
    for (const Member& member : MembersOf(input_)) {
      MG_RETURN_IF_ERROR(PrepareMember(member));
    }
    MG_RETURN_IF_ERROR(Certificates());
    MG_RETURN_IF_ERROR(AdminToken());
    return Passfile();
  }

 private:
  /// Ours need none: they do not run pgBackRest.
  absl::Status Certificates() {
    for (const char* kind : {store::kPgctld, store::kMultipooler}) {
      auto found = input_.implementations.find(kind);
      if (found != input_.implementations.end() && !found->second.is_builtin) {
        return EnsureCertificates(input_.paths.Certs());
      }
    }
    return absl::OkStatus();
  }

  mode_t Way() const { return input_.root ? kPassable : kPrivate; }

  absl::Status Tree() {
    const store::Paths& paths = input_.paths;
    MG_RETURN_IF_ERROR(MakeDirectories(paths.root(), Way()));
    MG_RETURN_IF_ERROR(MakeDirectories(paths.Data(), Way()));
    MG_RETURN_IF_ERROR(MakeDirectories(paths.Config(), input_.root ? kReadable : kPrivate));
    MG_RETURN_IF_ERROR(MakeDirectories(paths.EtcdData(), kPrivate));
    MG_RETURN_IF_ERROR(MakeDirectories(paths.Logs(), kPrivate));
    MG_RETURN_IF_ERROR(MakeDirectories(paths.Run(), kPrivate));
    for (const v1::ComponentSpec& spec : model_.specs) {
      MG_ASSIGN_OR_RETURN(store::ComponentName name, store::ComponentName::Parse(spec.name()));
      MG_RETURN_IF_ERROR(MakeDirectories(paths.RunDir(name), kPrivate));
      MG_RETURN_IF_ERROR(MakeDirectories(paths.LogDir(name), kPrivate));
    }
    return absl::OkStatus();
  }

  absl::Status Settings() {
    mode_t mode = input_.root ? 0644 : 0600;
    MG_RETURN_IF_ERROR(WriteIfDifferent(
        input_.paths.PostgresConf(),
        PostgresSettings(input_.config, static_cast<int>(MembersOf(input_).size()), AvailableMemory()), mode));
    int number = 0;
    for (const std::string& sql : input_.config.init_sql) {
      MG_RETURN_IF_ERROR(WriteIfDifferent(input_.paths.InitSql(++number), absl::StrCat(sql, "\n"), mode));
    }
    return absl::OkStatus();
  }

  absl::Status PrepareMember(const Member& member) {
    std::string dir = PoolerDirOf(input_, member);
    MG_RETURN_IF_ERROR(MakeDirectories(dir, input_.root ? kReadable : kPrivate));
    MG_RETURN_IF_ERROR(WriteIfDifferent(store::PasswordFile(dir), input_.config.postgres_password, 0600));
    MG_RETURN_IF_ERROR(RestoreOrder(member, dir));
    SocketPlace place = SocketPlaceOf(input_.paths.root(), dir, member.Place(), uid_);
    if (place.short_form) {
      std::string top = DirName(ShortDirectory(input_.paths.root(), uid_));
      MG_RETURN_IF_ERROR(EnsurePrivateDirectory(top, Way()));
      MG_RETURN_IF_ERROR(MakeDirectories(DirName(place.postgres), Way()));
      MG_RETURN_IF_ERROR(MakeDirectories(place.pooler, kPrivate));
      MG_RETURN_IF_ERROR(SocketDirectory(place.postgres));
      MG_RETURN_IF_ERROR(PlaceLink(place.postgres, store::PostgresSockets(dir)));
      return PlaceLink(place.pooler, store::PoolerRun(dir));
    }
    MG_RETURN_IF_ERROR(MakeDirectories(store::PoolerRun(dir), kPrivate));
    return SocketDirectory(place.postgres);
  }

  /// A pooler without data that finds one founds its shard from that backup; whoever copies another pooler drops it.
  absl::Status RestoreOrder(const Member& member, const std::string& dir) {
    const LaterDatabase* database = model_.FindDatabase(member.database);
    if (database == nullptr || database->initialised || database->restore_backup_id.empty() ||
        Exists(JoinPath(store::PostgresData(dir), "PG_VERSION"))) {
      return absl::OkStatus();
    }
    return WriteIfDifferent(JoinPath(dir, "restore.json"),
                            absl::StrCat("{\"backupId\":\"", database->restore_backup_id, "\"}\n"), 0600);
  }

  absl::Status SocketDirectory(const std::string& path) {
    MG_RETURN_IF_ERROR(MakeDirectories(path, kReadable));
    return input_.root ? Own(path, postgres_user_) : absl::OkStatus();
  }

  /// Made once; whoever removes the file gets a new one, and the old one ends with it.
  absl::Status AdminToken() {
    if (!AsksForToken(input_) || ReadFile(input_.paths.AdminToken()).ok()) {
      return absl::OkStatus();
    }
    MG_ASSIGN_OR_RETURN(admin_token::Token token, admin_token::Make());
    return WriteFileAtomically(input_.paths.AdminToken(), absl::StrCat(token.text, "\n"), 0600);
  }

  absl::Status Passfile() {
    std::string text;
    for (const char* host : {"127.0.0.1", "localhost"}) {
      for (const v1::ComponentSpec& spec : model_.specs) {
        if (spec.kind() == v1::COMPONENT_KIND_MULTIGATEWAY) {
          for (const char* port : {"postgres", "postgres_replica"}) {
            absl::StrAppend(&text, PassfileLine(host, PortOf(spec, port), input_.config.postgres_user,
                                                input_.config.postgres_password));
          }
        }
      }
    }
    return WriteIfDifferent(input_.paths.Passfile(), text, 0600);
  }

  const Model& model_;
  const SpecInput& input_;
  const unsigned uid_;
  OsUser postgres_user_;
};

}  // namespace

std::string ShortDirectory(const std::string& root, unsigned uid) {
  return absl::StrCat("/tmp/multigres-", uid, "-run/", absl::StrFormat("%08x", Fnv1a(root)));
}

SocketPlace SocketPlaceOf(const std::string& root, const std::string& pooler_dir, const std::string& member,
                          unsigned uid) {
  SocketPlace place{.postgres = store::PostgresSockets(pooler_dir), .pooler = store::PoolerRun(pooler_dir)};
  if (place.postgres.size() + kLongestSocketName > kMaxSocketPath) {
    // Short for any name; a cell's own name stays readable.
    bool plain = member.find('/') == std::string::npos;
    std::string base =
        absl::StrCat(ShortDirectory(root, uid), "/", plain ? member : absl::StrFormat("%08x", Fnv1a(member)));
    place = {.postgres = absl::StrCat(base, "/pg"), .pooler = absl::StrCat(base, "/run"), .short_form = true};
  }
  return place;
}

absl::Status PrepareFiles(const Model& model, unsigned uid) { return Preparation(model, uid).Run(); }

absl::Status RemoveShortDirectory(const Model& model, unsigned uid) {
  std::string directory = ShortDirectory(model.place.root_dir, uid);
  if (!Exists(directory)) {
    return absl::OkStatus();
  }
  for (const Member& member : MembersOf(model.input)) {
    std::string dir = PoolerDirOf(model.input, member);
    for (const std::string& link : {store::PostgresSockets(dir), store::PoolerRun(dir)}) {
      struct stat info {};
      if (lstat(link.c_str(), &info) == 0 && S_ISLNK(info.st_mode)) {
        (void)unlink(link.c_str());
      }
    }
  }
  MG_RETURN_IF_ERROR(RemoveTree(directory));
  (void)rmdir(DirName(directory).c_str());  // other clusters may still use it
  return absl::OkStatus();
}

std::string PassfileLine(const std::string& host, int port, const std::string& user, const std::string& password) {
  auto escape = [](const std::string& text) {
    std::string out;
    for (char c : text) {
      if (c == ':' || c == '\\') {
        out += '\\';
      }
      out += c;
    }
    return out;
  };
  return absl::StrCat(host, ":", port, ":*:", escape(user), ":", escape(password), "\n");
}

}  // namespace mg::local
