// Which answers wait, and what tells that they must: see ReadGate.
#include <poll.h>

#include <array>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "components/multipooler/pool/session.h"

namespace mg::multipooler {
namespace {

/// An answer that takes longer may be a commit that waits for standbys, and whose wait somebody may cut short.
constexpr auto kLongAnswer = std::chrono::milliseconds(2);
/// More of such are not looked at one by one.
constexpr size_t kMostLooked = 16;
/// So many turns of the loop see every socket that had something to read before the first of them.
constexpr int kTurns = 2;

}  // namespace

Session::~Session() { NoteNothingOwed(); }

void Session::NoteNothingOwed() {
  if (asked()) {
    in_flight_.splice(in_flight_.end(), host_->in_flight(), place_);
  }
}

void Session::NoteAsked() {
  if (!asked() && !read_only_ && (expected_ready_ > 0 || unsynced_)) {
    std::list<Session*>& all = host_->in_flight();
    place_ = in_flight_.begin();
    all.splice(all.end(), in_flight_);
    asked_ = Clock::now();
  }
}

void Session::NoteAnswered(char type) {
  answered_ = true;
  if (!asked()) {
    return;
  }
  if (mute_ && Clock::now() - asked_ > kLongAnswer) {
    host_->gate().Suspect("an answer took long in a session that may hide warnings");
  }
  if (type == 'Z' && expected_ready_ <= 0 && !unsynced_) {
    NoteNothingOwed();
  }
}

// All of them end at once where PostgreSQL crashes, and then it may be back with commits that no standby has.
void Session::NoteServerEnd(const boost::system::error_code& error) {
  bool by_itself = !ended_ && !client_left_ && !parked_ && !resetting_ && !read_only_;
  if (by_itself && (error == asio::error::eof || error == asio::error::connection_reset)) {
    host_->gate().Suspect("a connection of PostgreSQL's ended by itself");
  }
}

bool Session::MustWait() const {
  if (read_only_ || sync_cut_short_) {
    return false;
  }
  if (answered_ && !host_->in_flight().empty()) {
    host_->gate().LookAtPostmaster();
    return host_->gate().shut() || OthersHaveSpoken();
  }
  return host_->gate().shut();
}

// Another session's wait may have been cut short before this answer was made, and the loop not have come to it yet.
bool Session::OthersHaveSpoken() const {
  std::array<pollfd, kMostLooked> sockets;
  size_t count = 0;
  const std::list<Session*>& longest_first = host_->in_flight();
  Clock::time_point now = Clock::now();
  for (auto at = longest_first.begin(); at != longest_first.end() && now - (*at)->asked_ > kLongAnswer; ++at) {
    if (count == sockets.size()) {
      return true;
    }
    sockets[count++] = {(*at)->server_->socket.native_handle(), POLLIN, 0};
  }
  return count > 0 && ::poll(sockets.data(), count, 0) != 0;
}

asio::awaitable<bool> Session::AwaitOpen() {
  holding_ = true;
  for (int turn = 0; turn < kTurns && !host_->gate().shut() && !ended_; ++turn) {
    co_await asio::post(host_->loop(), asio::use_awaitable);
  }
  while (host_->gate().shut() && !ended_) {
    co_await host_->gate().Wait(open_);
  }
  holding_ = false;
  co_return !ended_;
}

}  // namespace mg::multipooler
