#include "components/multiadmin/auth/gate.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/status/status.h"

namespace mg::multiadmin {
namespace {

namespace v1 = multigres::admin::v1;

constexpr double kBurst = 20;
constexpr size_t kMaxAddresses = 4096;
constexpr size_t kLongestToken = 256;

absl::StatusOr<std::string> BearerOf(const std::string& authorization) {
  size_t space = authorization.find(' ');
  if (space == std::string::npos || !absl::EqualsIgnoreCase(authorization.substr(0, space), "bearer") ||
      authorization.size() > kLongestToken) {
    return MakeError(absl::StatusCode::kUnauthenticated, "the authorization is not of the form `Bearer mgt_…`",
                     {.reason = "AUTHENTICATION_MALFORMED", .hint = "send `authorization: Bearer <token>`"});
  }
  return std::string(absl::StripAsciiWhitespace(authorization.substr(space)));
}

}  // namespace

bool FailureLimit::Allow(const std::string& peer, absl::Time now) {
  std::lock_guard lock(mutex_);
  if (buckets_.size() >= kMaxAddresses && !buckets_.contains(peer)) {
    // Those that would be full again anyway are forgotten; if none is, whoever is new waits.
    std::erase_if(buckets_, [&](const auto& entry) {
      return entry.second.tokens + absl::ToDoubleSeconds(now - entry.second.at) >= kBurst;
    });
    if (buckets_.size() >= kMaxAddresses) {
      return false;
    }
  }
  auto [it, fresh] = buckets_.try_emplace(peer, Bucket{kBurst, now});
  Bucket& bucket = it->second;
  bucket.tokens = std::min(kBurst, bucket.tokens + absl::ToDoubleSeconds(now - bucket.at));
  bucket.at = now;
  if (bucket.tokens < 1) {
    return false;
  }
  bucket.tokens -= 1;
  return true;
}

Gate::Gate(Options options, TokenStore* tokens, Audit* audit)
    : options_(std::move(options)), tokens_(tokens), audit_(audit) {}

absl::StatusOr<Caller> Gate::Recognise(const Credentials& credentials) {
  if (!options_.ask) {
    return Caller{.name = "anonymous",
                  .role = v1::ROLE_ADMIN,
                  .method = v1::AUTH_METHOD_NONE,
                  .expires = std::nullopt,
                  .peer = credentials.peer};
  }
  absl::Status refused;
  if (!credentials.authorization.empty()) {
    absl::StatusOr<std::string> text = BearerOf(credentials.authorization);
    absl::StatusOr<v1::Token> token = text.ok() ? tokens_->Find(*text) : text.status();
    absl::Time now = absl::Now();
    if (token.ok() && token->has_expires_at() && absl::FromUnixSeconds(token->expires_at().seconds()) <= now) {
      refused = MakeError(absl::StatusCode::kUnauthenticated, absl::StrCat("token '", token->name(), "' has expired"),
                          {.reason = "TOKEN_EXPIRED", .hint = "make a new one: multigres admin token create"});
    } else if (token.ok()) {
      Caller caller{.name = token->name(),
                    .role = token->role(),
                    .method = v1::AUTH_METHOD_TOKEN,
                    .expires = std::nullopt,
                    .peer = credentials.peer};
      if (token->has_expires_at()) {
        caller.expires = absl::FromUnixSeconds(token->expires_at().seconds());
      }
      return caller;
    } else {
      refused = token.status();
    }
  } else {
    for (const std::string& name : credentials.certificate_names) {
      auto it = options_.certificate_roles.find(name);
      if (it != options_.certificate_roles.end()) {
        return Caller{.name = name,
                      .role = it->second,
                      .method = v1::AUTH_METHOD_CERTIFICATE,
                      .expires = std::nullopt,
                      .peer = credentials.peer};
      }
    }
    refused =
        MakeError(absl::StatusCode::kUnauthenticated,
                  credentials.certificate_names.empty() ? "who calls is not known: there is no token"
                                                        : "the client certificate has no role, and there is no token",
                  {.reason = "AUTHENTICATION_REQUIRED",
                   .hint = "send `authorization: Bearer <token>`; multigres admin token create makes one"});
  }
  if (absl::IsUnavailable(refused)) {
    return refused;
  }
  if (!failures_.Allow(credentials.peer, absl::Now())) {
    return MakeError(absl::StatusCode::kResourceExhausted, "too many failed attempts from this address",
                     {.reason = "TOO_MANY_FAILURES", .hint = "wait some seconds, and use a token that is known here"});
  }
  return refused;
}

absl::StatusOr<Caller> Gate::Admit(const RpcRule& rule, const Credentials& credentials,
                                   const std::function<std::string()>& request) {
  absl::StatusOr<Caller> caller = Recognise(credentials);
  absl::Status refused = caller.status();
  if (caller.ok() && caller->role < rule.role) {
    refused = MakeError(
        absl::StatusCode::kPermissionDenied,
        absl::StrCat("'", caller->name, "' is ", RoleWord(caller->role), "; this needs ", RoleWord(rule.role)),
        {.reason = "ROLE_TOO_LOW", .hint = absl::StrCat("use a token with the role ", RoleWord(rule.role))});
  }
  if (refused.ok()) {
    return caller;
  }
  // A flood of failures must not become a flood of lines.
  if (!absl::IsResourceExhausted(refused) && !absl::IsUnavailable(refused)) {
    audit_->Write({.caller = caller.ok() ? caller->name : "",
                   .role = caller.ok() ? caller->role : v1::ROLE_UNSPECIFIED,
                   .peer = credentials.peer,
                   .method = std::string(rule.method),
                   .subject = caller.ok() && request ? request() : "",
                   .outcome = refused});
  }
  return refused;
}

absl::Status Gate::AdmitPage(const std::string& what, Role role, const Credentials& credentials) {
  return Admit(RpcRule{.method = what, .role = role, .does = ""}, credentials).status();
}

}  // namespace mg::multiadmin
