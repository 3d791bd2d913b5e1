/// What a gateway says to a pooler on its Unix socket before both only relay: one message, `H` for a session or `X` for
/// a cancel, with name and value strings. Version 1. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
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
  /// When the pooler may hand the session back (see ParkMarker): kParkTokenSize bytes that nobody can guess; else
  /// empty.
  std::string park_token;
  /// Of a session that was handed back: what the pooler gave with it, done before anything else.
  std::string replay;
  // A cancel: what BackendKeyData of the session said.
  std::uint32_t backend_pid = 0, backend_secret = 0;
};

/// SQLSTATE of the pooler's refusal when it may not serve what is asked (not the primary, not a standby, draining): the
/// gateway waits and asks again; no client ever sees it.
inline constexpr char kNotServing[] = "MTF01";

/// A pooler that is about to stop serving hands a session that is at rest back to its gateway, which takes it to the
/// next pooler; the client notices a pause. The pooler says the marker, as its last word at a message boundary, and
/// from then on keeps what still comes from the client. The gateway answers by closing its direction. Then the pooler
/// sends the replay (a length of four bytes before it) and what it kept, and closes.
inline constexpr std::size_t kParkTokenSize = 16;
std::string ParkMarker(absl::string_view token);

/// What brings a new server connection into the session's state: messages to the server, and how many ReadyForQuery
/// answer them.
struct Replay {
  std::string messages;
  int ready = 0;
};
std::string EncodeReplay(const Replay& replay);
/// INVALID_ARGUMENT for garbage; empty text: nothing to do.
absl::StatusOr<Replay> DecodeReplay(absl::string_view text);

/// Whole message, version byte first.
std::string EncodeHandoff(const Handoff& handoff);
/// `data` is what was read so far. OK with `consumed` 0: more is needed. INVALID_ARGUMENT for garbage.
absl::StatusOr<Handoff> DecodeHandoff(const std::string& data, size_t* consumed);

/// <realpath(pooler_dir/run)>/pooler.sock
std::string PoolerSocketPath(const std::string& pooler_dir);

}  // namespace mg::pgwire
