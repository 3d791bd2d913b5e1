/// The gateways that hear what their sessions hold that rest here: see RestNote. On the pool's loop thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <map>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "components/multipooler/pool/server_connection.h"

namespace mg::multipooler {

class RestListeners {
 public:
  explicit RestListeners(asio::io_context& loop) : loop_(loop) {}
  RestListeners(const RestListeners&) = delete;
  RestListeners& operator=(const RestListeners&) = delete;

  /// The gateway hears on this connection from now on, and on none that it had before.
  void Add(const std::string& gateway, LocalSocket socket);
  /// False: it does not listen, or so slowly that this is left out; then it knows less of its sessions.
  bool Tell(const std::string& gateway, absl::string_view note);
  /// Nothing is told any more.
  void Stop();

 private:
  struct Listener;
  asio::awaitable<void> Write(std::shared_ptr<Listener> listener);
  asio::awaitable<void> AwaitEnd(std::string gateway, std::shared_ptr<Listener> listener);

  asio::io_context& loop_;
  std::map<std::string, std::shared_ptr<Listener>> listeners_;
};

}  // namespace mg::multipooler
