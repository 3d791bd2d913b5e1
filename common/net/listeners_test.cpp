#include "common/net/listeners.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "common/fs/unique_fd.h"

namespace mg::net {
namespace {

/// A socket bound to a free port of `address`, listening or not.
UniqueFd Bound(int family, const sockaddr* address, socklen_t size, bool listens, int* port) {
  UniqueFd fd(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (bind(fd.get(), address, size) != 0 || (listens && listen(fd.get(), 1) != 0)) {
    return UniqueFd();
  }
  sockaddr_storage name{};
  socklen_t name_size = sizeof(name);
  getsockname(fd.get(), reinterpret_cast<sockaddr*>(&name), &name_size);
  *port = ntohs(family == AF_INET ? reinterpret_cast<sockaddr_in*>(&name)->sin_port
                                  : reinterpret_cast<sockaddr_in6*>(&name)->sin6_port);
  return fd;
}

UniqueFd Bound4(in_addr_t where, bool listens, int* port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(where);
  return Bound(AF_INET, reinterpret_cast<sockaddr*>(&address), sizeof(address), listens, port);
}

class ListenersTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (absl::StatusOr<std::set<int>> ports = LoopbackListeners(); !ports.ok()) {
      GTEST_SKIP() << ports.status();
    }
  }
};

TEST_F(ListenersTest, WhoListensOnLoopbackOrEverywhere_IsThere_UntilItEnds) {
  int loopback = 0, everywhere = 0, bound = 0, elsewhere = 0;
  UniqueFd one = Bound4(INADDR_LOOPBACK, true, &loopback);
  UniqueFd two = Bound4(INADDR_ANY, true, &everywhere);
  UniqueFd three = Bound4(INADDR_LOOPBACK, false, &bound);
  UniqueFd four = Bound4(INADDR_LOOPBACK + 1, true, &elsewhere);  // 127.0.0.2
  std::set<int> ports = LoopbackListeners().value();
  EXPECT_EQ(ports.count(loopback), 1U);
  EXPECT_EQ(ports.count(everywhere), 1U);
  EXPECT_EQ(ports.count(bound), 0U) << "a connection would be refused";
  EXPECT_EQ(ports.count(elsewhere), 0U);
  one.Reset();
  EXPECT_EQ(LoopbackListeners()->count(loopback), 0U);
}

TEST_F(ListenersTest, Ipv6Everywhere_TakesIpv4Too) {
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  int port = 0;
  UniqueFd fd = Bound(AF_INET6, reinterpret_cast<sockaddr*>(&address), sizeof(address), true, &port);
  if (!fd.valid()) {
    GTEST_SKIP() << "no IPv6 here";
  }
  EXPECT_EQ(LoopbackListeners()->count(port), 1U);
}

}  // namespace
}  // namespace mg::net
