/// A small HTTP/1.1 server on one listener, for status pages, health and REST. Handlers run on its own threads.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/servenv/servenv.h"

namespace mg::servenv {

class HttpServer {
 public:
  /// `handle` answers every request; `refused`, where there is one, has the last word on what the server refuses
  /// itself.
  explicit HttpServer(HttpHandler handle, HttpRefusal refused = nullptr);
  ~HttpServer();  ///< Stop
  /// TLS from these PEM files, before Start. Renewed files are used for new connections.
  absl::Status UseTls(const std::string& certificate, const std::string& key);
  /// Binds (port 0: a free one) and serves. The real port.
  absl::StatusOr<int> Start(const std::string& address, int port);
  void Stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mg::servenv
