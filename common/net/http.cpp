#include "common/net/http.h"

#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace mg::net {

namespace {

constexpr char kHeaderEnd[] = "\r\n\r\n";

/// Size of the body as the headers give it; nothing when they do not (the stream's end decides then).
std::optional<size_t> ContentLength(absl::string_view headers) {
  for (absl::string_view line : absl::StrSplit(headers, "\r\n")) {
    std::pair<absl::string_view, absl::string_view> field = absl::StrSplit(line, absl::MaxSplits(':', 1));
    size_t size = 0;
    if (absl::EqualsIgnoreCase(field.first, "content-length") &&
        absl::SimpleAtoi(absl::StripAsciiWhitespace(field.second), &size)) {
      return size;
    }
  }
  return std::nullopt;
}

}  // namespace

Exchange HttpGet(int port, const std::string& path, const std::string& authorization) {
  Exchange exchange;
  exchange.port = port;
  exchange.request =
      absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: 127.0.0.1:", port, "\r\nConnection: close\r\n",
                   authorization.empty() ? "" : absl::StrCat("Authorization: ", authorization, "\r\n"), "\r\n");
  exchange.complete = [seen = size_t{0}](const std::string& received) mutable {
    size_t end = received.find(kHeaderEnd);
    bool closed = received.size() == seen;  // called without anything new: the stream has ended
    seen = received.size();
    if (end == std::string::npos) {
      return false;
    }
    std::optional<size_t> size = ContentLength(absl::string_view(received).substr(0, end));
    return size ? received.size() >= end + 4 + *size : closed;
  };
  return exchange;
}

absl::StatusOr<HttpReply> ReplyOf(const Exchange& exchange) {
  if (!exchange.status.ok()) {
    return exchange.status;
  }
  absl::string_view text = exchange.received;
  size_t end = text.find(kHeaderEnd);
  HttpReply reply;
  std::vector<absl::string_view> words = absl::StrSplit(text.substr(0, text.find("\r\n")), absl::MaxSplits(' ', 2));
  if (end == absl::string_view::npos || words.size() < 2 || !absl::StartsWith(words[0], "HTTP/1.") ||
      !absl::SimpleAtoi(words[1], &reply.status)) {
    return absl::DataLossError(absl::StrCat("127.0.0.1:", exchange.port, " does not speak HTTP"));
  }
  reply.body = std::string(text.substr(end + 4));
  return reply;
}

}  // namespace mg::net
