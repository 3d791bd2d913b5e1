/// Splits a stream of protocol messages that is being relayed: what may be passed on as it is, and which whole messages
/// somebody wants to see first. Holds at most one message of interest; the others pass in pieces. One direction, one
/// thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/strings/string_view.h"

namespace mg::pgwire {

class Scanner {
 public:
  /// What becomes of a message that was looked at.
  enum class Verdict {
    kPass,
    kDrop,
    kStop,  ///< drop it and all that follows
  };
  /// For every message of a wanted type: given whole, as it stands on the wire. May append to `out` in its place.
  using Inspect = std::function<Verdict(char type, absl::string_view message, std::string* out)>;
  /// For every other message: its type, at its start. `oversized`: of a wanted type, but too long to be held.
  using Begin = std::function<void(char type, bool oversized)>;

  Scanner(std::string wanted, Inspect inspect, Begin begin = nullptr)
      : wanted_(std::move(wanted)), inspect_(std::move(inspect)), begin_(std::move(begin)) {}

  /// Takes what was read; appends to `out` what may be passed on. False: this is not the protocol (a length that cannot
  /// be).
  bool Feed(absl::string_view data, std::string* out);
  /// Wants one more type from the next message on.
  void AlsoWant(char type) { wanted_ += type; }
  /// Wants it no more.
  void WantNot(char type) { wanted_.erase(std::remove(wanted_.begin(), wanted_.end(), type), wanted_.end()); }
  /// Between two messages, nothing held back.
  bool at_boundary() const { return left_ == 0 && held_.empty(); }
  bool stopped() const { return stopped_; }

 private:
  bool Wanted(char type, std::uint32_t length) const;
  void Look(absl::string_view message, std::string* out);

  std::string wanted_;
  const Inspect inspect_;
  const Begin begin_;
  std::string held_;        ///< a header in parts, or a wanted message in parts
  std::uint64_t left_ = 0;  ///< bytes of the passing message that are still to come
  bool stopped_ = false;
};

}  // namespace mg::pgwire
