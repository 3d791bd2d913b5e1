/// What a gateway says to a pooler on its Unix socket before both only relay: one message, `H` for a session or `X` for
/// a cancel, with name and value strings. Version 1. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "common/pgwire/scram.h"

namespace mg::pgwire {

struct Handoff {
  bool cancel = false;
  // A session.
  bool read_only = false;
  std::string verifier;  ///< the role's, as the gateway checked it
  ScramKeys keys;
  std::map<std::string, std::string> parameters;  ///< of start-up, user and database included
  std::string client;                             ///< for logs: the client's address
  // A cancel: what BackendKeyData of the session said.
  std::uint32_t backend_pid = 0, backend_secret = 0;
};

/// SQLSTATE of the pooler's refusal when it may not serve what is asked (not the primary, not a standby, draining): the
/// gateway waits and asks again; no client ever sees it.
inline constexpr char kNotServing[] = "MTF01";

/// Whole message, version byte first.
std::string EncodeHandoff(const Handoff& handoff);
/// `data` is what was read so far. OK with `consumed` 0: more is needed. INVALID_ARGUMENT for garbage.
absl::StatusOr<Handoff> DecodeHandoff(const std::string& data, size_t* consumed);

/// <realpath(pooler_dir/run)>/pooler.sock
std::string PoolerSocketPath(const std::string& pooler_dir);

}  // namespace mg::pgwire
