#include "components/multipooler/pool/session.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cmath>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/log/log.h"
#include "common/pgwire/message.h"
#include "components/multipooler/pool/statement_scan.h"

namespace mg::multipooler {
namespace {

using boost::system::error_code;
using Verdict = pgwire::Scanner::Verdict;
constexpr auto kHandoffBound = std::chrono::seconds(5);
constexpr auto kResetBound = std::chrono::seconds(5);
constexpr char kTerminate[] = {'X', 0, 0, 0, 4};

/// PostgreSQL's own warning of a synchronous wait that was given up comes from here; by routine, since texts are
/// translated.
// PostgreSQL reads literals of a statement by these when it prepares it.
const std::set<std::string>& Reads() {
  static const auto* const kNames =
      new std::set<std::string>{"DateStyle", "IntervalStyle", "TimeZone", "standard_conforming_strings"};
  return *kNames;
}

constexpr char kSyncRepRoutine[] = "SyncRepWaitForLSN";

std::string UnknownOutcome() {
  return pgwire::ErrorMessage(
      {.severity = "FATAL",
       .code = "40003",
       .message = "the outcome of the transaction is unknown: the wait for a standby was interrupted",
       .detail = "The transaction has been committed on the primary, but perhaps on no standby.",
       .hint = "Read back whether it is there before you try again."});
}

double RandomSeed() {
  return std::ldexp(static_cast<double>(pgwire::ReadUint32(pgwire::RandomBytes(4).data())), -31) - 1;
}

}  // namespace

Session::Session(SessionHost* host, LocalSocket client)
    : host_(host),
      client_(std::move(client)),
      client_scanner_(
          "XQPF", [this](char type, absl::string_view message, std::string*) { return InspectClient(type, message); },
          [this](char type, bool oversized) {
            // Query, Sync and FunctionCall are each answered by one ReadyForQuery. What COPY or an error swallows
            // leaves the count too high: the connection is then not used again, which is safe.
            expected_ready_ += type == 'S' || type == 'Q' || type == 'F' ? 1 : 0;
            bool ends_cycle = type == 'S' || type == 'Q' || type == 'F';
            unsynced_ = !ends_cycle && (unsynced_ || absl::StrContains("PBEDCH", type));
            unnamed_parsed_ &= type != 'E';
            tainted_ |= oversized;
            mute_ |= oversized;
          }),
      server_scanner_("ZNSCE", [this](char type, absl::string_view message,
                                      std::string* out) { return InspectServer(type, message, out); }),
      in_flight_{this},
      open_(host->loop()),
      reader_end_(host->loop(), asio::steady_timer::time_point::max()),
      state_end_(host->loop(), asio::steady_timer::time_point::max()) {}

Verdict Session::InspectClient(char type, absl::string_view message) {
  if (type == 'X') {
    terminated_ = true;  // ends the session, not the server connection
    return Verdict::kStop;
  }
  if (type == 'F') {
    tainted_ = true;  // any function, by number
    ++expected_ready_;
    return Verdict::kPass;
  }
  expected_ready_ += type == 'Q' ? 1 : 0;
  unsynced_ = type == 'P';
  unnamed_parsed_ |= type == 'P' && message.size() > 5 && message[5] == '\0';
  StatementMarks marks = ScanStatement(message.substr(5));
  tainted_ |= marks.leaves_traces;
  roles_changed_ |= marks.changes_roles;
  own_sequences_ |= marks.reads_own_sequences;
  mute_ |= marks.mutes_warnings;
  if (marks.changes_databases) {
    host_->DatabasesChange();
  }
  return Verdict::kPass;
}

Verdict Session::InspectServer(char type, absl::string_view message, std::string* out) {
  absl::string_view body = message.substr(5);
  switch (type) {
    case 'Z':
      server_->transaction = body.empty() ? '?' : body[0];
      --expected_ready_;
      NoteAnswered(type);
      if (state_ != nullptr && expected_ready_ == 0) {
        state_end_.cancel();
      }
      if (state_ == nullptr && server_->transaction == 'I' && expected_ready_ <= 0) {
        rested_ = Clock::now();
        if (AwaitsLearning()) {
          host_->AwaitsLearning();
        }
      }
      if (roles_changed_ && server_->transaction == 'I') {
        roles_changed_ = false;
        host_->RolesChanged();
      }
      break;
    case 'S': {
      auto [name, value] = pgwire::ParseParameterStatus(body);
      std::string& known = server_->parameters[name];
      if (known != value && Reads().contains(name)) {
        reads_since_ = absl::Now();
      }
      known = value;
      break;
    }
    case 'N':
      if (HoldsLastWords(type, body)) {
        return Verdict::kDrop;  // it comes with the end, of which the client hears if need be
      }
      if (pgwire::ParseDiagnostic(body).routine == kSyncRepRoutine) {
        sync_cut_short_ = true;
        host_->gate().Suspect("a wait for a standby was cut short");
      }
      break;
    case 'C':
      NoteAnswered(type);
      break;
    case 'D':
      // Only wanted here: EndOfSessionQuery's row, whose last column is one letter, or those of SessionStateMessages.
      if (state_ != nullptr) {
        state_failed_ |= !state_->Add(body);
      } else {
        reset_failed_ |= resetting_ && !absl::EndsWith(body, "f");
      }
      break;
    case 'E':
      reset_failed_ |= resetting_;
      state_failed_ |= state_ != nullptr;
      if (HoldsLastWords(type, body)) {
        last_words_.append(message.data(), message.size());
        return Verdict::kDrop;
      }
      break;
    default:
      break;
  }
  if (state_ != nullptr && absl::StrContains("123DCEZ", type)) {
    return Verdict::kDrop;  // nothing that the client asked for; notifications and changed parameters are for it
  }
  // With a COMMIT or a simple query the warning comes before CommandComplete; where Sync commits, before ReadyForQuery.
  if (sync_cut_short_ && !resetting_ && (type == 'C' || type == 'Z')) {
    *out += UnknownOutcome();
    return Verdict::kStop;
  }
  return Verdict::kPass;
}

absl::string_view Session::TakeFromClient(absl::string_view read, bool* last) {
  if (parking_ || parked_ || passing_on_) {
    kept_.append(read.data(), read.size());
    *last |= ended_;
    return {};
  }
  known_.reset();
  learnt_ = false;
  heard_ += read.size();
  std::string& out = host_->output();
  if (!client_scanner_.Feed(read, &out)) {
    tainted_ = true;
    *last = true;
  }
  NoteAsked();
  *last |= terminated_ || ended_;
  return out;
}

absl::string_view Session::TakeFromServer(absl::string_view read, bool* last) {
  std::string& out = host_->output();
  client_at_boundary_ = server_scanner_.at_boundary();
  answered_ = false;
  if (!server_scanner_.Feed(read, &out)) {
    log::Error("PostgreSQL sent what is not its protocol", {{"pid", server_->pid}});
    tainted_ = true;
    *last = true;
  }
  *last |= server_scanner_.stopped() || (ended_ && !asked()) ||
           (resetting_ && expected_ready_ == 0 && server_scanner_.at_boundary());
  if (resetting_ || ended_ || client_gone_ || parked_ || out.empty()) {
    return {};
  }
  said_ += out.size();
  if (known_.has_value()) {
    TellRest(gateway_);  // PostgreSQL has said something unasked
  }
  return out;
}

asio::awaitable<bool> Session::ReadHandoff(pgwire::Handoff* handoff) {
  asio::steady_timer timer(host_->loop(), kHandoffBound);
  timer.async_wait([self = shared_from_this()](error_code cancelled) {
    if (!cancelled) {
      error_code ignored;
      self->client_.close(ignored);
    }
  });
  for (;;) {
    char buffer[4096];
    error_code error;
    size_t n = co_await client_.async_read_some(asio::buffer(buffer), asio::redirect_error(asio::use_awaitable, error));
    if (error) {
      co_return false;
    }
    from_client_.append(buffer, n);
    size_t consumed = 0;
    absl::StatusOr<pgwire::Handoff> decoded = pgwire::DecodeHandoff(from_client_, &consumed);
    if (!decoded.ok()) {
      log::Warn("a connection was refused", {{"error", decoded.status().message()}});
      co_return false;
    }
    if (consumed > 0) {
      from_client_.erase(0, consumed);
      *handoff = *std::move(decoded);
      co_return true;
    }
  }
}

asio::awaitable<std::string> Session::Login(pgwire::Handoff handoff) {
  std::string refusal = host_->RefuseMode(read_only_);
  if (!refusal.empty()) {
    co_return refusal;
  }
  LoginResult login = co_await host_->Acquire(std::move(handoff));
  if (!login.error.empty()) {
    co_return login.error;
  }
  // The mode may have changed while the connection was made.
  refusal = ended_ ? pgwire::ErrorMessage({.severity = "FATAL", .code = pgwire::kNotServing, .message = "ended"})
                   : host_->RefuseMode(read_only_);
  if (!refusal.empty()) {
    host_->Release(std::move(login.connection), false);
    co_return refusal;
  }
  server_ = std::move(login.connection);
  host_->gate().Watch(server_->socket.native_handle());
  secret_ = pgwire::ReadUint32(pgwire::RandomBytes(4).data());
  co_return "";
}

asio::awaitable<void> Session::Run() {
  auto self = shared_from_this();
  pgwire::Handoff handoff;
  bool good = co_await ReadHandoff(&handoff);
  if (!good) {
    co_return;
  }
  if (handoff.cancel) {
    co_await host_->Cancel(handoff.backend_pid, handoff.backend_secret);
    co_return;
  }
  if (handoff.listen) {
    host_->Listens(handoff.gateway, std::move(client_));
    co_return;
  }
  read_only_ = handoff.read_only;
  park_token_ = handoff.park_token;
  gateway_ = handoff.gateway;
  tag_ = handoff.tag;
  mute_ = absl::StrContains(absl::AsciiStrToLower(handoff.parameters["options"]), "client_min_messages") ||
          handoff.parameters.contains("client_min_messages");
  std::string replay = std::exchange(handoff.replay, "");
  mute_ |= absl::StrContains(replay, "client_min_messages");
  error_code error;
  std::string answer = co_await Login(std::move(handoff));
  known_ = replay;
  if (server_ != nullptr && !replay.empty()) {
    bool lost = false;
    bool restored = co_await Restore(std::move(replay), &lost);
    if (!restored) {
      host_->Release(std::move(server_), false);
      // Where PostgreSQL has gone meanwhile, it may be back in a moment, or be elsewhere.
      answer = pgwire::ErrorMessage({.severity = "FATAL",
                                     .code = lost ? pgwire::kNotServing : "57P01",
                                     .message = "the session could not be taken over after a change of the primary"});
    }
  }
  if (server_ != nullptr) {
    answer = std::exchange(server_->notices, "");
    for (const auto& [name, value] : server_->parameters) {
      answer += pgwire::ParameterStatus(name, value);
    }
    answer += pgwire::Writer('K')
                  .Int32(static_cast<std::int32_t>(server_->pid))
                  .Int32(static_cast<std::int32_t>(secret_))
                  .Finish();
    answer += pgwire::Writer('Z').Byte('I').Finish();
  }
  co_await asio::async_write(client_, asio::buffer(answer), asio::redirect_error(asio::use_awaitable, error));
  if (server_ != nullptr) {
    co_await Relay();
  }
}

asio::awaitable<void> Session::FromServer() {
  auto self = shared_from_this();
  auto take = [this](absl::string_view read, bool* last) { return TakeFromServer(read, last); };
  error_code error =
      co_await relay::Pump(server_->socket, client_, host_->scratch(), take, &writing_to_client_, Gate{this});
  NoteServerEnd(error);
  if (error && MayPark()) {
    Park();
  }
  if (!resetting_ && !parked_) {
    error_code ignored;
    if (error && !ended_ && !told_ && !client_left_ && server_scanner_.at_boundary() && !writing_to_client_) {
      std::string lost =
          pgwire::ErrorMessage({.severity = "FATAL",
                                .code = "57P01",
                                .message = "terminating connection: the connection to PostgreSQL was lost"});
      client_.write_some(asio::buffer(last_words_.empty() ? lost : last_words_), ignored);
    }
    client_.shutdown(LocalSocket::shutdown_both, ignored);
    if (asked() && !server_scanner_.stopped()) {
      // Nobody hears it any more, but how its commit ends is of interest to others.
      client_gone_ = true;
      co_await relay::Pump(server_->socket, client_, host_->scratch(), take, &writing_to_client_);
    }
  }
  reader_done_ = true;
  reader_end_.cancel();
  state_end_.cancel();
}

asio::awaitable<void> Session::AwaitReader() {
  error_code ignored;
  if (!reader_done_) {
    co_await reader_end_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

bool Session::Quiet() const {
  return !ended_ && !reader_done_ && !holding_ && expected_ready_ == 0 && client_scanner_.at_boundary() &&
         server_scanner_.at_boundary();
}

asio::awaitable<bool> Session::Reset() {
  resetting_ = true;
  server_scanner_.AlsoWant('D');
  std::string message;
  for (const std::string& query : {std::string(server_->transaction == 'I' ? "" : "ROLLBACK"),
                                   std::string("DISCARD ALL"), EndOfSessionQuery(RandomSeed())}) {
    if (!query.empty()) {
      message += pgwire::QueryMessage(query);
      ++expected_ready_;
    }
  }
  asio::steady_timer bound(host_->loop(), kResetBound);
  bound.async_wait([self = shared_from_this()](error_code cancelled) {
    if (!cancelled && self->server_ != nullptr) {
      error_code ignored;
      self->server_->socket.shutdown(ServerSocket::shutdown_both, ignored);
    }
  });
  error_code error;
  co_await asio::async_write(server_->socket, asio::buffer(message), asio::redirect_error(asio::use_awaitable, error));
  co_await AwaitReader();
  co_return !error && !ended_ && !reset_failed_ && expected_ready_ == 0 && server_scanner_.at_boundary() &&
      server_->transaction == 'I' && server_->parameters == server_->at_login;
}

asio::awaitable<void> Session::Relay() {
  auto self = shared_from_this();
  asio::co_spawn(host_->loop(), FromServer(), asio::detached);
  auto take = [this](absl::string_view read, bool* last) { return TakeFromClient(read, last); };
  co_await relay::Pump(client_, server_->socket, host_->scratch(), take, &writing_to_server_);
  client_left_ = true;
  error_code ignored;
  bool clean = false;
  while (parking_ || passing_on_) {
    // The client closed meanwhile; the answer is on its way.
    co_await state_end_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  if (parked_) {
    co_await HandBack();
  } else if (Quiet() && !tainted_) {
    client_.close(ignored);
    clean = co_await Reset();
  } else {
    // As when the client itself had closed: what it asked for before is done and answered, then PostgreSQL leaves.
    if (terminated_ && !writing_to_server_) {
      server_->socket.write_some(asio::buffer(kTerminate), ignored);
    }
    server_->socket.shutdown(
        (ended_ && !asked()) || Quiet() ? ServerSocket::shutdown_both : ServerSocket::shutdown_send, ignored);
    co_await AwaitReader();
  }
  NoteNothingOwed();  // nobody looks any more at a connection that this session has no more
  host_->Release(std::move(server_), clean);
}

void Session::End(const std::string& code, const std::string& message) {
  if (ended_ || parked_) {
    return;
  }
  ended_ = true;
  error_code ignored;
  if (server_ != nullptr) {
    bool boundary = holding_ ? client_at_boundary_ : server_scanner_.at_boundary() && !writing_to_client_;
    if (boundary && !resetting_ && !told_) {
      // Between two messages from the server: the client may be told. A full socket is not waited for; the connection's
      // end says it too.
      std::string own = pgwire::ErrorMessage({.severity = "FATAL", .code = code, .message = message});
      const std::string& error = last_words_.empty() ? own : last_words_;
      client_.non_blocking(true, ignored);
      client_.write_some(asio::buffer(error), ignored);
    }
    // Of a statement under way the end is waited for: how its commit ends is of interest to others.
    server_->socket.shutdown(asked() ? ServerSocket::shutdown_send : ServerSocket::shutdown_both, ignored);
  }
  open_.cancel();
  state_end_.cancel();
  client_.shutdown(LocalSocket::shutdown_both, ignored);
}

}  // namespace mg::multipooler
