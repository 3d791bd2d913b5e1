#include "common/admin_token/admin_token.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace mg::admin_token {
namespace {

constexpr absl::string_view kPrefix = "mgt_";
constexpr size_t kIdSize = 8;
constexpr size_t kSecretBytes = 32;

}  // namespace

absl::StatusOr<Token> Make() {
  static constexpr absl::string_view kAlphabet = "abcdefghijkmnpqrstuvwxyz23456789";  // 32: all are as likely
  unsigned char bytes[kSecretBytes], letters[kIdSize];
  if (RAND_bytes(bytes, sizeof bytes) != 1 || RAND_bytes(letters, sizeof letters) != 1) {
    return absl::InternalError("no random numbers can be had");
  }
  std::string secret;
  absl::WebSafeBase64Escape(absl::string_view(reinterpret_cast<const char*>(bytes), sizeof bytes), &secret);
  OPENSSL_cleanse(bytes, sizeof bytes);
  std::string id;
  for (unsigned char letter : letters) {
    id += kAlphabet[letter % kAlphabet.size()];
  }
  return Token{.id = id, .text = absl::StrCat(kPrefix, id, "_", secret)};
}

std::string Id(absl::string_view text) {
  if (!absl::StartsWith(text, kPrefix) || text.size() < kPrefix.size() + kIdSize + 1 + kSecretBytes ||
      text[kPrefix.size() + kIdSize] != '_') {
    return "";
  }
  return std::string(text.substr(kPrefix.size(), kIdSize));
}

std::string Hash(absl::string_view text) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  return std::string(reinterpret_cast<const char*>(digest), sizeof digest);
}

bool SameHash(absl::string_view a, absl::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

absl::Status ValidateName(absl::string_view name) {
  bool good = !name.empty() && name.size() <= 60;
  for (char c : name) {
    good &= absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.';
  }
  return good
             ? absl::OkStatus()
             : absl::InvalidArgumentError(absl::StrCat(
                   "'", name, "' is not a name for a token: letters, digits, '-', '_' and '.', at most 60 characters"));
}

}  // namespace mg::admin_token
