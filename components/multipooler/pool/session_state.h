/// What a session's server connection holds that a new one would not, asked of PostgreSQL itself, and how a new one is
/// brought into the same state. Pure; facts: PostgreSQL's views of a session's own state.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/pgwire/handoff.h"

namespace mg::multipooler {

/// One statement of the simple protocol, to be run outside of a transaction by whatever role the session has, under
/// whatever search path. Its rows go to SessionState::Add.
std::string SessionStateQuery(absl::string_view login_role);

class SessionState {
 public:
  /// The body of a DataRow that answers SessionStateQuery. False: it is none.
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
  std::vector<std::string> sql_;    ///< PREPARE …
  std::vector<Prepared> prepared_;  ///< by the protocol
};

}  // namespace mg::multipooler
