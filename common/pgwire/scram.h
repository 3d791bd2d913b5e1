/// SCRAM-SHA-256 (RFC 5802, RFC 7677) as PostgreSQL speaks it, on both sides; the client side also by keys instead of a
/// password, which is how a pooler logs in as a role whose password it never sees. Pure; one exchange, one thread.
/// Passwords are taken as they are: SASLprep leaves ASCII alone, and PostgreSQL falls back to the raw bytes for what it
/// cannot prepare.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace mg::pgwire {

/// What pg_authid.rolpassword holds: `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`.
struct ScramVerifier {
  int iterations = 4096;
  std::string salt, stored_key, server_key;  ///< raw bytes
};
absl::StatusOr<ScramVerifier> ParseVerifier(const std::string& text);
/// Of a new password; for tests and mock challenges.
std::string MakeVerifier(absl::string_view password, absl::string_view salt, int iterations);
/// A verifier that no password fits, the same each time for the same role and secret: a challenge for roles that do not
/// exist.
ScramVerifier MockVerifier(absl::string_view role, absl::string_view secret);

/// What proves a role to PostgreSQL without its password (RFC 5802 section 3).
struct ScramKeys {
  std::string client_key, server_key;  ///< raw bytes, 32 each
};

class ScramServer {
 public:
  explicit ScramServer(ScramVerifier verifier) : verifier_(std::move(verifier)) {}
  /// client-first-message to server-first-message.
  absl::StatusOr<std::string> First(const std::string& client_first);
  /// client-final-message to server-final-message. UNAUTHENTICATED when the proof is wrong.
  absl::StatusOr<std::string> Final(const std::string& client_final);
  /// After Final: the client's keys, recovered from its proof.
  const ScramKeys& keys() const { return keys_; }

 private:
  ScramVerifier verifier_;
  std::string nonce_, client_first_bare_, server_first_, gs2_header_;
  ScramKeys keys_;
};

class ScramClient {
 public:
  static ScramClient ByPassword(std::string password);
  static ScramClient ByKeys(ScramKeys keys);
  std::string First();
  /// A fixed client-first-message-bare instead of one with a random nonce.
  void SetFirstForTest(std::string bare) { client_first_bare_ = std::move(bare); }
  absl::StatusOr<std::string> Final(const std::string& server_first);
  /// UNAUTHENTICATED when the server does not know the keys either.
  absl::Status Verify(const std::string& server_final) const;

 private:
  std::string password_;
  bool by_keys_ = false;
  ScramKeys keys_;
  std::string client_first_bare_, server_signature_;
};

/// Cryptographically random bytes.
std::string RandomBytes(size_t count);

}  // namespace mg::pgwire
