/// PostgreSQL's protocol 3.0: building and taking apart messages. Pure; no I/O. Facts: PostgreSQL documentation,
/// "Frontend/Backend Protocol".
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace mg::pgwire {

inline constexpr std::int32_t kProtocol3 = 3 << 16;
inline constexpr std::int32_t kCancelRequest = (1234 << 16) | 5678;
inline constexpr std::int32_t kSslRequest = (1234 << 16) | 5679;
inline constexpr std::int32_t kGssEncRequest = (1234 << 16) | 5680;
/// A start-up packet longer than this is garbage (PostgreSQL's own limit).
inline constexpr std::int32_t kMaxStartup = 10000;

std::uint32_t ReadUint32(const char* data);

/// Builds one message: a type byte (0: none), a length, a body.
class Writer {
 public:
  explicit Writer(char type);
  Writer& Byte(char value);
  Writer& Int32(std::int32_t value);
  Writer& CString(absl::string_view value);
  Writer& Bytes(absl::string_view value);
  std::string Finish();

 private:
  std::string data_;
  size_t length_at_;
};

/// Fields of an ErrorResponse or NoticeResponse.
struct Diagnostic {
  std::string severity = "ERROR";
  std::string code;
  std::string message;
  std::string detail = {};
  std::string hint = {};
  std::string routine = {};
};

std::string ErrorMessage(const Diagnostic& diagnostic);  ///< type E
Diagnostic ParseDiagnostic(absl::string_view body);      ///< of E and N

struct Startup {
  std::int32_t protocol = kProtocol3;
  std::map<std::string, std::string> parameters;
  std::vector<std::string> unknown_options;  ///< _pq_.* names, which are taken out of the parameters
};

/// Parses the packet behind the length word. INVALID_ARGUMENT for garbage.
absl::StatusOr<Startup> ParseStartup(absl::string_view packet);
std::string StartupMessage(const std::map<std::string, std::string>& parameters);
std::string CancelMessage(std::uint32_t pid, std::uint32_t secret);
std::string QueryMessage(absl::string_view sql);
std::string ParameterStatus(absl::string_view name, absl::string_view value);
/// name and value of a ParameterStatus body.
std::pair<std::string, std::string> ParseParameterStatus(absl::string_view body);

/// A text as an SQL literal, quotes and backslashes cared for.
std::string QuoteLiteral(absl::string_view text);

}  // namespace mg::pgwire
