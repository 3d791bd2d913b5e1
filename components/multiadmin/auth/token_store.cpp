#include "components/multiadmin/auth/token_store.h"

#include <sys/stat.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "common/admin_token/admin_token.h"
#include "common/etcd/away.h"
#include "common/fs/fs.h"
#include "common/log/log.h"
#include "common/status/status.h"

namespace mg::multiadmin {
namespace {

using multigres::admin::v1::Token;

/// How exact `last used` is: each token costs at most one write in this time.
constexpr absl::Duration kUsePeriod = absl::Minutes(1);

/// What the token of a file is called; no other may be.
constexpr char kFileTokenName[] = "local";

void SetTime(google::protobuf::Timestamp* out, absl::Time time) {
  out->set_seconds(absl::ToUnixSeconds(time));
  out->set_nanos(0);
}

absl::Time GetTime(const google::protobuf::Timestamp& time) { return absl::FromUnixSeconds(time.seconds()); }

absl::Status Unknown() {
  return MakeError(absl::StatusCode::kUnauthenticated, "the token is not known here",
                   {.reason = "TOKEN_UNKNOWN", .hint = "it may have been revoked, or be another cluster's"});
}

/// So long etcd is waited for before it counts as away.
constexpr absl::Duration kPatience = absl::Seconds(2);

/// Asked before a write: one that is given up may have been made all the same, and a token's secret is told once.
absl::Status CheckAnswers(etcd::Client* etcd, const std::string& key, absl::Time deadline) {
  const absl::Status status = etcd->Get(key, std::min(deadline, absl::Now() + kPatience)).status();
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ? etcd::TopologyAway(status.message())
                                                                         : absl::OkStatus();
}

std::string Prefix(absl::string_view root) {
  while (absl::ConsumeSuffix(&root, "/")) {
  }
  return absl::StrCat(root, "/multigres-admin/tokens/");
}

}  // namespace

absl::StatusOr<std::string> TokenFile::Load() {
  std::lock_guard lock(mutex_);
  struct stat info = {};
  if (::stat(path_.c_str(), &info) != 0) {
    id_.clear();
    return ErrnoStatus(errno, absl::StrCat("read ", path_));
  }
  if (!id_.empty() && info.st_mtim.tv_sec == changed_.tv_sec && info.st_mtim.tv_nsec == changed_.tv_nsec) {
    return id_;
  }
  id_.clear();
  if ((info.st_mode & 077) != 0) {
    return absl::InvalidArgumentError(absl::StrCat(path_, " holds a secret, and others may read it: chmod 600 it"));
  }
  MG_ASSIGN_OR_RETURN(std::string text, ReadFile(path_));
  text = std::string(absl::StripAsciiWhitespace(text));
  std::string id = admin_token::Id(text);
  if (id.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(path_, " does not hold a token (mgt_…)"));
  }
  id_ = id;
  hash_ = admin_token::Hash(text);
  changed_ = info.st_mtim;
  return id_;
}

bool TokenFile::Matches(const std::string& text) {
  absl::StatusOr<std::string> id = Load();
  std::lock_guard lock(mutex_);
  const bool matches = id.ok() && !id_.empty() && admin_token::SameHash(hash_, admin_token::Hash(text));
  used_ = matches ? absl::Now() : used_;
  return matches;
}

std::optional<Token> TokenFile::Describe() {
  absl::StatusOr<std::string> id = Load();
  if (!id.ok()) {
    return std::nullopt;
  }
  std::lock_guard lock(mutex_);
  Token token;
  token.set_id(*id);
  token.set_name(kFileTokenName);
  token.set_role(multigres::admin::v1::ROLE_ADMIN);
  SetTime(token.mutable_created_at(), absl::TimeFromTimespec(changed_));
  token.set_created_by("the local provisioner");
  token.set_from_file(true);
  if (used_ != absl::InfinitePast()) {
    SetTime(token.mutable_last_used_at(), used_);
  }
  return token;
}

TokenStore::TokenStore(etcd::Client* etcd, const std::string& root, TokenFile* file)
    : etcd_(etcd), prefix_(Prefix(root)), file_(file) {
  watch_ = etcd_->WatchPrefix(
      prefix_,
      [this](const etcd::RangeResult& all) {
        std::lock_guard lock(mutex_);
        std::map<std::string, Entry> before = std::move(by_name_);
        by_name_.clear();
        name_by_id_.clear();
        for (const etcd::KeyValue& kv : all.entries) {
          Take(kv);
        }
        for (auto& [name, entry] : by_name_) {
          if (auto it = before.find(name); it != before.end()) {
            entry.used = std::max(entry.used, it->second.used);
          }
        }
        ready_ = true;
        Saw(all.revision);
      },
      [this](const etcd::WatchEvent& event) {
        std::lock_guard lock(mutex_);
        if (event.deleted) {
          std::string name(absl::StripPrefix(event.entry.key, prefix_));
          if (auto it = by_name_.find(name); it != by_name_.end()) {
            name_by_id_.erase(it->second.stored.token().id());
            by_name_.erase(it);
          }
        } else {
          Take(event.entry);
        }
        Saw(event.entry.mod_revision);
      });
  writer_ = std::thread([this] { WriteUses(); });
}

TokenStore::~TokenStore() {
  watch_.reset();
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }
  writer_.join();
}

void TokenStore::Take(const etcd::KeyValue& kv) {
  Entry entry;
  if (!entry.stored.ParseFromString(kv.value)) {
    log::Warn("a token's record cannot be read", {{"key", kv.key}});
    return;
  }
  entry.version = kv.mod_revision;
  entry.written =
      entry.stored.token().has_last_used_at() ? GetTime(entry.stored.token().last_used_at()) : absl::InfinitePast();
  std::string name(absl::StripPrefix(kv.key, prefix_));
  if (auto it = by_name_.find(name); it != by_name_.end()) {
    entry.used = it->second.used;
    name_by_id_.erase(it->second.stored.token().id());
  }
  entry.used = std::max(entry.used, entry.written);
  name_by_id_[entry.stored.token().id()] = name;
  by_name_[name] = std::move(entry);
}

void TokenStore::Saw(std::int64_t revision) {
  seen_ = std::max(seen_, revision);
  changed_.notify_all();
}

absl::Status TokenStore::AwaitReady(absl::Time deadline) {
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, absl::ToChronoTime(std::min(deadline, absl::Now() + kPatience)),
                      [this] { return ready_ || stopped_; });
  return ready_ ? absl::OkStatus() : etcd::TopologyAway("the tokens were not read yet");
}

void TokenStore::AwaitRevision(std::int64_t revision, absl::Time deadline) {
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, absl::ToChronoTime(deadline), [&] { return seen_ >= revision || stopped_; });
}

absl::StatusOr<Token> TokenStore::Find(const std::string& text) {
  std::string id = admin_token::Id(text);
  if (id.empty()) {
    return Unknown();
  }
  std::string hash = admin_token::Hash(text);
  std::unique_lock lock(mutex_);
  auto name = name_by_id_.find(id);
  if (name != name_by_id_.end()) {
    Entry& entry = by_name_[name->second];
    if (admin_token::SameHash(entry.stored.secret_sha256(), hash)) {
      const Token& token = entry.stored.token();
      const bool expired = token.has_expires_at() && GetTime(token.expires_at()) <= absl::Now();
      entry.used = expired ? entry.used : absl::Now();  // whoever shows it then is refused
      return entry.stored.token();
    }
  }
  bool ready = ready_;
  lock.unlock();
  if (file_ != nullptr && file_->Matches(text)) {
    return *file_->Describe();
  }
  return ready ? Unknown() : absl::UnavailableError("the tokens were not read yet: etcd does not answer");
}

absl::StatusOr<std::pair<Token, std::string>> TokenStore::Create(Token token, absl::Time deadline) {
  MG_RETURN_IF_ERROR(admin_token::ValidateName(token.name()));
  if (token.name() == kFileTokenName) {
    // Whether this server has a file or another one of the topology: the audit log has callers by name alone.
    return MakeError(absl::StatusCode::kAlreadyExists,
                     absl::StrCat("the name '", token.name(), "' is that of the token in a server's --auth-token-file"),
                     {.reason = "TOKEN_EXISTS", .hint = "choose another name"});
  }
  const std::string key = absl::StrCat(prefix_, token.name());
  MG_RETURN_IF_ERROR(CheckAnswers(etcd_, key, deadline));
  MG_ASSIGN_OR_RETURN(admin_token::Token fresh, admin_token::Make());
  multigres::adminstore::v1::StoredToken stored;
  token.set_id(fresh.id);
  SetTime(token.mutable_created_at(), absl::Now());
  *stored.mutable_token() = token;
  stored.set_secret_sha256(admin_token::Hash(fresh.text));
  absl::StatusOr<std::int64_t> revision = etcd_->Create(key, stored.SerializeAsString(), deadline);
  if (absl::IsAlreadyExists(revision.status())) {
    return MakeError(absl::StatusCode::kAlreadyExists, absl::StrCat("there is a token named '", token.name(), "'"),
                     {.reason = "TOKEN_EXISTS", .hint = "choose another name, or revoke that one first"});
  }
  MG_RETURN_IF_ERROR(revision.status());
  AwaitRevision(*revision, deadline);
  return std::make_pair(token, fresh.text);
}

absl::StatusOr<std::vector<Token>> TokenStore::List(absl::Time deadline) {
  MG_RETURN_IF_ERROR(AwaitReady(deadline));
  std::vector<Token> tokens;
  if (std::optional<Token> local = file_ == nullptr ? std::nullopt : file_->Describe()) {
    tokens.push_back(*local);
  }
  std::lock_guard lock(mutex_);
  absl::Time now = absl::Now();
  for (const auto& [name, entry] : by_name_) {
    Token token = entry.stored.token();
    if (entry.used != absl::InfinitePast()) {
      SetTime(token.mutable_last_used_at(), entry.used);
    }
    token.set_expired(token.has_expires_at() && GetTime(token.expires_at()) <= now);
    tokens.push_back(std::move(token));
  }
  return tokens;
}

absl::StatusOr<Token> TokenStore::Revoke(const std::string& token, absl::Time deadline) {
  MG_RETURN_IF_ERROR(AwaitReady(deadline));
  Token revoked;
  {
    std::lock_guard lock(mutex_);
    auto by_id = name_by_id_.find(token);
    auto it = by_name_.find(by_id == name_by_id_.end() ? token : by_id->second);
    if (it != by_name_.end()) {
      revoked = it->second.stored.token();
    }
  }
  if (revoked.name().empty()) {
    std::optional<Token> local = file_ == nullptr ? std::nullopt : file_->Describe();
    if (local.has_value() && (local->name() == token || local->id() == token)) {
      return MakeError(absl::StatusCode::kFailedPrecondition,
                       "this token is in the server's --auth-token-file, not in the topology",
                       {.reason = "TOKEN_FROM_FILE", .hint = "remove the file; multigres up writes a new one"});
    }
    return absl::NotFoundError(absl::StrCat("there is no token '", token, "'"));
  }
  const std::string key = absl::StrCat(prefix_, revoked.name());
  MG_RETURN_IF_ERROR(CheckAnswers(etcd_, key, deadline));
  absl::Status deleted = etcd_->Delete(key, deadline);
  if (!deleted.ok() && !absl::IsNotFound(deleted)) {
    return deleted;
  }
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, absl::ToChronoTime(deadline),
                      [&] { return stopped_ || !name_by_id_.contains(revoked.id()); });
  return revoked;
}

void TokenStore::WriteUses() {
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    changed_.wait_for(lock, absl::ToChronoSeconds(kUsePeriod), [this] { return stopped_; });
    std::vector<Entry> due;
    for (auto& [name, entry] : by_name_) {
      if (entry.used > entry.written + (stopped_ ? absl::ZeroDuration() : kUsePeriod / 2)) {
        due.push_back(entry);
        entry.written = entry.used;
      }
    }
    lock.unlock();
    for (Entry& entry : due) {
      SetTime(entry.stored.mutable_token()->mutable_last_used_at(), entry.used);
      // Only over the version that was read: a token that was revoked meanwhile must not come back.
      absl::Status written =
          etcd_
              ->PutIf(absl::StrCat(prefix_, entry.stored.token().name()), entry.stored.SerializeAsString(),
                      entry.version, absl::Now() + absl::Seconds(2))
              .status();
      if (!written.ok() && !absl::IsAborted(written)) {
        log::Warn("a token's last use cannot be noted", {{"token", entry.stored.token().name()}, {"error", written}});
        break;
      }
    }
    lock.lock();
  }
}

}  // namespace mg::multiadmin
