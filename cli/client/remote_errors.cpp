#include "cli/client/remote_errors.h"

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status/error_codes.h"
#include "common/status/status.h"

namespace mg::cli {
namespace {

/// gRPC's own words, and not an answer of the Admin API's about something else that it could not reach.
bool IsOfTheConnection(absl::string_view message) {
  return absl::StartsWith(message, "failed to connect to all addresses") ||
         absl::StartsWith(message, "DNS resolution failed") || absl::StartsWith(message, "Socket closed") ||
         absl::StartsWith(message, "recvmsg:") || absl::StartsWith(message, "Connection reset") ||
         absl::StartsWith(message, "GOAWAY") || absl::StartsWith(message, "Transport closed");
}

std::string Where(const RemoteSide& side) {
  return absl::StrCat("the Admin API ", side.address ? "at " : "of context ", side.name);
}

absl::Status NotReached(const absl::Status& status, const RemoteSide& side) {
  const absl::string_view said = status.message();
  const bool refused = absl::StrContains(said, "Connection refused");
  const bool unknown = absl::StrContains(said, "DNS resolution failed");
  const bool broke = absl::StrContains(said, "Socket closed") || absl::StrContains(said, "Connection reset") ||
                     absl::StrContains(said, "SSL") || absl::StrContains(said, "andshake");
  const bool untrusted = absl::StrContains(absl::AsciiStrToLower(said), "certificate verify failed") ||
                         absl::StrContains(said, "CERTIFICATE_VERIFY_FAILED");
  const bool misnamed = absl::StrContains(said, "is not in peer certificate");
  const char* why = refused     ? "nothing listens at its address"
                    : untrusted ? "its certificate is not one of an authority that is trusted here"
                    : misnamed  ? "its certificate is for another name"
                    : unknown   ? "its host has no address"
                    : broke && side.tls
                        ? "the connection was made and then closed: it may speak no TLS, or want a client certificate"
                    : broke ? "the connection was made and then closed: it may want TLS, or a client certificate"
                            : "no connection to its address can be made";
  return MakeError(
      status.code(), absl::StrCat(Where(side), " cannot be reached: ", why),
      {.reason = "UNAVAILABLE",
       .hint =
           untrusted || misnamed
               ? "add the context anew with its authority (--ca-file) and the name in its certificate (--server-name)"
           : broke && side.address ? "add it as a context with --tls, --ca-file, --cert-file and --key-file"
           : broke && side.tls     ? "add the context anew without --tls, or with --cert-file and --key-file"
           : broke                 ? "add the context anew with the right --tls, --ca-file, --cert-file and --key-file"
           : side.address          ? "check the address, and that the cluster there runs"
                          : "see its address with 'multigres context list', and whether the cluster there runs"});
}

/// Whether it names a command that is refused for a cluster elsewhere.
bool SpeaksOfThisMachine(absl::string_view hint) {
  static constexpr std::array<absl::string_view, 11> kCommands = {
      "up", "down", "status", "why", "logs", "events", "doctor", "bundle", "restart", "agent", "init"};
  return std::any_of(kCommands.begin(), kCommands.end(), [&](absl::string_view command) {
    return absl::StrContains(hint, absl::StrCat("multigres ", command));
  });
}

}  // namespace

absl::Status ExplainRemote(const absl::Status& status, const RemoteSide& side) {
  const ErrorDetail detail = DetailOf(status).value_or(ErrorDetail{});
  if (absl::IsUnavailable(status) && detail.reason.empty() && IsOfTheConnection(status.message())) {
    if (side.connected) {
      return MakeError(status.code(),
                       absl::StrCat("the answer did not arrive: ", Where(side),
                                    " ended during the call, and what was begun may go on"),
                       {.reason = "ADMIN_API_UNAVAILABLE",
                        .hint = "see what has become of it before you repeat the command",
                        .subject = "multiadmin"});
    }
    return NotReached(status, side);
  }
  if (side.address && detail.reason == "AUTHENTICATION_REQUIRED") {
    return MakeError(
        status.code(), status.message(),
        {.reason = detail.reason,
         .hint = "name a file with a token in MULTIGRES_TOKEN_FILE, or use a context with one (multigres "
                 "context add --token-file), or let that cluster ask for none (multiadmin: {auth: none})"});
  }
  const std::string hint = detail.hint.empty() ? std::string(ErrorCodeOf(status).next) : detail.hint;
  if (detail.reason != "CONTEXT_REMOTE" && SpeaksOfThisMachine(hint)) {
    ErrorDetail there = detail;
    there.hint = absl::StrCat("on the machine where that cluster runs: ", hint);
    return MakeError(status.code(), status.message(), there);
  }
  return status;
}

}  // namespace mg::cli
