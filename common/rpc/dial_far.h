/// A connection to a server that may be far away, for a person's command.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/rpc/dialer.h"

namespace mg::rpc {

/// As a Dialer of `tls` dials, but that a connection has as long as the call that waits for it, up to 20 s, and not the
/// one second in which a neighbour answers. LoadCredentials' errors.
absl::StatusOr<std::shared_ptr<grpc::Channel>> DialFar(const ClientTls& tls, const std::string& target);

}  // namespace mg::rpc
