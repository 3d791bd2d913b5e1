/// Short conversations with many local servers at once: connect, send, read until the answer is decided. One thread
/// drives all of them, so that asking twenty servers takes as long as the slowest one. Any thread; blocking.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace mg::net {

/// One conversation.
struct Exchange {
  int port = 0;           ///< TCP port on 127.0.0.1, when unix_path is empty
  std::string unix_path;  ///< Unix socket
  std::string request;    ///< sent once connected; empty: the connection itself is the question
  /// Called with everything received so far; true when that is enough. Not set: the connection is enough. The end of
  /// the stream decides too.
  std::function<bool(const std::string& received)> complete;

  absl::Status status = absl::UnavailableError("not asked");  ///< OK: connected, sent, and complete
  std::string received;
};

/// Carries all of them out; each has its own result. UNAVAILABLE: refused or closed early; DEADLINE_EXCEEDED.
void RunExchanges(std::vector<Exchange>* exchanges, absl::Time deadline);

/// The connection alone.
absl::Status TryConnect(int port, absl::Time deadline);

}  // namespace mg::net
