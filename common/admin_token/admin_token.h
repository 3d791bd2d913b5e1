/// The text of a bearer token of the Admin API: `mgt_<id>_<secret>`, where the id is 8 letters that may be shown and
/// the secret has 256 random bits. Pure but for the random source; any thread.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace mg::admin_token {

/// In a local cluster's root directory: the token of its agent, an admin's, 0600.
constexpr char kAgentTokenFile[] = "admin-token";

struct Token {
  std::string id, text;  ///< the text is the whole secret
};

/// INTERNAL: no randomness to be had.
absl::StatusOr<Token> Make();
/// The id in a token's text; empty when it is no token of ours.
std::string Id(absl::string_view text);
/// SHA-256, 32 bytes.
std::string Hash(absl::string_view text);
/// In a time that does not depend on where they differ.
bool SameHash(absl::string_view a, absl::string_view b);
/// Letters, digits, '-', '_' and '.', 1 to 60. INVALID_ARGUMENT with the rule.
absl::Status ValidateName(absl::string_view name);

}  // namespace mg::admin_token
