/// multigres.admin.v1.IdentityService and TokenService, without a transport. Any thread; errors as the proto says.
#pragma once

#include "absl/status/statusor.h"
#include "components/multiadmin/auth/token_store.h"
#include "components/multiadmin/methods.h"
#include "multigres/admin/v1/identity.pb.h"

namespace mg::multiadmin {

multigres::admin::v1::WhoAmIResponse WhoAmI(const Caller& caller);
absl::StatusOr<multigres::admin::v1::CreateTokenResponse> CreateToken(
    TokenStore* tokens, const multigres::admin::v1::CreateTokenRequest& request, const CallContext& context);
absl::StatusOr<multigres::admin::v1::ListTokensResponse> ListTokens(TokenStore* tokens, absl::Time deadline);
absl::StatusOr<multigres::admin::v1::RevokeTokenResponse> RevokeToken(
    TokenStore* tokens, const multigres::admin::v1::RevokeTokenRequest& request, absl::Time deadline);

}  // namespace mg::multiadmin
