// Handing a session back to its gateway, and taking one over: see ParkMarker.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "absl/strings/str_cat.h"
#include "common/log/log.h"
#include "common/pgwire/message.h"
#include "components/multipooler/pool/session.h"

namespace mg::multipooler {
namespace {

using boost::system::error_code;
constexpr auto kRestoreBound = std::chrono::seconds(5);
/// More prepared statements than that are not carried along.
constexpr size_t kMaxReplay = 2 << 20;

}  // namespace

Session::Activity Session::activity() const {
  if (server_ == nullptr || parked_ || ended_) {
    return Activity::kGone;
  }
  if (server_->transaction != 'I') {
    return Activity::kTransaction;
  }
  bool rests = !parking_ && Quiet() && !unsynced_ && !writing_to_client_ && !writing_to_server_;
  return rests ? Activity::kResting : Activity::kStatement;
}

void Session::Drain() {
  if (activity() == Activity::kResting && !unnamed_parsed_) {
    parking_ = true;  // from here on nothing is begun
    asio::co_spawn(host_->loop(), Park(), asio::detached);
  }
}

asio::awaitable<bool> Session::AskState(SessionState* state) {
  state_ = state;
  state_failed_ = false;
  server_scanner_.AlsoWant('D');
  server_scanner_.AlsoWant('E');
  ++expected_ready_;
  std::string query = pgwire::QueryMessage(SessionStateQuery(server_->role));
  error_code error, ignored;
  co_await asio::async_write(server_->socket, asio::buffer(query), asio::redirect_error(asio::use_awaitable, error));
  while (!error && expected_ready_ > 0 && !reader_done_ && !ended_) {
    state_end_.expires_after(kRestoreBound);
    co_await state_end_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    if (!ignored) {
      break;  // the bound is over
    }
  }
  state_ = nullptr;
  co_return !error && expected_ready_ == 0 && !state_failed_ && !reader_done_ && !ended_;
}

asio::awaitable<void> Session::Park() {
  auto self = shared_from_this();
  std::string obstacle = park_token_.empty() ? "an encrypted connection"
                         : tainted_          ? "settings of its own"
                         : own_sequences_    ? "the values of sequences"
                                             : "";
  SessionState state;
  bool asked = obstacle.empty() && co_await AskState(&state);
  pgwire::Replay replay = state.ToReplay();
  if (asked && obstacle.empty()) {
    obstacle = replay.messages.size() > kMaxReplay ? "too many prepared statements" : state.blocked();
  }
  error_code ignored;
  if (asked && obstacle.empty()) {
    std::string marker = pgwire::ParkMarker(park_token_);
    error_code error;
    co_await asio::async_write(client_, asio::buffer(marker), asio::redirect_error(asio::use_awaitable, error));
    replay_ = pgwire::EncodeReplay(replay);
    parked_ = true;
    parking_ = false;
  } else {
    parking_ = false;
    End("57P01", absl::StrCat("terminating connection: the primary changes, and this session holds ",
                              obstacle.empty() ? "a state that could not be read" : obstacle));
  }
  state_end_.expires_at(asio::steady_timer::time_point::max());
  state_end_.cancel();
}

// The gateway has closed its direction: what it is owed, then the end.
asio::awaitable<void> Session::HandBack() {
  error_code ignored;
  server_->socket.shutdown(ServerSocket::shutdown_both, ignored);
  co_await AwaitReader();
  std::uint32_t size = static_cast<std::uint32_t>(replay_.size());
  std::string answer;
  for (int shift = 24; shift >= 0; shift -= 8) {
    answer += static_cast<char>(size >> shift);
  }
  answer.append(replay_).append(kept_);
  co_await asio::async_write(client_, asio::buffer(answer), asio::redirect_error(asio::use_awaitable, ignored));
  client_.shutdown(LocalSocket::shutdown_both, ignored);
}

asio::awaitable<bool> Session::Restore(std::string encoded) {
  absl::StatusOr<pgwire::Replay> replay = pgwire::DecodeReplay(encoded);
  if (!replay.ok()) {
    log::Warn("a session was not taken over", {{"error", replay.status()}});
    co_return false;
  }
  SessionState unused;
  state_ = &unused;
  state_failed_ = false;
  server_scanner_.AlsoWant('E');
  expected_ready_ = replay->ready;
  asio::steady_timer bound(host_->loop(), kRestoreBound);
  bound.async_wait([self = shared_from_this()](error_code cancelled) {
    if (!cancelled && self->server_ != nullptr) {
      error_code ignored;
      self->server_->socket.shutdown(ServerSocket::shutdown_both, ignored);
    }
  });
  error_code error;
  co_await asio::async_write(server_->socket, asio::buffer(replay->messages),
                             asio::redirect_error(asio::use_awaitable, error));
  std::string buffer(4096, '\0');
  while (!error && expected_ready_ > 0) {
    size_t n = co_await server_->socket.async_read_some(asio::buffer(buffer),
                                                        asio::redirect_error(asio::use_awaitable, error));
    bool last = false;
    if (!error) {
      (void)TakeFromServer(absl::string_view(buffer.data(), n), &last);
    }
    if (last) {
      break;
    }
  }
  state_ = nullptr;
  co_return !error && expected_ready_ == 0 && !state_failed_;
}

}  // namespace mg::multipooler
