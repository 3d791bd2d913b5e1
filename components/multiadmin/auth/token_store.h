/// The cluster's tokens: kept in the global topology, so that a restart keeps them and several multiadmins share them,
/// and followed by a watch, so that a look-up asks nobody and a revocation holds everywhere within milliseconds. The
/// token of a file (the local provisioner's) is known beside them. Any thread; what writes blocks within its deadline.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/etcd/etcd_client.h"
#include "multigres/adminstore/v1/stored_token.pb.h"

namespace mg::multiadmin {

/// The token in the server's --auth-token-file, read again when the file changes. It acts as admin and never ends.
class TokenFile {
 public:
  explicit TokenFile(std::string path) : path_(std::move(path)) {}
  /// The token's id; NOT_FOUND and the like when the file cannot be read, INVALID_ARGUMENT when it holds no token or
  /// others may read it.
  absl::StatusOr<std::string> Load();
  bool Matches(const std::string& text);
  std::optional<multigres::admin::v1::Token> Describe();

 private:
  const std::string path_;
  std::mutex mutex_;
  std::string id_, hash_;
  timespec changed_ = {};
  absl::Time used_ = absl::InfinitePast();  ///< as far as this process has seen
};

class TokenStore {
 public:
  /// `root` is that of the global topology. Both must outlive this; `file` may be null.
  TokenStore(etcd::Client* etcd, const std::string& root, TokenFile* file);
  ~TokenStore();

  /// The token with this text, expired or not. UNAUTHENTICATED: there is none; UNAVAILABLE: the topology was not read
  /// yet. Notes the use.
  absl::StatusOr<multigres::admin::v1::Token> Find(const std::string& text);

  /// What a creation gives; see the proto. The secret is the second.
  absl::StatusOr<std::pair<multigres::admin::v1::Token, std::string>> Create(multigres::admin::v1::Token token,
                                                                             absl::Time deadline);
  absl::StatusOr<std::vector<multigres::admin::v1::Token>> List(absl::Time deadline);
  /// By name or id.
  absl::StatusOr<multigres::admin::v1::Token> Revoke(const std::string& token, absl::Time deadline);

 private:
  struct Entry {
    multigres::adminstore::v1::StoredToken stored;
    std::int64_t version = 0;
    absl::Time used = absl::InfinitePast();     ///< last use seen here
    absl::Time written = absl::InfinitePast();  ///< last use that is in the topology
  };

  void Take(const etcd::KeyValue& kv);
  void Saw(std::int64_t revision);
  absl::Status AwaitReady(absl::Time deadline);
  void AwaitRevision(std::int64_t revision, absl::Time deadline);
  void WriteUses();

  etcd::Client* const etcd_;
  const std::string prefix_;
  TokenFile* const file_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ready_ = false, stopped_ = false;
  std::int64_t seen_ = 0;
  std::map<std::string, Entry> by_name_;
  std::map<std::string, std::string> name_by_id_;
  std::unique_ptr<etcd::Client::Watch> watch_;
  std::thread writer_;
};

}  // namespace mg::multiadmin
