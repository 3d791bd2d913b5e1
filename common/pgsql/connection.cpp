#include "common/pgsql/connection.h"

#include <libpq-fe.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/fs/unique_fd.h"
#include "common/status/status.h"

namespace mg::pgsql {
namespace {

constexpr char kPayload[] = "multigres.dev/pgsql.Diagnostic";
constexpr absl::Duration kCancelLimit = absl::Milliseconds(300);

using PgResult = std::unique_ptr<PGresult, decltype(&PQclear)>;

std::string Field(const PGresult* result, int code) {
  const char* text = PQresultErrorField(result, code);
  return text != nullptr ? text : "";
}

Diagnostic ReadDiagnostic(const PGresult* result) {
  return {.severity = Field(result, PG_DIAG_SEVERITY_NONLOCALIZED),
          .sqlstate = Field(result, PG_DIAG_SQLSTATE),
          .message = Field(result, PG_DIAG_MESSAGE_PRIMARY),
          .detail = Field(result, PG_DIAG_MESSAGE_DETAIL),
          .hint = Field(result, PG_DIAG_MESSAGE_HINT)};
}

// SQLSTATE classes of PostgreSQL's appendix A that callers tell apart.
absl::StatusCode CodeOf(std::string_view sqlstate) {
  if (sqlstate == "57014") return absl::StatusCode::kCancelled;
  if (sqlstate == "55P03") return absl::StatusCode::kAborted;
  if (sqlstate == "25006" || sqlstate.starts_with("55")) return absl::StatusCode::kFailedPrecondition;
  if (sqlstate.starts_with("57P") || sqlstate.starts_with("08")) return absl::StatusCode::kUnavailable;
  if (sqlstate.starts_with("28")) return absl::StatusCode::kUnauthenticated;
  if (sqlstate == "3D000" || sqlstate == "42P01" || sqlstate == "3F000") return absl::StatusCode::kNotFound;
  if (sqlstate.starts_with("23")) return absl::StatusCode::kAlreadyExists;
  if (sqlstate.starts_with("40")) return absl::StatusCode::kAborted;
  if (sqlstate.starts_with("53")) return absl::StatusCode::kResourceExhausted;
  if (sqlstate.starts_with("42")) return absl::StatusCode::kPermissionDenied;
  return absl::StatusCode::kUnknown;
}

absl::Status ServerError(const Diagnostic& diagnostic) {
  absl::Status status(CodeOf(diagnostic.sqlstate),
                      absl::StrCat("postgresql: ", diagnostic.message, " (", diagnostic.sqlstate, ")"));
  status.SetPayload(
      kPayload, absl::Cord(absl::StrCat(diagnostic.severity, "\x1f", diagnostic.sqlstate, "\x1f", diagnostic.message,
                                        "\x1f", diagnostic.detail, "\x1f", diagnostic.hint)));
  return status;
}

/// From this run of the same statement on, it is prepared.
constexpr int kPrepareAtRun = 3;
constexpr std::size_t kMostRepeated = 16;
/// "cached plan must not change result type"
constexpr char kPlanOutOfDate[] = "0A000";

void CollectNotice(void* notices, const PGresult* result) {
  static_cast<std::vector<Diagnostic>*>(notices)->push_back(ReadDiagnostic(result));
}

}  // namespace

std::optional<Diagnostic> DiagnosticOf(const absl::Status& status) {
  absl::optional<absl::Cord> payload = status.GetPayload(kPayload);
  if (!payload.has_value()) {
    return std::nullopt;
  }
  std::vector<std::string> parts = absl::StrSplit(std::string(*payload), '\x1f');
  parts.resize(5);
  return Diagnostic{parts[0], parts[1], parts[2], parts[3], parts[4]};
}

std::string SqlStateOf(const absl::Status& status) {
  std::optional<Diagnostic> diagnostic = DiagnosticOf(status);
  return diagnostic.has_value() ? diagnostic->sqlstate : "";
}

struct Connection::Impl {
  /// A statement without parameters: how often it was run, and its name once it is prepared.
  struct Repeated {
    int runs = 0;
    std::string name;
  };
  std::map<std::string, Repeated> repeated;  ///< by text
  int prepared = 0;
  ConnectOptions options;
  PGconn* conn = nullptr;
  UniqueFd interrupt;
  bool broken = false;
  std::vector<Diagnostic> notices;

  ~Impl() { PQfinish(conn); }

  // Waits for the socket; OK when it is ready for one of `events`.
  absl::Status Wait(short events, absl::Time deadline) {
    while (true) {
      absl::Duration left = deadline - absl::Now();
      if (left <= absl::ZeroDuration()) {
        return absl::DeadlineExceededError("postgresql did not answer in time");
      }
      std::array<pollfd, 2> fds = {pollfd{PQsocket(conn), events, 0}, pollfd{interrupt.get(), POLLIN, 0}};
      std::int64_t limit = left == absl::InfiniteDuration() ? -1 : absl::ToInt64Milliseconds(left) + 1;
      int ready = poll(fds.data(), fds.size(), static_cast<int>(std::min<std::int64_t>(limit, 1 << 30)));
      if (ready < 0 && errno != EINTR) {
        return ErrnoStatus(errno, "wait for postgresql");
      }
      if (fds[1].revents != 0 && ready > 0) {
        return absl::CancelledError("the wait for postgresql was interrupted");
      }
      if (ready > 0 && fds[0].revents != 0) {
        return absl::OkStatus();
      }
    }
  }

  /// What is asked again and again is planned once. Nothing: it is not prepared, to be run as it is.
  std::optional<absl::StatusOr<Result>> RunPrepared(const std::string& sql, absl::Time deadline) {
    if (repeated.size() >= kMostRepeated && repeated.count(sql) == 0) {
      return std::nullopt;
    }
    Repeated& statement = repeated[sql];
    if (++statement.runs < kPrepareAtRun || PQtransactionStatus(conn) != PQTRANS_IDLE) {
      return std::nullopt;
    }
    if (statement.name.empty()) {
      std::string name = absl::StrCat("multigres_", ++prepared);
      absl::StatusOr<Result> made = Run(PQsendPrepare(conn, name.c_str(), sql.c_str(), 0, nullptr) != 0, deadline);
      if (!made.ok()) {
        return made;
      }
      statement.name = name;
    }
    absl::StatusOr<Result> result =
        Run(PQsendQueryPrepared(conn, statement.name.c_str(), 0, nullptr, nullptr, nullptr, 0) != 0, deadline);
    if (SqlStateOf(result.status()) == kPlanOutOfDate) {
      statement = Repeated{};
      return std::nullopt;
    }
    return result;
  }

  absl::Status ConnectError() {
    std::string text(absl::StripAsciiWhitespace(PQerrorMessage(conn)));
    // libpq 15 gives no SQLSTATE for a failed connection: the words are those of a server that speaks English, which
    // every server of ours does (lc_messages C).
    absl::StatusCode code = absl::StatusCode::kUnavailable;
    if (text.find("authentication failed") != std::string::npos || text.find("no password") != std::string::npos) {
      code = absl::StatusCode::kUnauthenticated;
    } else if (text.find("database \"") != std::string::npos && text.find("does not exist") != std::string::npos) {
      code = absl::StatusCode::kNotFound;
    }
    return absl::Status(code, absl::StrCat("connect to postgresql: ", text));
  }

  absl::Status Flush(absl::Time deadline) {
    while (true) {
      int left = PQflush(conn);
      if (left == 0) {
        return absl::OkStatus();
      }
      if (left < 0) {
        return absl::UnavailableError(absl::StrCat("send to postgresql: ", PQerrorMessage(conn)));
      }
      MG_RETURN_IF_ERROR(Wait(POLLIN | POLLOUT, deadline));
      PQconsumeInput(conn);
    }
  }

  absl::StatusOr<Result> Collect(absl::Time deadline);
  absl::StatusOr<Result> Run(bool sent, absl::Time deadline);
  void CancelOnServer();
};

absl::StatusOr<Result> Connection::Impl::Collect(absl::Time deadline) {
  MG_RETURN_IF_ERROR(Flush(deadline));
  Result result;
  absl::Status failure;
  while (true) {
    while (PQisBusy(conn) != 0) {
      MG_RETURN_IF_ERROR(Wait(POLLIN, deadline));
      if (PQconsumeInput(conn) == 0) {
        return absl::UnavailableError(
            absl::StrCat("connection to postgresql lost: ", absl::StripAsciiWhitespace(PQerrorMessage(conn))));
      }
    }
    PgResult part(PQgetResult(conn), &PQclear);
    if (part == nullptr) {
      break;
    }
    switch (PQresultStatus(part.get())) {
      case PGRES_COMMAND_OK:
      case PGRES_EMPTY_QUERY:
      case PGRES_TUPLES_OK:
        break;
      default:
        if (failure.ok()) {
          Diagnostic diagnostic = ReadDiagnostic(part.get());
          failure = diagnostic.sqlstate.empty()
                        ? absl::UnavailableError(absl::StrCat("connection to postgresql lost: ",
                                                              absl::StripAsciiWhitespace(PQerrorMessage(conn))))
                        : ServerError(diagnostic);
        }
        continue;
    }
    result.names_.clear();
    result.rows_.clear();
    int columns = PQnfields(part.get());
    for (int c = 0; c < columns; ++c) {
      result.names_.emplace_back(PQfname(part.get(), c));
    }
    for (int r = 0; r < PQntuples(part.get()); ++r) {
      std::vector<Value>& row = result.rows_.emplace_back();
      for (int c = 0; c < columns; ++c) {
        row.push_back(PQgetisnull(part.get(), r, c) != 0
                          ? Value()
                          : Value(std::string(PQgetvalue(part.get(), r, c), PQgetlength(part.get(), r, c))));
      }
    }
    result.affected_ = 0;
    (void)absl::SimpleAtoi(PQcmdTuples(part.get()), &result.affected_);
  }
  MG_RETURN_IF_ERROR(failure);
  result.notices_ = std::move(notices);
  return result;
}

absl::StatusOr<Result> Connection::Impl::Run(bool sent, absl::Time deadline) {
  if (!sent) {
    broken = true;
    return absl::UnavailableError(
        absl::StrCat("send to postgresql: ", absl::StripAsciiWhitespace(PQerrorMessage(conn))));
  }
  absl::StatusOr<Result> result = Collect(deadline);
  if (!result.ok()) {
    absl::StatusCode code = result.status().code();
    if (!DiagnosticOf(result.status()).has_value()) {
      broken = true;
      if (code == absl::StatusCode::kDeadlineExceeded || code == absl::StatusCode::kCancelled) {
        CancelOnServer();
      }
    } else if (PQstatus(conn) != CONNECTION_OK) {
      broken = true;
    }
  }
  return result;
}

// PQcancel may block for ever on a stopped postmaster; a second connection does not.
void Connection::Impl::CancelOnServer() {
  if (options.replication) {
    return;
  }
  absl::Time limit = absl::Now() + kCancelLimit;
  absl::StatusOr<std::unique_ptr<Connection>> helper = Connect(options, limit);
  if (helper.ok()) {
    Connection::Impl& other = *(*helper)->impl_;
    std::string sql = absl::StrCat("SELECT pg_cancel_backend(", PQbackendPID(conn), ")");
    if (PQsendQuery(other.conn, sql.c_str()) != 0) {
      (void)other.Collect(limit);
    }
  }
}

Connection::Connection(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Connection::~Connection() = default;

absl::StatusOr<std::unique_ptr<Connection>> Connection::Connect(const ConnectOptions& options, absl::Time deadline) {
  auto impl = std::make_unique<Impl>();
  impl->options = options;
  impl->interrupt = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!impl->interrupt.valid()) {
    return ErrnoStatus(errno, "eventfd");
  }
  std::string port = absl::StrCat(options.port);
  std::vector<std::pair<const char*, const char*>> pairs = {
      {"host", options.host.c_str()},
      {"port", port.c_str()},
      {"user", options.user.c_str()},
      {"dbname", options.database.c_str()},
      {"application_name", options.application_name.c_str()},
      {"client_encoding", "UTF8"},
      {"gssencmode", "disable"},
      {"passfile", "/dev/null/none"},  // never the user's own,
      {"options", "-c synchronous_commit=on"},
  };
  if (!options.password.empty()) {
    pairs.emplace_back("password", options.password.c_str());
  }
  if (options.replication) {
    pairs.emplace_back("replication", "true");
  }
  std::vector<const char*> keywords;
  std::vector<const char*> values;
  for (const auto& [keyword, value] : pairs) {
    keywords.push_back(keyword);
    values.push_back(value);
  }
  keywords.push_back(nullptr);
  values.push_back(nullptr);
  impl->conn = PQconnectStartParams(keywords.data(), values.data(), 0);
  if (impl->conn == nullptr) {
    return absl::ResourceExhaustedError("connect to postgresql: out of memory");
  }
  PQsetNoticeReceiver(impl->conn, &CollectNotice, &impl->notices);
  if (PQstatus(impl->conn) == CONNECTION_BAD) {
    return impl->ConnectError();
  }
  PostgresPollingStatusType step = PGRES_POLLING_WRITING;
  while (step != PGRES_POLLING_OK) {
    MG_RETURN_IF_ERROR(
        WithContext(impl->Wait(step == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline), "connect to postgresql"));
    step = PQconnectPoll(impl->conn);
    if (step == PGRES_POLLING_FAILED) {
      return impl->ConnectError();
    }
  }
  if (PQsetnonblocking(impl->conn, 1) != 0) {
    return impl->ConnectError();
  }
  return std::unique_ptr<Connection>(new Connection(std::move(impl)));
}

absl::StatusOr<Result> Connection::Query(const std::string& sql, const std::vector<Value>& parameters,
                                         absl::Time deadline) {
  if (!usable()) {
    return absl::UnavailableError("the connection to postgresql is broken");
  }
  impl_->notices.clear();
  if (parameters.empty()) {
    if (std::optional<absl::StatusOr<Result>> result = impl_->RunPrepared(sql, deadline)) {
      return *std::move(result);
    }
  }
  std::vector<const char*> values;
  values.reserve(parameters.size());
  for (const Value& parameter : parameters) {
    values.push_back(parameter.has_value() ? parameter->c_str() : nullptr);
  }
  bool sent = PQsendQueryParams(impl_->conn, sql.c_str(), static_cast<int>(values.size()), nullptr, values.data(),
                                nullptr, nullptr, 0) != 0;
  return impl_->Run(sent, deadline);
}

absl::StatusOr<Result> Connection::Execute(const std::string& sql, absl::Time deadline) {
  if (!usable()) {
    return absl::UnavailableError("the connection to postgresql is broken");
  }
  impl_->notices.clear();
  return impl_->Run(PQsendQuery(impl_->conn, sql.c_str()) != 0, deadline);
}

void Connection::Interrupt() {
  std::uint64_t one = 1;
  (void)!write(impl_->interrupt.get(), &one, sizeof one);
}

bool Connection::usable() const { return !impl_->broken && PQstatus(impl_->conn) == CONNECTION_OK; }

int Connection::fd() const { return PQsocket(impl_->conn); }

bool Connection::CheckAlive() {
  if (!usable()) {
    return false;
  }
  if (PQconsumeInput(impl_->conn) == 0 || PQstatus(impl_->conn) != CONNECTION_OK) {
    impl_->broken = true;
    return false;
  }
  // A FATAL that ended an idle session (an orderly shutdown) is waiting as a result; the connection ends with it.
  pollfd closed{PQsocket(impl_->conn), POLLRDHUP, 0};
  if (poll(&closed, 1, 0) > 0 && (closed.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0) {
    impl_->broken = true;
  }
  return !impl_->broken;
}

int Connection::backend_pid() const { return PQbackendPID(impl_->conn); }

}  // namespace mg::pgsql
