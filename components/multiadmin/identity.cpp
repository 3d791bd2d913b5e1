#include "components/multiadmin/identity.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc/proto_time.h"
#include "common/status/status.h"

namespace mg::multiadmin {
namespace {

namespace v1 = multigres::admin::v1;

constexpr absl::Duration kLongestLifetime = absl::Hours(24 * 366 * 10);

}  // namespace

v1::WhoAmIResponse WhoAmI(const Caller& caller) {
  v1::WhoAmIResponse response;
  response.set_name(caller.name);
  response.set_role(caller.role);
  response.set_method(caller.method);
  if (caller.expires.has_value()) {
    response.mutable_expires_at()->set_seconds(absl::ToUnixSeconds(*caller.expires));
  }
  for (const RpcRule& rule : RpcRules()) {
    if (caller.role >= rule.role) {
      response.add_methods(std::string(rule.method.substr(1)));
    }
  }
  std::sort(response.mutable_methods()->begin(), response.mutable_methods()->end());
  return response;
}

absl::StatusOr<v1::CreateTokenResponse> CreateToken(TokenStore* tokens, const v1::CreateTokenRequest& request,
                                                    const CallContext& context) {
  v1::Token token;
  token.set_name(request.name());
  if (request.role() < v1::ROLE_VIEWER || request.role() > v1::ROLE_ADMIN) {
    return absl::InvalidArgumentError("the role is viewer, operator or admin");
  }
  token.set_role(request.role());
  token.set_created_by(context.caller.name);
  if (request.has_lifetime()) {
    absl::Duration lifetime = rpc::ToDuration(request.lifetime());
    if (lifetime <= absl::ZeroDuration() || lifetime > kLongestLifetime) {
      return absl::InvalidArgumentError("the lifetime is more than nothing and at most ten years");
    }
    token.mutable_expires_at()->set_seconds(absl::ToUnixSeconds(absl::Now() + lifetime + absl::Milliseconds(999)));
  }
  MG_ASSIGN_OR_RETURN(auto created, tokens->Create(std::move(token), context.deadline));
  v1::CreateTokenResponse response;
  *response.mutable_token() = std::move(created.first);
  response.set_secret(std::move(created.second));
  return response;
}

absl::StatusOr<v1::ListTokensResponse> ListTokens(TokenStore* tokens, absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(std::vector<v1::Token> all, tokens->List(deadline));
  v1::ListTokensResponse response;
  for (v1::Token& token : all) {
    *response.add_tokens() = std::move(token);
  }
  return response;
}

absl::StatusOr<v1::RevokeTokenResponse> RevokeToken(TokenStore* tokens, const v1::RevokeTokenRequest& request,
                                                    absl::Time deadline) {
  if (request.token().empty()) {
    return absl::InvalidArgumentError("a token's name or id is required");
  }
  v1::RevokeTokenResponse response;
  MG_ASSIGN_OR_RETURN(*response.mutable_token(), tokens->Revoke(request.token(), deadline));
  return response;
}

}  // namespace mg::multiadmin
