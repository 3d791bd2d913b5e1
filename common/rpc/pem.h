/// PEM texts of TLS, looked at before gRPC gets them: it tells of what it cannot use only when connections fail, and
/// not which file it was.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace mg::rpc {

/// A text and where it comes from.
struct PemText {
  std::string path, text;
};

/// `certificate` may have its chain behind it; `key` has to be its. Texts that are empty are not given.
/// INVALID_ARGUMENT with the path of the first that cannot be used.
absl::Status CheckPem(const PemText& certificate, const PemText& key, const PemText& authority);

}  // namespace mg::rpc
