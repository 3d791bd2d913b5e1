#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/log/log.h"
#include "common/pgwire/scram.h"
#include "components/multigateway/client_session.h"

namespace mg::multigateway {
namespace {

using SteadyClock = std::chrono::steady_clock;
constexpr std::uint32_t kMaxPassword = 64 << 10;
constexpr auto kRetryPause = std::chrono::milliseconds(50);
/// Requests for encryption, then the start-up packet itself.
constexpr int kMaxRounds = 4;
/// NAMEDATALEN - 1: PostgreSQL cuts longer names of roles and databases here.
constexpr size_t kMaxName = 63;

/// As PostgreSQL reads booleans: any beginning of a word that is clear.
std::optional<bool> ParseBoolean(const std::string& text) {
  std::string lower = absl::AsciiStrToLower(text);
  for (const char* word : {"true", "yes", "on", "1"}) {
    if (!lower.empty() && absl::StartsWith(word, lower) && lower != "o") {
      return true;
    }
  }
  for (const char* word : {"false", "no", "off", "0"}) {
    if (!lower.empty() && absl::StartsWith(word, lower) && lower != "o") {
      return false;
    }
  }
  return std::nullopt;
}

// Answers are made and named before they are awaited: g++ 12 destroys temporaries of aggregates and conditional
// expressions twice when a co_await is in the same expression.

}  // namespace

std::string Fatal(const std::string& code, const std::string& message, const std::string& hint) {
  return pgwire::ErrorMessage({.severity = "FATAL", .code = code, .message = message, .hint = hint});
}

asio::awaitable<bool> ClientSession::Send(std::string data) {
  error_code error = co_await client_.Write(data);
  co_return !error;
}

asio::awaitable<void> ClientSession::Refuse(std::string answer) {
  co_await Send(std::move(answer));
  host_->CountLogin(false);
}

asio::awaitable<bool> ClientSession::Negotiate(std::int32_t code) {
  bool tls = code == pgwire::kSslRequest && host_->tls() != nullptr && !client_.encrypted();
  std::string answer = tls ? "S" : "N";
  bool sent = co_await Send(std::move(answer));
  if (sent && tls) {
    // Nothing that came in plain with the request is left: each packet was read to its last byte and no further.
    error_code error = co_await client_.StartTls(host_->tls());
    if (error) {
      log::Debug("TLS handshake failed", {{"client", handoff_.client}, {"error", error.message()}});
    }
    co_return !error;
  }
  co_return sent;
}

asio::awaitable<bool> ClientSession::ReadStartup() {
  for (int round = 0; round < kMaxRounds; ++round) {
    char head[4];
    error_code error = co_await client_.ReadExactly(head, sizeof head);
    std::uint32_t length = error ? 0 : pgwire::ReadUint32(head);
    if (error || length < 8 || length > static_cast<std::uint32_t>(pgwire::kMaxStartup)) {
      co_return false;  // as PostgreSQL: garbage gets no answer
    }
    std::string packet(length - 4, '\0');
    error = co_await client_.ReadExactly(packet.data(), packet.size());
    if (error) {
      co_return false;
    }
    auto code = static_cast<std::int32_t>(pgwire::ReadUint32(packet.data()));
    if (code == pgwire::kSslRequest || code == pgwire::kGssEncRequest) {
      bool going_on = co_await Negotiate(code);
      if (!going_on) {
        co_return false;
      }
      continue;
    }
    if (code == pgwire::kCancelRequest) {
      if (packet.size() == 12) {
        co_await host_->CancelRequested(pgwire::ReadUint32(packet.data() + 4), pgwire::ReadUint32(packet.data() + 8));
      }
      co_return false;
    }
    co_return co_await TakeStartup(std::move(packet));
  }
  co_return false;
}

asio::awaitable<bool> ClientSession::TakeStartup(std::string packet) {
  auto code = static_cast<std::int32_t>(pgwire::ReadUint32(packet.data()));
  if (code >> 16 != 3) {
    std::string refusal =
        Fatal("0A000", absl::StrCat("unsupported frontend protocol ", static_cast<std::uint32_t>(code) >> 16, ".",
                                    code & 0xffff, ": server supports 3.0 to 3.0"));
    co_await Refuse(std::move(refusal));
    co_return false;
  }
  if (host_->options().require_tls && !client_.encrypted()) {
    std::string refusal =
        Fatal("28000", "this gateway takes only encrypted connections", "Connect with sslmode=require.");
    co_await Refuse(std::move(refusal));
    co_return false;
  }
  absl::StatusOr<pgwire::Startup> startup = pgwire::ParseStartup(packet);
  if (!startup.ok()) {
    std::string refusal = Fatal("08P01", std::string(startup.status().message()));
    co_await Refuse(std::move(refusal));
    co_return false;
  }
  std::map<std::string, std::string>& parameters = startup->parameters;
  if (auto it = parameters.find("replication"); it != parameters.end()) {
    std::optional<bool> wanted = it->second == "database" ? true : ParseBoolean(it->second);
    if (!wanted.has_value()) {
      std::string refusal =
          Fatal("22023", absl::StrCat("invalid value for parameter \"replication\": \"", it->second, "\""),
                "Valid values are: \"false\", 0, \"true\", 1, \"database\".");
      co_await Refuse(std::move(refusal));
      co_return false;
    }
    if (*wanted) {
      std::string refusal = Fatal("0A000", "replication connections do not work through a gateway yet",
                                  "Connect to the PostgreSQL server itself.");
      co_await Refuse(std::move(refusal));
      co_return false;
    }
    parameters.erase(it);
  }
  if ((code & 0xffff) > 0 || !startup->unknown_options.empty()) {
    pgwire::Writer negotiate('v');
    negotiate.Int32(pgwire::kProtocol3).Int32(static_cast<std::int32_t>(startup->unknown_options.size()));
    for (const std::string& option : startup->unknown_options) {
      negotiate.CString(option);
    }
    std::string offer = negotiate.Finish();
    bool sent = co_await Send(std::move(offer));
    if (!sent) {
      co_return false;
    }
  }
  if (parameters["user"].empty()) {
    std::string refusal = Fatal("28000", "no PostgreSQL user name specified in startup packet");
    co_await Refuse(std::move(refusal));
    co_return false;
  }
  if (parameters["database"].empty()) {
    parameters["database"] = parameters["user"];
  }
  for (const char* name : {"user", "database"}) {
    std::string& value = parameters[name];
    value.resize(std::min(value.size(), kMaxName));
  }
  handoff_.parameters = std::move(parameters);
  handoff_.read_only = read_only_;
  handoff_.tag = pid_;
  handoff_.gateway = read_only_ ? "" : host_->gateway_token();
  if (!read_only_) {
    handoff_.park_token = pgwire::RandomBytes(pgwire::kParkTokenSize);
    marker_ = pgwire::ParkMarker(handoff_.park_token);
  }
  co_return true;
}

asio::awaitable<bool> ClientSession::ReadPassword(std::string* body) {
  char head[5];
  error_code error = co_await client_.ReadExactly(head, sizeof head);
  std::uint32_t length = error ? 0 : pgwire::ReadUint32(head + 1);
  if (error || head[0] != 'p' || length < 4 || length > kMaxPassword) {
    co_return false;
  }
  body->assign(length - 4, '\0');
  error = co_await client_.ReadExactly(body->data(), body->size());
  co_return !error;
}

// Whose roles these are is decided with the first answer, and holds for the session. OUT_OF_RANGE: there is no such
// database.
asio::awaitable<absl::StatusOr<std::string>> ClientSession::FindVerifier(std::string role) {
  SteadyClock::time_point deadline = SteadyClock::now() + absl::ToChronoMilliseconds(host_->options().primary_wait);
  for (;;) {
    std::optional<std::string> database = host_->DatabaseFor(handoff_.parameters["database"]);
    if (!database.has_value()) {
      co_return absl::OutOfRangeError("no such database");
    }
    database_ = *database;
    absl::StatusOr<std::string> text = co_await host_->Verifier(database_, role);
    if (text.ok() || absl::IsNotFound(text.status()) || SteadyClock::now() >= deadline || ended_) {
      co_return text;
    }
    co_await host_->RoutesChange(kRetryPause);
  }
}

asio::awaitable<bool> ClientSession::Authenticate() {
  const std::string role = handoff_.parameters["user"];
  absl::StatusOr<std::string> text = co_await FindVerifier(role);
  if (absl::IsOutOfRange(text.status())) {
    std::string refusal =
        Fatal("3D000", absl::StrCat("database \"", handoff_.parameters["database"], "\" does not exist"));
    co_await Refuse(std::move(refusal));
    co_return false;
  }
  if (!text.ok() && !absl::IsNotFound(text.status())) {
    std::string refusal =
        Fatal("57P03", "the database system is not ready: no pooler answers", "Try again, or see 'multigres status'.");
    co_await Refuse(std::move(refusal));
    co_return false;
  }
  absl::StatusOr<pgwire::ScramVerifier> parsed = text.ok() ? pgwire::ParseVerifier(*text) : text.status();
  if (!parsed.ok()) {
    log::Warn("login refused",
              {{"role", role}, {"reason", text.ok() ? "the role has no SCRAM-SHA-256 password" : "no such role"}});
  }
  // A role that does not exist, or has no such password, gets a challenge all the same: a stranger learns nothing.
  pgwire::ScramServer scram(parsed.ok() ? *parsed : pgwire::MockVerifier(role, host_->mock_secret()));
  std::string request = pgwire::Writer('R').Int32(10).CString("SCRAM-SHA-256").Byte('\0').Finish();
  bool sent = co_await Send(std::move(request));
  std::string body;
  bool read = sent && co_await ReadPassword(&body);
  if (!read) {
    co_return false;
  }
  size_t name_end = body.find('\0');
  if (name_end == std::string::npos || body.substr(0, name_end) != "SCRAM-SHA-256" || body.size() < name_end + 5) {
    std::string refusal = Fatal("08P01", "client selected an invalid SASL authentication mechanism");
    co_await Refuse(std::move(refusal));
    co_return false;
  }
  absl::StatusOr<std::string> first = scram.First(body.substr(name_end + 5));
  if (!first.ok()) {
    std::string refusal = Fatal("08P01", "malformed SCRAM message");
    co_await Refuse(std::move(refusal));
    co_return false;
  }
  std::string challenge = pgwire::Writer('R').Int32(11).Bytes(*first).Finish();
  sent = co_await Send(std::move(challenge));
  read = sent && co_await ReadPassword(&body);
  if (!read) {
    co_return false;
  }
  absl::StatusOr<std::string> final = scram.Final(body);
  if (!final.ok() || !parsed.ok()) {
    bool wrong = !parsed.ok() || absl::IsUnauthenticated(final.status());
    std::string refusal =
        Fatal(wrong ? "28P01" : "08P01", wrong ? absl::StrCat("password authentication failed for user \"", role, "\"")
                                               : "malformed SCRAM message");
    co_await Refuse(std::move(refusal));
    co_return false;
  }
  handoff_.verifier = *text;
  handoff_.keys = scram.keys();
  std::string granted = pgwire::Writer('R').Int32(12).Bytes(*final).Finish() + pgwire::Writer('R').Int32(0).Finish();
  sent = co_await Send(std::move(granted));
  co_return sent;
}

}  // namespace mg::multigateway
