/// Splits a stream of protocol messages that is being relayed: what may be passed on as it is, and which whole messages
/// somebody wants to see first. Holds at most one message of interest; the others pass in pieces. One direction, one
/// thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/strings/string_view.h"

namespace mg::pgwire {

class Scanner {
 public:
  /// For every message of a type in `wanted`: given whole, as it stands on the wire; what it returns is passed on
  /// instead.
  using Inspect = std::function<std::string(char type, absl::string_view message)>;
  /// For every other message: its type, at its start.
  using Begin = std::function<void(char type)>;

  Scanner(std::string wanted, Inspect inspect, Begin begin = nullptr)
      : wanted_(std::move(wanted)), inspect_(std::move(inspect)), begin_(std::move(begin)) {}

  /// Takes what was read; appends to `out` what may be passed on. False: this is not the protocol (a length that cannot
  /// be).
  bool Feed(absl::string_view data, std::string* out);
  /// Between two messages, nothing held back.
  bool at_boundary() const { return left_ == 0 && held_.empty(); }

 private:
  const std::string wanted_;
  const Inspect inspect_;
  const Begin begin_;
  std::string held_;        ///< a header in parts, or a wanted message in parts
  std::uint64_t left_ = 0;  ///< bytes of the passing message that are still to come
};

}  // namespace mg::pgwire
