/// The little HTTP/1.1 that a health check needs, as values for exchange.h: a GET, and the status line of its answer.
/// Pure functions.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "common/net/exchange.h"

namespace mg::net {

struct HttpReply {
  int status = 0;
  std::string body;  ///< up to Content-Length, or to the end of the stream
};

/// GET `path` on 127.0.0.1:`port`; the connection is closed by the server afterwards. `authorization`: the value of
/// that header; empty: none.
Exchange HttpGet(int port, const std::string& path, const std::string& authorization = "");
/// The reply in an exchange that HttpGet made.
absl::StatusOr<HttpReply> ReplyOf(const Exchange& exchange);

}  // namespace mg::net
