/// What an error means to a person whose cluster is elsewhere. Any thread.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace mg::cli {

struct RemoteSide {
  std::string name;        ///< of the context, or the address that the command line gave
  bool address = false;    ///< it is an address
  bool connected = false;  ///< the connection had come about before the call failed
  bool tls = false;        ///< it is dialled with TLS
};

/// gRPC's own words for a connection that did not come about, or broke, say neither where nor what to do; and what a
/// hint says of commands that work on a machine's own clusters is to be done on that machine.
absl::Status ExplainRemote(const absl::Status& status, const RemoteSide& side);

}  // namespace mg::cli
