#include "components/multigateway/rest_feeds.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "absl/strings/str_cat.h"
#include "common/log/log.h"

namespace mg::multigateway {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
constexpr auto kListenAgain = std::chrono::milliseconds(50);

}  // namespace

RestFeeds::RestFeeds(asio::io_context& loop, Heard heard)
    : loop_(loop), heard_(std::move(heard)), gateway_(pgwire::RandomBytes(pgwire::kParkTokenSize)) {}

void RestFeeds::ListenTo(PoolerLink* link, const PoolerAddress& address) {
  std::string name = absl::StrCat(address.socket_path, "|", address.host, ":", address.port);
  if (listened_to_.insert(name).second) {
    asio::co_spawn(loop_, Listen(link, address, std::move(name)), asio::detached);
  }
}

// Until the pooler cannot be reached: then it is gone, and the next session that is served there listens anew.
asio::awaitable<void> RestFeeds::Listen(PoolerLink* link, PoolerAddress address, std::string name) {
  for (;;) {
    bool reached = co_await ListenOnce(link, address);
    if (!reached) {
      listened_to_.erase(name);
      co_return;
    }
    asio::steady_timer pause(loop_, kListenAgain);
    error_code ignored;
    co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

asio::awaitable<bool> RestFeeds::ListenOnce(PoolerLink* link, PoolerAddress address) {
  auto socket = co_await link->Connect(address);
  if (!socket.ok()) {
    co_return false;
  }
  pgwire::Handoff handoff;
  handoff.listen = true;
  handoff.gateway = gateway_;
  std::string hello = pgwire::EncodeHandoff(handoff), unread;
  error_code error;
  co_await asio::async_write(*socket, asio::buffer(hello), asio::redirect_error(asio::use_awaitable, error));
  std::string buffer(4096, '\0');
  while (!error) {
    size_t n = co_await socket->async_read_some(asio::buffer(buffer), asio::redirect_error(asio::use_awaitable, error));
    unread.append(buffer, 0, n);
    for (size_t consumed = 1; consumed > 0;) {
      absl::StatusOr<pgwire::RestNote> note = pgwire::DecodeRestNote(unread, &consumed);
      if (!note.ok()) {
        log::Error("a pooler says what is no note", {{"error", note.status()}});
        co_return true;
      }
      if (consumed > 0) {
        unread.erase(0, consumed);
        heard_(*note);
      }
    }
  }
  co_return true;
}

}  // namespace mg::multigateway
