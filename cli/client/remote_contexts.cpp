#include "cli/client/remote_contexts.h"

#include <dirent.h>
#include <google/protobuf/util/json_util.h>
#include <grpcpp/client_context.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/config/cluster_config.h"
#include "common/fs/fs.h"
#include "common/rpc/dial_far.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace mg::cli {
namespace {

using multigres::cli::v1::RemoteContext;

constexpr char kSuffix[] = ".json";
constexpr char kCurrent[] = "current";
constexpr char kSystemAuthorities[] = "/etc/ssl/certs/ca-certificates.crt";
constexpr size_t kLongestName = 40;
constexpr size_t kLongestToken = 4096;

absl::Status Usage(const std::string& message, const std::string& hint) {
  return MakeError(absl::StatusCode::kInvalidArgument, message, {.reason = "USAGE", .hint = hint});
}

absl::Status CheckName(const std::string& name) {
  bool good = !name.empty() && name.size() <= kLongestName && name[0] != '-' && name[0] != '.' &&
              std::all_of(name.begin(), name.end(),
                          [](char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.'; });
  return good && name != kLocalContext
             ? absl::OkStatus()
             : Usage(absl::StrCat("'", name, "' cannot be a context's name"),
                     "use letters, digits, '-', '_' and '.', at most 40; 'local' is this machine");
}

absl::StatusOr<std::string> HostOf(const std::string& endpoint) {
  size_t colon = endpoint.rfind(':');
  int port = 0;
  bool good = colon != std::string::npos && colon > 0 && absl::SimpleAtoi(endpoint.substr(colon + 1), &port) &&
              port > 0 && port < 65536 &&
              std::all_of(endpoint.begin(), endpoint.end(), [](char c) { return c > ' ' && c <= '~' && c != '/'; });
  if (!good) {
    return Usage(absl::StrCat("'", absl::Utf8SafeCEscape(endpoint), "' is no endpoint"), "write HOST:PORT");
  }
  return endpoint.substr(0, colon);
}

bool IsLoopback(const std::string& host) {
  return host == "localhost" || host == "[::1]" || absl::StartsWith(host, "127.");
}

}  // namespace

absl::StatusOr<RemoteContexts> RemoteContexts::Open(const std::map<std::string, std::string>& environment) {
  MG_ASSIGN_OR_RETURN(config::Home home, config::FindHome(environment, ::geteuid()));
  return RemoteContexts(JoinPath(home.path, "contexts"));
}

std::string RemoteContexts::Path(const std::string& file) const { return JoinPath(directory_, file); }

RemoteContexts::Entry RemoteContexts::Load(const std::string& name) const {
  Entry entry;
  entry.context.set_name(name);
  const std::string path = Path(name + kSuffix);
  absl::StatusOr<std::string> json = ReadFile(path);
  if (!json.ok()) {
    entry.usable = json.status();
    return entry;
  }
  RemoteContext context;
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;  // of a newer version
  if (!google::protobuf::util::JsonStringToMessage(*json, &context, options).ok() || !HostOf(context.endpoint()).ok()) {
    entry.usable = MakeError(
        absl::StatusCode::kInvalidArgument, absl::StrCat(path, ": this is no context"),
        {.reason = "BAD_FILE",
         .hint = absl::StrCat("remove it with 'multigres context remove ", name, "', and add the context anew")});
    return entry;
  }
  context.set_name(name);
  entry.context = std::move(context);
  return entry;
}

absl::StatusOr<std::vector<RemoteContexts::Entry>> RemoteContexts::List() const {
  std::vector<Entry> contexts;
  DIR* directory = ::opendir(directory_.c_str());
  if (directory == nullptr) {
    return errno == ENOENT ? absl::StatusOr<std::vector<Entry>>(std::move(contexts))
                           : ErrnoStatus(errno, absl::StrCat("read ", directory_));
  }
  std::vector<std::string> files;
  while (const dirent* entry = ::readdir(directory)) {
    if (absl::EndsWith(entry->d_name, kSuffix)) {
      files.emplace_back(entry->d_name);
    }
  }
  ::closedir(directory);
  std::sort(files.begin(), files.end());
  for (const std::string& file : files) {
    contexts.push_back(Load(std::string(absl::StripSuffix(file, kSuffix))));
  }
  return contexts;
}

absl::StatusOr<RemoteContexts::Entry> RemoteContexts::Find(const std::string& name) const {
  MG_ASSIGN_OR_RETURN(std::vector<Entry> entries, List());
  std::vector<std::string> known = {kLocalContext};
  for (Entry& entry : entries) {
    if (entry.context.name() == name) {
      return std::move(entry);
    }
    known.push_back(entry.context.name());
  }
  std::optional<std::string> near = text::Closest(name, known);
  return MakeError(absl::StatusCode::kNotFound, absl::StrCat("there is no context '", absl::Utf8SafeCEscape(name), "'"),
                   {.reason = "CONTEXT_NOT_FOUND",
                    .hint = near.has_value() ? absl::StrCat("did you mean '", *near, "'?")
                                             : absl::StrCat("there are: ", absl::StrJoin(known, ", "))});
}

absl::StatusOr<RemoteContext> RemoteContexts::Get(const std::string& name) const {
  MG_ASSIGN_OR_RETURN(Entry entry, Find(name));
  MG_RETURN_IF_ERROR(entry.usable);
  return std::move(entry.context);
}

absl::Status RemoteContexts::Add(RemoteContext context, const std::string& token) const {
  MG_RETURN_IF_ERROR(CheckName(context.name()));
  MG_RETURN_IF_ERROR(HostOf(context.endpoint()).status());
  if (context.cert_file().empty() != context.key_file().empty()) {
    return Usage("a client certificate and its key go together", "give both --cert-file and --key-file");
  }
  if (Find(context.name()).ok()) {
    return MakeError(absl::StatusCode::kAlreadyExists, absl::StrCat("there is a context '", context.name(), "'"),
                     {.reason = "CONTEXT_EXISTS"});
  }
  MG_RETURN_IF_ERROR(MakeDirectories(directory_, 0700));
  MG_RETURN_IF_ERROR(EnsurePrivateDirectory(directory_));
  if (!token.empty()) {
    MG_RETURN_IF_ERROR(CheckToken(token));
    context.set_token_file(Path(context.name() + ".token"));
    MG_RETURN_IF_ERROR(WriteFileAtomically(context.token_file(), token, 0600));
  }
  if (absl::Status usable = DialRemote(context).status(); !usable.ok()) {
    ::unlink(Path(context.name() + ".token").c_str());
    return usable;
  }
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(context, &json).ok()) {
    return Usage("the context cannot be written: it is not UTF-8", "use plain names and paths");
  }
  return WriteFileAtomically(Path(context.name() + kSuffix), json, 0600);
}

absl::Status RemoteContexts::Remove(const std::string& name) const {
  if (name == kLocalContext) {
    return MakeError(absl::StatusCode::kInvalidArgument,
                     "the context 'local' is this machine's own, and cannot be removed", {.reason = "USAGE"});
  }
  MG_RETURN_IF_ERROR(Find(name).status());
  MG_ASSIGN_OR_RETURN(std::string current, ChosenName(""));
  if (current == name) {
    MG_RETURN_IF_ERROR(Use(kLocalContext));
  }
  for (const std::string& file : {name + ".token", name + kSuffix}) {
    if (::unlink(Path(file).c_str()) != 0 && errno != ENOENT) {
      return ErrnoStatus(errno, absl::StrCat("remove ", Path(file)));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> RemoteContexts::ChosenName(const std::string& wanted) const {
  std::string name = wanted;
  if (name.empty()) {
    absl::StatusOr<std::string> current = ReadFile(Path(kCurrent));
    if (!current.ok() && !absl::IsNotFound(current.status())) {
      return current.status();
    }
    name = current.ok() ? std::string(absl::StripAsciiWhitespace(*current)) : kLocalContext;
  }
  return name == kLocalContext ? "" : name;
}

absl::StatusOr<std::string> RemoteContexts::Chosen(const std::string& wanted) const {
  MG_ASSIGN_OR_RETURN(std::string name, ChosenName(wanted));
  if (!name.empty()) {
    MG_RETURN_IF_ERROR(Get(name).status());
  }
  return name;
}

absl::Status RemoteContexts::Use(const std::string& name) const {
  if (name != kLocalContext) {
    MG_RETURN_IF_ERROR(Get(name).status());
  }
  MG_RETURN_IF_ERROR(MakeDirectories(directory_, 0700));
  MG_RETURN_IF_ERROR(EnsurePrivateDirectory(directory_));
  return WriteFileAtomically(Path(kCurrent), name + "\n", 0600);
}

absl::Status CheckToken(const std::string& token) {
  bool good = !token.empty() && token.size() <= kLongestToken &&
              std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c <= '~'; });
  return good ? absl::OkStatus()
              : MakeError(absl::StatusCode::kInvalidArgument, "that is no token",
                          {.reason = "BAD_FILE", .hint = "a token is one printable word, alone in its file"});
}

absl::StatusOr<std::string> ReadTokenFile(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    absl::Status status = ErrnoStatus(errno, absl::StrCat("read the token's file ", path));
    return absl::IsNotFound(status) ? MakeError(status.code(), status.message(), {.reason = "FILE_NOT_FOUND"}) : status;
  }
  if (S_ISREG(info.st_mode) && (info.st_mode & 077) != 0) {
    return MakeError(absl::StatusCode::kPermissionDenied, absl::StrCat(path, " is open to others"),
                     {.reason = "FILE_NOT_PRIVATE", .hint = absl::StrCat("chmod 600 ", path)});
  }
  MG_ASSIGN_OR_RETURN(std::string text, ReadFile(path));
  std::string token(absl::StripAsciiWhitespace(text));
  MG_RETURN_IF_ERROR(CheckToken(token));
  return token;
}

bool UsesTls(const RemoteContext& context) {
  return context.tls() || !context.ca_file().empty() || !context.cert_file().empty() || !context.server_name().empty();
}

absl::StatusOr<RemoteRoute> DialRemote(const RemoteContext& context) {
  MG_ASSIGN_OR_RETURN(std::string host, HostOf(context.endpoint()));
  const bool tls = UsesTls(context);
  std::string authorization;
  if (!context.token_file().empty()) {
    if (!tls && !IsLoopback(host)) {
      return MakeError(absl::StatusCode::kPermissionDenied,
                       absl::StrCat("the token would be sent to ", context.endpoint(), " in clear"),
                       {.reason = "TOKEN_IN_CLEAR"});
    }
    MG_ASSIGN_OR_RETURN(std::string token, ReadTokenFile(context.token_file()));
    authorization = absl::StrCat("Bearer ", token);
  }
  rpc::ClientTls files = {.certificate = context.cert_file(),
                          .key = context.key_file(),
                          .authority = context.ca_file(),
                          .machine_authorities = tls ? kSystemAuthorities : "",
                          .server_name = context.server_name(),
                          .require = tls};
  MG_ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> channel, rpc::DialFar(files, context.endpoint()));
  return RemoteRoute{.channel = std::move(channel), .prepare = [authorization](grpc::ClientContext* rpc) {
                       if (!authorization.empty()) {
                         rpc->AddMetadata("authorization", authorization);
                       }
                     }};
}

}  // namespace mg::cli
