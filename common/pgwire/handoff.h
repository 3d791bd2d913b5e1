/// What a gateway says to a pooler on its Unix socket before both only relay: one message, `H` for a session, `X` for a
/// cancel or `L` to listen, with name and value strings. Version 1. Pure.
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
  bool listen = false;  ///< to hear what the gateway's sessions hold that rest: see RestNote
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
  std::uint32_t tag = 0;  ///< the gateway's name for the session, among those of its own
  // A session or a listener.
  std::string
      gateway;  ///< kParkTokenSize bytes that nobody can guess: whose sessions they are; empty: it hears nothing
  // A cancel: what BackendKeyData of the session said.
  std::uint32_t backend_pid = 0, backend_secret = 0;
};

/// SQLSTATE of the pooler's refusal when it may not serve what is asked (not the primary, not a standby, draining): the
/// gateway waits and asks again; no client ever sees it.
inline constexpr char kNotServing[] = "MTF01";

/// A pooler that stops serving, or that has lost the session's server connection, hands a session that is at rest back
/// to its gateway, which takes it to the next pooler; the client notices a pause. The pooler says the marker, as its
/// last word at a message boundary, and from then on keeps what still comes from the client. The gateway answers by
/// closing its direction. Then the pooler sends the replay (a length of four bytes before it) and what it kept, and
/// closes.
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

/// What a session holds that rests, told beside its own connection, so that its gateway can take it elsewhere when its
/// pooler is lost or says nothing any more. It tells nothing when either side has said something more on the session's
/// connection since: hence the numbers of bytes, each counted from behind the pooler's greeting.
struct RestNote {
  std::uint32_t tag = 0;                              ///< the gateway's name for the session
  std::uint32_t backend_pid = 0, backend_secret = 0;  ///< as the greeting's BackendKeyData said: which connection
  std::uint64_t heard = 0, said = 0;                  ///< bytes from the client, and for it
  std::string replay;
};
std::string EncodeRestNote(const RestNote& note);
/// `data` is what was read so far. OK with `consumed` 0: more is needed. INVALID_ARGUMENT for garbage.
absl::StatusOr<RestNote> DecodeRestNote(absl::string_view data, std::size_t* consumed);

/// Whole message, version byte first.
std::string EncodeHandoff(const Handoff& handoff);
/// `data` is what was read so far. OK with `consumed` 0: more is needed. INVALID_ARGUMENT for garbage.
absl::StatusOr<Handoff> DecodeHandoff(const std::string& data, size_t* consumed);

/// <realpath(pooler_dir/run)>/pooler.sock
std::string PoolerSocketPath(const std::string& pooler_dir);

}  // namespace mg::pgwire
