// Handing a session back to its gateway, and taking one over: see ParkMarker. So that a session can be handed back
// whose server connection is lost, its state is asked for while it rests.
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
/// A session that rests so long is asked for its state.
constexpr auto kLearnAfter = std::chrono::milliseconds(50);
/// More is not kept: a session that holds more can only be handed back while its server connection lives.
constexpr size_t kMaxKept = 64 << 10;
/// What answers SessionStateMessages, beside CommandComplete, ReadyForQuery and errors, which are always looked at.
constexpr absl::string_view kAskedFor = "123D";
/// By these PostgreSQL says that it ends, or has lost a process.
constexpr char kAdminShutdown[] = "57P01", kCrashShutdown[] = "57P02";
/// Where a backend finds that it was told to end, by a person or by a fast stop, before which sessions are handed back.
constexpr char kToldToEnd[] = "ProcessInterrupts";

}  // namespace

Session::Activity Session::activity() const {
  if (server_ == nullptr || parked_ || ended_) {
    return Activity::kGone;
  }
  if (server_->transaction != 'I') {
    return Activity::kTransaction;
  }
  return !parking_ && !reader_done_ && AtRest() ? Activity::kResting : Activity::kStatement;
}

// What the server is asked here for itself does not count.
bool Session::AtRest() const {
  return server_ != nullptr && !ended_ && !parked_ && !resetting_ && !holding_ && !passing_on_ && !unsynced_ &&
         expected_ready_ == 0 && server_->transaction == 'I' && client_scanner_.at_boundary() &&
         server_scanner_.at_boundary() && !writing_to_client_ && !writing_to_server_;
}

std::string Session::Obstacle() const {
  return park_token_.empty() ? "a gateway that does not take it back"
         : tainted_          ? "settings of its own"
         : own_sequences_    ? "the values of sequences"
                             : "";
}

bool Session::HoldsLastWords(char type, absl::string_view body) {
  pgwire::Diagnostic said = pgwire::ParseDiagnostic(body);
  bool fatal = type == 'E' && (said.severity == "FATAL" || said.severity == "PANIC");
  bool ends = said.code == kAdminShutdown || said.code == kCrashShutdown;
  sent_away_ |= fatal && (!ends || said.routine == kToldToEnd);
  bool holds = (fatal || type == 'N') && ends && !read_only_ && !sent_away_ && (expected_ready_ == 0 || parking_) &&
               !unsynced_ && server_->transaction == 'I' && !resetting_ && !ended_;
  told_ |= fatal && !holds && !parking_;
  return holds;
}

bool Session::AwaitsLearning() const {
  return !known_.has_value() && !learnt_ && !read_only_ && !unnamed_parsed_ && !client_left_ && Obstacle().empty() &&
         activity() == Activity::kResting;
}

// Whether it can be handed back now, and without a word with its server.
bool Session::MayPark() const {
  return known_.has_value() && !read_only_ && !told_ && !sent_away_ && !parking_ && !client_left_ &&
         Obstacle().empty() && AtRest();
}

bool Session::MayLearn(Clock::time_point now) const { return AwaitsLearning() && now - rested_ >= kLearnAfter; }

void Session::Drain() {
  if (activity() == Activity::kResting && !unnamed_parsed_) {
    leaving_ = true;
    if (MayPark()) {
      Park();
      return;
    }
    parking_ = true;  // from here on nothing is begun
    asio::co_spawn(host_->loop(), ParkOrGoOn(), asio::detached);
  } else if (parking_ && !leaving_) {
    leaving_ = true;
    state_end_.cancel();
  }
}

bool Session::Leave(bool ask) {
  if (parked_ || read_only_ || !Obstacle().empty() || told_ || sent_away_ || unnamed_parsed_ || client_left_) {
    return parked_;
  }
  bool leaves = activity() == Activity::kResting ? ask || MayPark() : ask && parking_;
  if (leaves) {
    Drain();
  }
  return leaves;
}

asio::awaitable<void> Session::Learn() {
  parking_ = true;  // at once: from here on the server connection stays
  return ParkOrGoOn();
}

// From here on nothing is begun, and the server connection is of no use.
void Session::Park() {
  replay_ = known_.value_or("");
  last_words_.clear();
  parked_ = true;
  error_code ignored;
  server_->socket.shutdown(ServerSocket::shutdown_both, ignored);
  asio::co_spawn(host_->loop(), SayMarker(), asio::detached);
}

asio::awaitable<void> Session::SayMarker() {
  auto self = shared_from_this();
  std::string marker = pgwire::ParkMarker(park_token_);
  error_code ignored;
  co_await asio::async_write(client_, asio::buffer(marker), asio::redirect_error(asio::use_awaitable, ignored));
}

asio::awaitable<bool> Session::AskState(SessionState* state) {
  state_ = state;
  state_failed_ = false;
  for (char type : kAskedFor) {
    server_scanner_.AlsoWant(type);
  }
  expected_ready_ += kStateReady;
  std::string query = SessionStateMessages(server_->role, absl::StrCat("multigres ", absl::Hex(secret_)), reads_since_);
  error_code error, ignored;
  co_await asio::async_write(server_->socket, asio::buffer(query), asio::redirect_error(asio::use_awaitable, error));
  while (!error && expected_ready_ > 0 && !reader_done_ && !ended_) {
    // A client that stays waits for its server in any case.
    state_end_.expires_at(leaving_ ? Clock::now() + kRestoreBound : Clock::time_point::max());
    co_await state_end_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    if (!ignored) {
      break;  // the bound is over
    }
  }
  state_ = nullptr;
  for (char type : kAskedFor) {
    server_scanner_.WantNot(type);
  }
  co_return !error && expected_ready_ == 0 && !state_failed_ && !reader_done_ && !ended_;
}

// With parking_ set: asks for the state, then the session leaves, or goes on.
asio::awaitable<void> Session::ParkOrGoOn() {
  auto self = shared_from_this();
  std::string obstacle = Obstacle();
  SessionState state;
  bool asked = obstacle.empty() && co_await AskState(&state);
  pgwire::Replay replay = state.ToReplay();
  if (asked && obstacle.empty()) {
    obstacle = replay.messages.size() > kMaxReplay ? "too many prepared statements" : state.blocked();
  }
  learnt_ = true;
  bool in_step = asked || (!ended_ && !reader_done_ && expected_ready_ == 0);
  if (asked && obstacle.empty()) {
    known_ = pgwire::EncodeReplay(replay);
  }
  parking_ = false;
  if (leaving_ && known_.has_value() && !ended_) {
    Park();
  } else if (!leaving_ && in_step) {
    if (known_.has_value() && known_->size() > kMaxKept) {
      known_.reset();
    }
    TellRest(gateway_);
    co_await PassOnKept();
  } else if (!leaving_) {
    End("57P01", "terminating connection: PostgreSQL does not tell the session's state");
  } else {
    End("57P01", absl::StrCat("terminating connection: the primary changes, and this session holds ",
                              obstacle.empty() ? "a state that could not be read" : obstacle));
  }
  state_end_.expires_at(asio::steady_timer::time_point::max());
  state_end_.cancel();
}

void Session::TellRest(const std::string& gateway) {
  if (gateway == gateway_ && kept_.empty() && MayPark()) {
    host_->TellRest(gateway_, {.tag = tag_,
                               .backend_pid = server_->pid,
                               .backend_secret = secret_,
                               .heard = heard_,
                               .said = said_,
                               .replay = *known_});
  }
}

asio::awaitable<void> Session::PassOnKept() {
  passing_on_ = true;
  error_code error;
  while (!kept_.empty() && !error && !terminated_) {
    std::string kept = std::exchange(kept_, "");
    heard_ += kept.size();
    known_.reset();
    learnt_ = false;
    std::string out;
    if (!client_scanner_.Feed(kept, &out)) {
      tainted_ = terminated_ = true;
    }
    NoteAsked();
    writing_to_server_ = true;
    co_await asio::async_write(server_->socket, asio::buffer(out), asio::redirect_error(asio::use_awaitable, error));
    writing_to_server_ = false;
  }
  passing_on_ = false;
  if (error || terminated_) {
    error_code ignored;
    client_.shutdown(LocalSocket::shutdown_receive, ignored);  // nothing more is read of it
  }
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

asio::awaitable<bool> Session::Restore(std::string encoded, bool* lost) {
  absl::StatusOr<pgwire::Replay> replay = pgwire::DecodeReplay(encoded);
  if (!replay.ok()) {
    log::Warn("a session was not taken over", {{"error", replay.status()}});
    co_return false;
  }
  SessionState unused;
  state_ = &unused;
  state_failed_ = false;
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
  *lost = static_cast<bool>(error);
  co_return !error && expected_ready_ == 0 && !state_failed_;
}

}  // namespace mg::multipooler
