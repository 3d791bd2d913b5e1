/// The contexts of this user: Admin APIs of other machines, by name. One file each (proto3 JSON, 0600) below
/// <home>/contexts (0700), tokens in files of their own beside them. Every write is atomic. Values; one thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "multigres/cli/v1/output.pb.h"

namespace grpc {
class Channel;
class ClientContext;
}  // namespace grpc

namespace mg::cli {

/// The name of this machine's agent among the contexts.
inline constexpr char kLocalContext[] = "local";

class RemoteContexts {
 public:
  /// Finds the place; reads and makes nothing.
  static absl::StatusOr<RemoteContexts> Open(const std::map<std::string, std::string>& environment);

  /// One file. A broken one hides no other: it has its name, and why it cannot be used.
  struct Entry {
    multigres::cli::v1::RemoteContext context;
    absl::Status usable;
  };
  /// By name.
  absl::StatusOr<std::vector<Entry>> List() const;
  /// CONTEXT_NOT_FOUND with the nearest name; BAD_FILE, or why its file cannot be read.
  absl::StatusOr<multigres::cli::v1::RemoteContext> Get(const std::string& name) const;
  /// CONTEXT_EXISTS; INVALID_ARGUMENT for a bad name or endpoint. The token, when there is one, goes into its file.
  absl::Status Add(multigres::cli::v1::RemoteContext context, const std::string& token) const;
  /// Its token goes too; when it was in use, `local` is from now on. A broken one can be removed like any other.
  absl::Status Remove(const std::string& name) const;
  /// Of the name that was asked for, else of the one in use: the name of a remote context, or empty for `local`.
  absl::StatusOr<std::string> Chosen(const std::string& wanted) const;
  /// The same, whether it can be used or not, and whether it is there or not.
  absl::StatusOr<std::string> ChosenName(const std::string& wanted) const;
  absl::Status Use(const std::string& name) const;

 private:
  explicit RemoteContexts(std::string directory) : directory_(std::move(directory)) {}
  std::string Path(const std::string& file) const;
  Entry Load(const std::string& name) const;
  /// Of that name, broken or not; CONTEXT_NOT_FOUND.
  absl::StatusOr<Entry> Find(const std::string& name) const;

  std::string directory_;
};

/// A channel to a remote Admin API, and what each call on it needs.
struct RemoteRoute {
  std::shared_ptr<grpc::Channel> channel;
  std::function<void(grpc::ClientContext*)> prepare;
};

/// Whether it is dialled with TLS: everything that is of use with TLS only asks for it.
bool UsesTls(const multigres::cli::v1::RemoteContext& context);

/// Dials; nothing is sent before the first call. PERMISSION_DENIED: the token's file is open to others, or the token
/// would go to another machine without TLS.
absl::StatusOr<RemoteRoute> DialRemote(const multigres::cli::v1::RemoteContext& context);

/// The token in a file that nobody else may read; surrounding blanks are dropped. FILE_NOT_PRIVATE; BAD_FILE for what
/// is no token.
absl::StatusOr<std::string> ReadTokenFile(const std::string& path);
/// OK for one printable word.
absl::Status CheckToken(const std::string& token);

}  // namespace mg::cli
