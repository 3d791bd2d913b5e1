/// The certificates of pgBackRest's TLS server, which upstream's pgctld and multipooler need (contract, components
/// section 10): a CA, and one certificate signed by it for server and clients. Blocking: keys take up to a second.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace mg::local {

/// Makes ca.crt, ca.key, pgbackrest.crt and pgbackrest.key in `directory`, unless all are there and valid for another
/// month. Keys are 0600.
absl::Status EnsureCertificates(const std::string& directory);

}  // namespace mg::local
