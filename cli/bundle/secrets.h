/// Takes secrets out of text that leaves the machine. Knows the cluster's own secrets by value, and the usual ways to
/// write others down. Immutable once made; any thread.
#pragma once

#include <set>
#include <string>

#include "absl/strings/string_view.h"

namespace mg::cli {

/// What stands in the place of a secret.
inline constexpr char kRemoved[] = "[removed]";

class Secrets {
 public:
  /// Remembers a value. Values that everybody knows (the default password, which is also a name) and those shorter than
  /// four bytes are left to the patterns: taken out wherever they stand, they would make the text useless.
  void Add(const std::string& value);
  /// Remembers the passwords of a libpq password file (host:port:database:user:password).
  void AddPassfile(absl::string_view text);

  /// The text with every known value taken out, and whatever follows a word for a secret: `password=…`, `PASSWORD '…'`,
  /// `"token": "…"`, `Bearer …`, the password in a URL, SCRAM and MD5 verifiers, private keys. Works line by line but
  /// for private keys; takes out too much rather than too little.
  std::string Remove(absl::string_view text) const;

 private:
  std::set<std::string> values_;
};

}  // namespace mg::cli
