#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <thread>

#include "common/relay/pump.h"
#include "common/relay/tls_link.h"

namespace mg::relay {
namespace {

namespace asio = boost::asio;
using Socket = asio::local::stream_protocol::socket;
using boost::system::error_code;

/// client -- from ==pump==> to -- server
class PumpTest : public ::testing::Test {
 protected:
  PumpTest() {
    asio::local::connect_pair(client_, from_);
    asio::local::connect_pair(to_, server_);
  }

  template <typename Filter>
  void Start(Filter filter) {
    asio::co_spawn(loop_, Pump(from_, to_, scratch_, filter, &writing_),
                   [this](std::exception_ptr failed, error_code result) {
                     EXPECT_EQ(failed, nullptr);
                     ended_ = true;
                     result_ = result;
                   });
  }
  static absl::string_view All(absl::string_view read, bool*) { return read; }
  /// Runs what can run now, without waiting.
  void Turn() {
    loop_.restart();
    loop_.poll();
  }
  /// Runs until the pump has ended, within a bound.
  void RunToTheEnd() {
    loop_.restart();
    while (!ended_ && loop_.run_one_for(std::chrono::seconds(20)) != 0) {
    }
    EXPECT_TRUE(ended_);
  }
  std::string ReadAll() {
    std::string all;
    error_code error;
    asio::read(server_, asio::dynamic_buffer(all), error);
    return all;
  }

  asio::io_context loop_;
  Socket client_{loop_}, from_{loop_}, to_{loop_}, server_{loop_};
  Scratch scratch_;
  bool writing_ = false, ended_ = false;
  error_code result_;
};

TEST_F(PumpTest, CarriesUntilTheEnd) {
  Start(All);
  asio::write(client_, asio::buffer(std::string("one")));
  Turn();
  char three[3];
  EXPECT_EQ(asio::read(server_, asio::buffer(three)), 3u);
  EXPECT_EQ(std::string(three, 3), "one");
  EXPECT_FALSE(ended_);
  client_.close();
  RunToTheEnd();
  EXPECT_EQ(result_, asio::error::eof);
}

TEST_F(PumpTest, MuchMoreThanAnyBuffer_WithASlowReader) {
  std::string sent(5 << 20, '\0');
  for (size_t i = 0; i < sent.size(); ++i) {
    sent[i] = static_cast<char>(i * 2654435761u >> 16);
  }
  Start(All);
  std::thread writer([&] {
    error_code error;
    asio::write(client_, asio::buffer(sent), error);
    EXPECT_FALSE(error);
    client_.close();
  });
  // Nobody reads yet: what the sockets do not take waits in the pump, which reads no more.
  while (!writing_) {
    Turn();
  }
  std::string received;
  std::thread reader([&] { received = ReadAll(); });
  RunToTheEnd();
  to_.close();
  writer.join();
  reader.join();
  EXPECT_FALSE(writing_);
  EXPECT_TRUE(received == sent);
}

TEST_F(PumpTest, FilterDropsChangesAndEnds) {
  int calls = 0;
  Start([&](absl::string_view read, bool* last) -> absl::string_view {
    ++calls;
    *last = read == "last";
    return read == "drop" ? absl::string_view() : *last ? "END" : read;
  });
  for (const char* word : {"keep", "drop", "last"}) {
    asio::write(client_, asio::buffer(std::string(word)));
    Turn();
  }
  EXPECT_TRUE(ended_);
  EXPECT_FALSE(result_);
  EXPECT_EQ(calls, 3);
  to_.close();
  EXPECT_EQ(ReadAll(), "keepEND");
}

TEST_F(PumpTest, WriteErrorEndsIt) {
  Start(All);
  server_.close();
  asio::write(client_, asio::buffer(std::string("into the void")));
  RunToTheEnd();
  EXPECT_EQ(result_, asio::error::broken_pipe);
}

TEST_F(PumpTest, CloseOfTheSourceEndsIt) {
  Start(All);
  Turn();
  from_.close();
  RunToTheEnd();
  EXPECT_EQ(result_, asio::error::operation_aborted);
}

TEST(TlsIdentityTest, SaysWhichFileIsBad) {
  EXPECT_TRUE(absl::IsInvalidArgument(TlsIdentity::Load({}).status()));
  auto missing = TlsIdentity::Load({.certificate = "/nonexistent/c", .key = "/nonexistent/k", .authority = "/x"});
  EXPECT_TRUE(absl::IsInvalidArgument(missing.status()));
  EXPECT_NE(missing.status().message().find("certificate file /nonexistent/c"), absl::string_view::npos)
      << missing.status();
}

}  // namespace
}  // namespace mg::relay
