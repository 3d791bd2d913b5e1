/// A small client of PostgreSQL for the components' own statements: one connection, one statement at a time, every wait
/// with a deadline. Not a driver for clients' traffic (that is relayed, see common/pgwire). Facts: libpq's asynchronous
/// API.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace mg::pgsql {

struct ConnectOptions {
  std::string host;  ///< directory of the Unix socket (starts with '/'), or a host name
  int port = 5432;
  std::string user;
  std::string password;  ///< in memory only; empty: none is sent
  std::string database;
  std::string application_name;
  bool replication = false;  ///< a walsender connection (`replication=true`): simple queries only
};

/// What PostgreSQL said of an error or a notice.
struct Diagnostic {
  std::string severity;  ///< not localised: ERROR, FATAL, WARNING …
  std::string sqlstate;
  std::string message;
  std::string detail;
  std::string hint;
};

/// The diagnostic that an error of this folder carries; nullopt when it did not come from the server.
std::optional<Diagnostic> DiagnosticOf(const absl::Status& status);
/// Its SQLSTATE; empty when there is none.
std::string SqlStateOf(const absl::Status& status);

/// One value, in PostgreSQL's text form; nullopt is NULL.
using Value = std::optional<std::string>;

/// The rows of a statement, and what came with them.
class Result {
 public:
  int rows() const { return static_cast<int>(rows_.size()); }
  int columns() const { return static_cast<int>(names_.size()); }
  /// Rows that an INSERT, UPDATE or DELETE changed, or a SELECT gave.
  std::int64_t affected() const { return affected_; }
  const std::vector<Diagnostic>& notices() const { return notices_; }
  /// Whether the server warned. After a commit this means that its synchronous wait did not end as it should.
  bool warned() const;

  // A column out of range or a NULL gives the empty value of the type.
  bool IsNull(int row, int column) const;
  std::string Text(int row, int column) const;
  std::int64_t Int(int row, int column) const;
  double Double(int row, int column) const;
  bool Bool(int row, int column) const;
  /// Elements of a one-dimensional array, NULLs left out.
  std::vector<std::string> TextArray(int row, int column) const;
  /// Position of a column by name; -1 when there is none.
  int Column(absl::string_view name) const;

 private:
  friend class Connection;
  std::vector<std::string> names_;
  std::vector<std::vector<Value>> rows_;
  std::vector<Diagnostic> notices_;
  std::int64_t affected_ = 0;
};

/// The text form of a one-dimensional text array, for a parameter cast to text[].
std::string ArrayText(const std::vector<std::string>& elements);
/// Quoted for use in a statement: 'it''s'. For those statements that take no parameters.
std::string QuoteLiteral(absl::string_view text);
/// Quoted as an identifier.
std::string QuoteIdentifier(absl::string_view text);

/// One connection. One thread at a time, except Interrupt.
class Connection {
 public:
  /// UNAVAILABLE when nobody listens or the server is starting up or shutting down, UNAUTHENTICATED, NOT_FOUND (no such
  /// database), DEADLINE_EXCEEDED.
  static absl::StatusOr<std::unique_ptr<Connection>> Connect(const ConnectOptions& options, absl::Time deadline);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Runs one statement with parameters ($1 …). When the deadline passes, or Interrupt is called, the error is
  /// DEADLINE_EXCEEDED or CANCELLED, the statement is cancelled on the server where that is possible within 300 ms, and
  /// the connection is of no more use: whether the statement took effect is unknown.
  absl::StatusOr<Result> Query(const std::string& sql, const std::vector<Value>& parameters, absl::Time deadline);
  /// Runs statements without parameters (several, with ';', are one transaction). The result is the last one's.
  absl::StatusOr<Result> Execute(const std::string& sql, absl::Time deadline);

  /// Ends a wait under way, and every later one, with CANCELLED. Any thread.
  void Interrupt();

  /// False after a fatal error, a deadline or an interrupt.
  bool usable() const;
  /// The socket, to be told of the server's end by poll(2): readable while no statement runs means "look" (CheckAlive).
  int fd() const;
  /// Reads what has come without waiting; false when the server has closed the connection.
  bool CheckAlive();
  int backend_pid() const;

 private:
  struct Impl;
  explicit Connection(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mg::pgsql
