#include "common/pgwire/scram.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <map>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace mg::pgwire {
namespace {

constexpr size_t kKeySize = SHA256_DIGEST_LENGTH;

std::string Hmac(absl::string_view key, absl::string_view data) {
  unsigned char out[kKeySize];
  unsigned size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(data.data()),
       data.size(), out, &size);
  return std::string(reinterpret_cast<char*>(out), size);
}

std::string Sha256(absl::string_view data) {
  unsigned char out[kKeySize];
  SHA256(reinterpret_cast<const unsigned char*>(data.data()), data.size(), out);
  return std::string(reinterpret_cast<char*>(out), kKeySize);
}

std::string Xor(const std::string& a, const std::string& b) {
  std::string result = a;
  for (size_t i = 0; i < result.size() && i < b.size(); ++i) {
    result[i] = static_cast<char>(result[i] ^ b[i]);
  }
  return result;
}

std::string SaltedPassword(absl::string_view password, absl::string_view salt, int iterations) {
  unsigned char out[kKeySize];
  PKCS5_PBKDF2_HMAC(password.data(), static_cast<int>(password.size()),
                    reinterpret_cast<const unsigned char*>(salt.data()), static_cast<int>(salt.size()), iterations,
                    EVP_sha256(), kKeySize, out);
  return std::string(reinterpret_cast<char*>(out), kKeySize);
}

std::string Base64(absl::string_view raw) {
  std::string out;
  absl::Base64Escape(raw, &out);
  return out;
}

absl::StatusOr<std::string> FromBase64(absl::string_view text) {
  std::string out;
  if (!absl::Base64Unescape(text, &out)) {
    return absl::InvalidArgumentError("malformed base64 in a SCRAM message");
  }
  return out;
}

/// `r=…,s=…,i=…` by letter.
std::map<char, std::string> Attributes(absl::string_view text) {
  std::map<char, std::string> result;
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    if (part.size() >= 2 && part[1] == '=') {
      result[part[0]] = std::string(part.substr(2));
    }
  }
  return result;
}

absl::Status Malformed() { return absl::InvalidArgumentError("malformed SCRAM message"); }

}  // namespace

std::string RandomBytes(size_t count) {
  std::string bytes(count, '\0');
  RAND_bytes(reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(count));
  return bytes;
}

absl::StatusOr<ScramVerifier> ParseVerifier(const std::string& text) {
  std::vector<std::string> parts = absl::StrSplit(text, '$');
  if (parts.size() != 3 || parts[0] != "SCRAM-SHA-256") {
    return absl::InvalidArgumentError("not a SCRAM-SHA-256 verifier");
  }
  std::pair<std::string, std::string> head = absl::StrSplit(parts[1], absl::MaxSplits(':', 1));
  std::pair<std::string, std::string> keys = absl::StrSplit(parts[2], absl::MaxSplits(':', 1));
  ScramVerifier verifier;
  absl::StatusOr<std::string> salt = FromBase64(head.second), stored = FromBase64(keys.first),
                              server = FromBase64(keys.second);
  if (!absl::SimpleAtoi(head.first, &verifier.iterations) || verifier.iterations < 1 || !salt.ok() || !stored.ok() ||
      !server.ok() || stored->size() != kKeySize || server->size() != kKeySize) {
    return absl::InvalidArgumentError("not a SCRAM-SHA-256 verifier");
  }
  verifier.salt = *salt;
  verifier.stored_key = *stored;
  verifier.server_key = *server;
  return verifier;
}

std::string MakeVerifier(absl::string_view password, absl::string_view salt, int iterations) {
  std::string salted = SaltedPassword(password, salt, iterations);
  return absl::StrCat("SCRAM-SHA-256$", iterations, ":", Base64(salt), "$", Base64(Sha256(Hmac(salted, "Client Key"))),
                      ":", Base64(Hmac(salted, "Server Key")));
}

ScramVerifier MockVerifier(absl::string_view role, absl::string_view secret) {
  ScramVerifier verifier;
  verifier.salt = Hmac(secret, absl::StrCat("salt ", role)).substr(0, 16);
  verifier.stored_key = Hmac(secret, absl::StrCat("stored ", role));
  verifier.server_key = Hmac(secret, absl::StrCat("server ", role));
  return verifier;
}

absl::StatusOr<std::string> ScramServer::First(const std::string& client_first) {
  // gs2-header: channel binding flag, authorisation identity (which PostgreSQL refuses), then the bare message.
  std::vector<absl::string_view> parts = absl::StrSplit(client_first, absl::MaxSplits(',', 2));
  if (parts.size() != 3 || (parts[0] != "n" && parts[0] != "y") || !parts[1].empty()) {
    return Malformed();
  }
  gs2_header_ = absl::StrCat(parts[0], ",", parts[1], ",");
  client_first_bare_ = std::string(parts[2]);
  std::string client_nonce = Attributes(client_first_bare_)['r'];
  if (client_nonce.empty() || absl::StartsWith(client_first_bare_, "m=")) {
    return Malformed();
  }
  nonce_ = absl::StrCat(client_nonce, Base64(RandomBytes(18)));
  server_first_ = absl::StrCat("r=", nonce_, ",s=", Base64(verifier_.salt), ",i=", verifier_.iterations);
  return server_first_;
}

absl::StatusOr<std::string> ScramServer::Final(const std::string& client_final) {
  size_t proof_at = client_final.rfind(",p=");
  if (proof_at == std::string::npos) {
    return Malformed();
  }
  std::string without_proof = client_final.substr(0, proof_at);
  std::map<char, std::string> attributes = Attributes(without_proof);
  absl::StatusOr<std::string> proof = FromBase64(client_final.substr(proof_at + 3));
  if (!proof.ok() || proof->size() != kKeySize || attributes['r'] != nonce_ || attributes['c'] != Base64(gs2_header_)) {
    return Malformed();
  }
  std::string message = absl::StrCat(client_first_bare_, ",", server_first_, ",", without_proof);
  std::string client_key = Xor(*proof, Hmac(verifier_.stored_key, message));
  if (CRYPTO_memcmp(Sha256(client_key).data(), verifier_.stored_key.data(), kKeySize) != 0) {
    return absl::UnauthenticatedError("password authentication failed");
  }
  keys_ = {client_key, verifier_.server_key};
  return absl::StrCat("v=", Base64(Hmac(verifier_.server_key, message)));
}

ScramClient ScramClient::ByPassword(std::string password) {
  ScramClient client;
  client.password_ = std::move(password);
  return client;
}

ScramClient ScramClient::ByKeys(ScramKeys keys) {
  ScramClient client;
  client.by_keys_ = true;
  client.keys_ = std::move(keys);
  return client;
}

std::string ScramClient::First() {
  // PostgreSQL takes the role from the start-up packet; the name here is empty as libpq's is.
  client_first_bare_ = absl::StrCat("n=,r=", Base64(RandomBytes(18)));
  return absl::StrCat("n,,", client_first_bare_);
}

absl::StatusOr<std::string> ScramClient::Final(const std::string& server_first) {
  std::map<char, std::string> attributes = Attributes(server_first);
  std::string own_nonce = Attributes(client_first_bare_)['r'];
  absl::StatusOr<std::string> salt = FromBase64(attributes['s']);
  int iterations = 0;
  if (!absl::StartsWith(attributes['r'], own_nonce) || attributes['r'].size() <= own_nonce.size() || !salt.ok() ||
      !absl::SimpleAtoi(attributes['i'], &iterations) || iterations < 1) {
    return Malformed();
  }
  if (!by_keys_) {
    std::string salted = SaltedPassword(password_, *salt, iterations);
    keys_ = {Hmac(salted, "Client Key"), Hmac(salted, "Server Key")};
  }
  std::string without_proof = absl::StrCat("c=", Base64("n,,"), ",r=", attributes['r']);
  std::string message = absl::StrCat(client_first_bare_, ",", server_first, ",", without_proof);
  server_signature_ = Hmac(keys_.server_key, message);
  std::string proof = Xor(keys_.client_key, Hmac(Sha256(keys_.client_key), message));
  return absl::StrCat(without_proof, ",p=", Base64(proof));
}

absl::Status ScramClient::Verify(const std::string& server_final) const {
  std::map<char, std::string> attributes = Attributes(server_final);
  return attributes['v'] == Base64(server_signature_) ? absl::OkStatus()
                                                      : absl::UnauthenticatedError("the server's signature is wrong");
}

}  // namespace mg::pgwire
