/// What a session's server connection holds that a new one would not, asked of PostgreSQL itself, and how a new one is
/// brought into the same state. Pure; facts: PostgreSQL's views of a session's own state.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/pgwire/handoff.h"

namespace mg::multipooler {

/// Messages to the server, outside of a transaction, by whatever role the session has, under whatever search path. The
/// rows go to SessionState::Add; kStateReady times ReadyForQuery end the answer. The client's own statements, the
/// unnamed one included, stay as they are; `statement` is a name that is none of them. `reads_since`: when a setting by
/// which statements are read (DateStyle and the like) was last changed; a statement prepared before stays where it is.
std::string SessionStateMessages(absl::string_view login_role, absl::string_view statement,
                                 absl::Time reads_since = absl::InfinitePast());
inline constexpr int kStateReady = 2;

class SessionState {
 public:
  /// The body of a DataRow that answers SessionStateMessages. False: it is none.
  bool Add(absl::string_view row);

  /// What cannot be taken elsewhere (`a temporary table`); empty: everything can.
  const std::string& blocked() const { return blocked_; }
  /// What brings a new connection into this state.
  pgwire::Replay ToReplay() const;

 private:
  struct Prepared {
    std::string name, text;
    std::vector<std::uint32_t> types;
  };
  std::string blocked_;
  std::string settings_;            ///< calls of set_config
  std::vector<std::string> names_;  ///< of settings that are set, or that the role or the database had at the login
  std::vector<std::string> sql_;    ///< PREPARE …
  std::vector<Prepared> prepared_;  ///< by the protocol
};

}  // namespace mg::multipooler
