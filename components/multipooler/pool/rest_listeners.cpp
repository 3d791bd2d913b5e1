#include "components/multipooler/pool/rest_listeners.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <utility>

namespace mg::multipooler {
namespace {

using boost::system::error_code;
/// What a gateway has not read yet of what it was told.
constexpr size_t kMaxUnread = 4 << 20;

}  // namespace

struct RestListeners::Listener {
  explicit Listener(LocalSocket to) : socket(std::move(to)) {}
  LocalSocket socket;
  std::string unread;
  bool writing = false;
};

void RestListeners::Add(const std::string& gateway, LocalSocket socket) {
  auto listener = std::make_shared<Listener>(std::move(socket));
  std::shared_ptr<Listener> before = std::exchange(listeners_[gateway], listener);
  if (before != nullptr) {
    error_code ignored;
    before->socket.close(ignored);
  }
  asio::co_spawn(loop_, AwaitEnd(gateway, listener), asio::detached);
}

bool RestListeners::Tell(const std::string& gateway, absl::string_view note) {
  auto it = listeners_.find(gateway);
  if (it == listeners_.end() || it->second->unread.size() + note.size() > kMaxUnread) {
    return false;
  }
  it->second->unread.append(note.data(), note.size());
  if (!std::exchange(it->second->writing, true)) {
    asio::co_spawn(loop_, Write(it->second), asio::detached);
  }
  return true;
}

asio::awaitable<void> RestListeners::Write(std::shared_ptr<Listener> listener) {
  error_code error;
  while (!listener->unread.empty() && !error) {
    std::string now = std::exchange(listener->unread, "");
    co_await asio::async_write(listener->socket, asio::buffer(now), asio::redirect_error(asio::use_awaitable, error));
  }
  listener->writing = false;
}

// A listener says nothing more.
asio::awaitable<void> RestListeners::AwaitEnd(std::string gateway, std::shared_ptr<Listener> listener) {
  char unexpected[1];
  error_code error;
  co_await listener->socket.async_read_some(asio::buffer(unexpected), asio::redirect_error(asio::use_awaitable, error));
  error_code ignored;
  listener->socket.close(ignored);
  if (auto it = listeners_.find(gateway); it != listeners_.end() && it->second == listener) {
    listeners_.erase(it);
  }
}

void RestListeners::Stop() {
  error_code ignored;
  for (const auto& [gateway, listener] : listeners_) {
    listener->socket.close(ignored);
  }
  listeners_.clear();
}

}  // namespace mg::multipooler
