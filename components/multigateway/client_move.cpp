// A session goes on at the next pooler: one that its pooler has handed back, with what the pooler gives with it; or one
// whose pooler is lost or says nothing, when the gateway itself knows what the session holds.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "absl/strings/str_cat.h"
#include "common/log/log.h"
#include "components/multigateway/client_session.h"

namespace mg::multigateway {
namespace {

using boost::system::error_code;
constexpr auto kHandBackBound = std::chrono::seconds(5);
constexpr auto kStopLook = std::chrono::milliseconds(1);

}  // namespace

// The client's direction, until it ends or the session has been handed back.
asio::awaitable<error_code> ClientSession::FromClientOrMoved() {
  auto self = shared_from_this();
  struct Direction {
    bool done = false;
    error_code error;
  };
  auto direction = std::make_shared<Direction>();
  asio::co_spawn(
      host_->loop(),
      [](std::shared_ptr<ClientSession> session, std::shared_ptr<Direction> to) -> asio::awaitable<void> {
        to->error = co_await session->FromClient();
        to->done = true;
        session->backend_end_.cancel();
      }(self, direction),
      asio::detached);
  error_code ignored;
  asio::steady_timer pause(host_->loop());
  while (!direction->done) {
    if (!moved_ || !backend_done_) {
      co_await backend_end_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
      continue;
    }
    // It waits for the client: that wait is called off, and nothing is lost. Or it still writes to the pooler, which
    // reads.
    client_.plain().cancel(ignored);
    pause.expires_after(kStopLook);
    co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  co_return direction->error;
}

void ClientSession::HeardRest(const pgwire::RestNote& note) {
  if (backend_.has_value() && note.backend_pid == backend_->pid && note.backend_secret == backend_->secret) {
    rest_ = note;
  }
}

// Neither side has said anything since: so nothing of the client's is under way there, and it has had all its answers.
bool ClientSession::StateKnown() const {
  return rest_.has_value() && rest_->heard == heard_ && rest_->said == said_ && held_.empty() && !writing_to_client_;
}

bool ClientSession::MovesByItself() {
  if (!marker_.empty() && StateKnown() && !moved_ && !ended_ && !left_) {
    moved_ = by_itself_ = true;
    handoff_.replay = rest_->replay;
  }
  return by_itself_;
}

asio::awaitable<bool> ClientSession::TakeBack() {
  auto self = shared_from_this();
  error_code error;
  server_.shutdown(LocalSocket::shutdown_send, error);
  asio::steady_timer bound(host_->loop(), kHandBackBound);
  bound.async_wait([self](error_code cancelled) {
    if (!cancelled) {
      error_code ignored;
      self->server_.close(ignored);
    }
  });
  std::string given;
  std::string buffer(4096, '\0');
  error.clear();
  while (!error) {
    size_t n = co_await server_.async_read_some(asio::buffer(buffer), asio::redirect_error(asio::use_awaitable, error));
    given.append(buffer, 0, n);
  }
  bound.cancel();
  std::uint32_t size = given.size() >= 4 ? pgwire::ReadUint32(given.data()) : 0;
  if (given.size() < 4 || size > given.size() - 4) {
    std::string refusal = Fatal("57P01", "terminating connection: the primary changed, and its pooler ended meanwhile");
    co_await Refuse(std::move(refusal));
    co_return false;
  }
  handoff_.replay = given.substr(4, size);
  unanswered_ = given.substr(4 + size);
  co_return true;
}

asio::awaitable<bool> ClientSession::Move() {
  serving_.clear();
  bool taken = by_itself_ || co_await TakeBack();
  error_code ignored;
  server_.close(ignored);
  backend_.reset();
  if (!taken) {
    co_return false;
  }
  bool connected = co_await ConnectBackend();
  handoff_.replay.clear();
  unanswered_.clear();
  by_itself_ = false;
  moved_ = false;
  if (connected) {
    host_->CountMove();
  }
  co_return connected && !ended_;
}

}  // namespace mg::multigateway
