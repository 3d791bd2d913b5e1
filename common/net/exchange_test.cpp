#include "common/net/exchange.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <thread>

#include "absl/time/clock.h"
#include "common/fs/unique_fd.h"
#include "common/net/http.h"

namespace mg::net {
namespace {

/// Answers each connection with the same bytes after the first bytes of a request came, then closes.
class CannedServer {
 public:
  CannedServer(std::string answer, int connections) : answer_(std::move(answer)) {
    fd_ = UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(bind(fd_.get(), reinterpret_cast<sockaddr*>(&name), sizeof(name)), 0);
    EXPECT_EQ(listen(fd_.get(), 16), 0);
    socklen_t size = sizeof(name);
    getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&name), &size);
    port_ = ntohs(name.sin_port);
    thread_ = std::thread([this, connections] {
      for (int i = 0; i < connections; ++i) {
        UniqueFd peer(accept(fd_.get(), nullptr, nullptr));
        char buffer[1024];
        if (recv(peer.get(), buffer, sizeof(buffer), 0) > 0) {
          (void)send(peer.get(), answer_.data(), answer_.size(), MSG_NOSIGNAL);
        }
      }
    });
  }
  ~CannedServer() { thread_.join(); }
  int port() const { return port_; }

 private:
  std::string answer_;
  UniqueFd fd_;
  int port_ = 0;
  std::thread thread_;
};

absl::Time In(int milliseconds) { return absl::Now() + absl::Milliseconds(milliseconds); }

TEST(HttpGet_, WhenTheServerAnswersWithALength_GivesStatusAndBody) {
  CannedServer server("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 6\r\n\r\nnot ok", 1);
  std::vector<Exchange> exchanges{HttpGet(server.port(), "/ready")};
  RunExchanges(&exchanges, In(5000));
  absl::StatusOr<HttpReply> reply = ReplyOf(exchanges[0]);
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->status, 503);
  EXPECT_EQ(reply->body, "not ok");
}

TEST(HttpGet_, WhenTheServerGivesNoLength_ReadsToTheEnd) {
  CannedServer server("HTTP/1.0 200 OK\r\n\r\nok", 1);
  std::vector<Exchange> exchanges{HttpGet(server.port(), "/live")};
  RunExchanges(&exchanges, In(5000));
  absl::StatusOr<HttpReply> reply = ReplyOf(exchanges[0]);
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->status, 200);
  EXPECT_EQ(reply->body, "ok");
}

TEST(HttpGet_, WhenTheServerSpeaksSomethingElse_IsAnError) {
  CannedServer server("SSH-2.0-x\r\n\r\n", 1);
  std::vector<Exchange> exchanges{HttpGet(server.port(), "/live")};
  RunExchanges(&exchanges, In(5000));
  EXPECT_FALSE(ReplyOf(exchanges[0]).ok());
}

TEST(RunExchanges_, WhenOneServerIsAwayAndOneMute_TheOthersAreStillAnswered) {
  CannedServer server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 2);
  UniqueFd mute(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(bind(mute.get(), reinterpret_cast<sockaddr*>(&name), sizeof(name)), 0);
  socklen_t size = sizeof(name);
  getsockname(mute.get(), reinterpret_cast<sockaddr*>(&name), &size);
  int port = ntohs(name.sin_port);
  std::vector<Exchange> exchanges{HttpGet(server.port(), "/"), HttpGet(port, "/"), HttpGet(server.port(), "/")};
  RunExchanges(&exchanges, In(5000));
  EXPECT_TRUE(exchanges[0].status.ok());
  EXPECT_TRUE(absl::IsUnavailable(exchanges[1].status)) << exchanges[1].status;
  EXPECT_TRUE(exchanges[2].status.ok());

  ASSERT_EQ(listen(mute.get(), 4), 0);
  exchanges = {HttpGet(port, "/")};
  RunExchanges(&exchanges, In(30));
  EXPECT_TRUE(absl::IsDeadlineExceeded(exchanges[0].status)) << exchanges[0].status;
  EXPECT_TRUE(TryConnect(port, In(1000)).ok());
}

}  // namespace
}  // namespace mg::net
