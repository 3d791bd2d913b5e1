#include "components/multiadmin/http_relay.h"

#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace mg::multiadmin {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

constexpr std::uint64_t kMaxAnswer = 16 << 20;

/// Of one connection, or set anew.
bool StaysHere(absl::string_view name) {
  for (const char* word : {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer",
                           "transfer-encoding", "upgrade", "host", "content-length", "accept-encoding", "expect"}) {
    if (absl::EqualsIgnoreCase(name, word)) {
      return true;
    }
  }
  return absl::StartsWithIgnoreCase(name, "x-forwarded-") || absl::StartsWithIgnoreCase(name, "access-control-");
}

std::string Encoded(absl::string_view text, absl::string_view safe) {
  std::string out;
  for (char c : text) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || absl::StrContains(safe, c)) {
      out += c;
    } else {
      absl::StrAppend(&out, "%", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
    }
  }
  return out;
}

http::request<http::string_body> Convert(const std::string& host, int port, const servenv::HttpRequest& in) {
  std::string target = Encoded(in.path, "/-_.~:@!$&'()*+,;=");
  char separator = '?';
  for (const auto& [name, value] : in.query) {
    absl::StrAppend(&target, std::string(1, separator), Encoded(name, "-_.~"), "=", Encoded(value, "-_.~"));
    separator = '&';
  }
  http::request<http::string_body> out(http::string_to_verb(in.method), target, 11);
  for (const auto& [name, value] : in.headers) {
    if (!StaysHere(name)) {
      out.insert(name, value);
    }
  }
  out.set(http::field::host, absl::StrCat(host, ":", port));
  out.set(http::field::connection, "close");
  out.set("X-Forwarded-For", in.peer);
  out.set("X-Forwarded-Proto", "http");
  if (auto original = in.headers.find("host"); original != in.headers.end()) {
    out.set("X-Forwarded-Host", original->second);
  }
  out.body() = in.body;
  out.prepare_payload();
  return out;
}

}  // namespace

absl::StatusOr<servenv::HttpResponse> RelayHttp(const std::string& host, int port, const servenv::HttpRequest& request,
                                                absl::Time deadline) {
  asio::io_context io;
  asio::ip::tcp::resolver resolver(io);
  beast::tcp_stream stream(io);
  beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(kMaxAnswer);
  http::request<http::string_body> out = Convert(host, port, request);
  beast::error_code result = asio::error::would_block;
  auto failed = [&](beast::error_code error) {
    result = error;
    return static_cast<bool>(error);
  };
  resolver.async_resolve(host, std::to_string(port), [&](beast::error_code error, const auto& found) {
    if (failed(error)) {
      return;
    }
    stream.async_connect(found, [&](beast::error_code not_connected, const auto&) {
      if (failed(not_connected)) {
        return;
      }
      http::async_write(stream, out, [&](beast::error_code not_written, size_t) {
        if (!failed(not_written)) {
          http::async_read(stream, buffer, parser, [&](beast::error_code not_read, size_t) { failed(not_read); });
        }
      });
    });
  });
  result = asio::error::would_block;
  io.run_for(absl::ToChronoNanoseconds(deadline - absl::Now()));
  if (!io.stopped() || result == asio::error::would_block) {
    return absl::DeadlineExceededError(absl::StrCat("http://", host, ":", port, " does not answer"));
  }
  if (result) {
    return absl::UnavailableError(absl::StrCat("http://", host, ":", port, ": ", result.message()));
  }
  servenv::HttpResponse answer{.status = static_cast<int>(parser.get().result_int()), .body = parser.get().body()};
  for (const auto& field : parser.get()) {
    std::string name(field.name_string().data(), field.name_string().size());
    std::string value(field.value().data(), field.value().size());
    if (absl::EqualsIgnoreCase(name, "content-type")) {
      answer.content_type = value;
    } else if (!StaysHere(name)) {
      answer.headers.emplace(name, value);
    }
  }
  return answer;
}

}  // namespace mg::multiadmin
