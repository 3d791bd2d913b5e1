#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "absl/strings/str_cat.h"
#include "common/fs/unique_fd.h"
#include "common/servenv/http_server.h"
#include "common/servenv/pages.h"
#include "common/servenv/server_flags.h"

namespace mg::servenv {
namespace {

HttpResponse Ask(const Pages& pages, const std::string& path, const std::string& method = "GET") {
  HttpRequest request;
  request.method = method;
  request.path = path;
  return pages.Answer(request);
}

/// What a server on loopback answers to these bytes, until it closes.
std::string Exchange(int port, const std::string& request) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL), static_cast<ssize_t>(request.size()));
  std::string answer;
  std::array<char, 4096> buffer;
  for (ssize_t n; (n = ::recv(fd.get(), buffer.data(), buffer.size(), 0)) > 0;) {
    answer.append(buffer.data(), static_cast<size_t>(n));
  }
  return answer;
}

TEST(PagesTest, LiveAndReady) {
  Pages pages;
  EXPECT_EQ(Ask(pages, "/live").status, 200);
  EXPECT_EQ(Ask(pages, "/ready").status, 200);
  bool ready = false;
  pages.SetReady([&] { return ready; });
  EXPECT_EQ(Ask(pages, "/ready").status, 503);
  EXPECT_NE(Ask(pages, "/ready").body.find("not ok"), std::string::npos);
  ready = true;
  EXPECT_EQ(Ask(pages, "/ready").status, 200);
  EXPECT_EQ(Ask(pages, "/live").headers.find("Access-Control-Allow-Origin")->second, "*");
}

TEST(PagesTest, StatusPageCatchesAll) {
  Pages pages;
  EXPECT_EQ(Ask(pages, "/").status, 404);
  EXPECT_EQ(Ask(pages, "/x").status, 404);
  pages.SetStatus([] { return "<p>fine</p>"; });
  EXPECT_NE(Ask(pages, "/x").body.find("<p>fine</p>"), std::string::npos);
  EXPECT_EQ(Ask(pages, "/x").content_type, "text/html; charset=utf-8");
}

TEST(PagesTest, LaterRoutesWinAndStarsMatchBelow) {
  Pages pages;
  pages.Add("*", "/api/*", [](const HttpRequest&) { return HttpResponse{.body = "all"}; });
  pages.Add("POST", "/api/v1/*", [](const HttpRequest& request) { return HttpResponse{.body = request.path}; });
  pages.Add("GET", "/live", [](const HttpRequest&) { return HttpResponse{.body = "mine"}; });
  EXPECT_EQ(Ask(pages, "/api/x").body, "all");
  EXPECT_EQ(Ask(pages, "/api/v1/x").body, "all");
  EXPECT_EQ(Ask(pages, "/api/v1/x", "POST").body, "/api/v1/x");
  EXPECT_EQ(Ask(pages, "/live").body, "mine");
  EXPECT_EQ(Ask(pages, "/api/x", "OPTIONS").status, 204);
}

TEST(PagesTest, Config) {
  Pages pages;
  pages.SetConfig([] {
    return std::vector<std::pair<std::string, std::string>>{{"cell", "a<b"}, {"path", "\"q\"\n"}};
  });
  EXPECT_NE(Ask(pages, "/config").body.find("<td>cell</td><td>a&lt;b</td>"), std::string::npos);
  HttpRequest request;
  request.method = "GET";
  request.path = "/config";
  request.query.emplace("format", "json");
  std::string values = "{\"cell\":\"a<b\",\"path\":\"\\\"q\\\"\\u000a\"}";
  EXPECT_EQ(pages.Answer(request).body,
            absl::StrCat("{\"command_line_flags\":", values, ",\"viper_config\":", values, "}\n"));
}

TEST(HttpServerTest, ServesOnceAndNotTwiceOnOnePort) {
  HttpRequest seen;
  HttpServer server([&](const HttpRequest& request) {
    seen = request;
    return HttpResponse{.status = 201, .content_type = "text/x", .body = "hello", .headers = {{"X-One", "1"}}};
  });
  absl::StatusOr<int> port = server.Start("127.0.0.1", 0);
  ASSERT_TRUE(port.ok()) << port.status();
  std::string answer = Exchange(*port,
                                "POST /a/b?x=1%202&y= HTTP/1.1\r\nHost: h\r\nX-Two: Z\r\nContent-Length: 4\r\n"
                                "Connection: close\r\n\r\nbody");
  EXPECT_EQ(answer.substr(0, 12), "HTTP/1.1 201");
  EXPECT_NE(answer.find("X-One: 1"), std::string::npos);
  EXPECT_EQ(answer.substr(answer.size() - 5), "hello");
  EXPECT_EQ(seen.method, "POST");
  EXPECT_EQ(seen.path, "/a/b");
  EXPECT_EQ(seen.query.find("x")->second, "1 2");
  EXPECT_EQ(seen.headers.find("x-two")->second, "Z");
  EXPECT_EQ(seen.body, "body");

  HttpServer second([](const HttpRequest&) { return HttpResponse(); });
  absl::StatusOr<int> refused = second.Start("127.0.0.1", *port);
  EXPECT_TRUE(absl::IsUnavailable(refused.status())) << refused.status();
  server.Stop();
  server.Stop();
  EXPECT_TRUE(second.Start("127.0.0.1", *port).ok());
}

TEST(ServerFlagsTest, RefusesWhatCannotHoldTogether) {
  EXPECT_TRUE(ServerFlags().Check().ok());
  struct Case {
    const char* wanted;
    void (*change)(ServerFlags*);
  };
  for (const Case& c : std::initializer_list<Case>{
           {"--grpc-crl", [](ServerFlags* f) { f->grpc_crl = "x"; }},
           {"--grpc-enable-optional-tls", [](ServerFlags* f) { f->grpc_optional_tls = true; }},
           {"--grpc-auth-mode", [](ServerFlags* f) { f->grpc_auth_mode = "static"; }},
           {"--grpc-ca", [](ServerFlags* f) { f->mtls_allowed = "a"; }},
           {"--grpc-key", [](ServerFlags* f) { f->grpc_cert = "a"; }},
           {"--grpc-cert", [](ServerFlags* f) { f->grpc_ca = "a"; }},
       }) {
    ServerFlags flags;
    c.change(&flags);
    absl::Status status = flags.Check();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << c.wanted;
    EXPECT_NE(status.message().find(c.wanted), absl::string_view::npos) << status;
  }
  ServerFlags flags;
  flags.mtls_allowed = "one::two";
  EXPECT_EQ(flags.AllowedNames(), (std::vector<std::string>{"one", "two"}));
}

}  // namespace
}  // namespace mg::servenv
