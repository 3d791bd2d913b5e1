#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>

#include "absl/time/clock.h"
#include "agentd/provisioners/local/faults/disk_fill.h"
#include "agentd/provisioners/local/faults/fault.h"
#include "common/process/process_id.h"

namespace mg::local {
namespace {

constexpr std::uint64_t kGiB = 1ull << 30;

ProcessSocket SocketAt(int local, int peer, bool listening = false) {
  ProcessSocket socket{.pid = 1};
  socket.listening = listening;
  socket.local = {.address = "127.0.0.1", .port = local};
  socket.peer = {.address = "127.0.0.1", .port = peer};
  return socket;
}

TEST(MustCut, ListeningSockets_AreCutUnlessTheirPortStaysOpen) {
  Sides sides{.open_ports = {15432}, .same_side_ports = {}, .own_sockets = {}};
  EXPECT_TRUE(MustCut(SocketAt(25432, 0, true), sides));
  EXPECT_FALSE(MustCut(SocketAt(15432, 0, true), sides));
  EXPECT_FALSE(MustCut(SocketAt(15432, 50000), sides)) << "a client that came in before";
}

TEST(MustCut, Connections_StayOnTheirOwnSide) {
  Sides sides{.open_ports = {}, .same_side_ports = {17000}, .own_sockets = {{.address = "127.0.0.1", .port = 40001}}};
  EXPECT_FALSE(MustCut(SocketAt(40000, 17000), sides)) << "to a listener of its own side";
  EXPECT_FALSE(MustCut(SocketAt(16000, 40001), sides)) << "from a process of its own side";
  EXPECT_TRUE(MustCut(SocketAt(40000, 2379), sides));
  EXPECT_TRUE(MustCut(SocketAt(40000, 0), sides)) << "not connected yet";
}

TEST(MayFill, OnlySmallFileSystemsOfTheirOwn_AreFilled) {
  FileSystemFacts facts{.mount_point = "/srv/data", .type = "tmpfs", .source = "tmpfs", .total = kGiB, .free = kGiB};
  EXPECT_TRUE(MayFill(facts, 0).ok());
  facts.total = 11 * kGiB;
  EXPECT_FALSE(MayFill(facts, 0).ok());
  facts = {.mount_point = "/", .type = "tmpfs", .source = "tmpfs", .total = kGiB, .free = kGiB};
  EXPECT_FALSE(MayFill(facts, 0).ok());
  facts = {.mount_point = "/srv/data", .type = "ext4", .source = "/dev/sda1", .total = 5 * kGiB, .free = 5 * kGiB};
  EXPECT_FALSE(MayFill(facts, 0).ok());
}

TEST(MayFill, ABound_LeavesEnough) {
  FileSystemFacts facts{
      .mount_point = "/", .type = "ext4", .source = "/dev/sda1", .total = 100 * kGiB, .free = 50 * kGiB};
  EXPECT_TRUE(MayFill(facts, 5 * kGiB).ok());
  EXPECT_FALSE(MayFill(facts, 45 * kGiB).ok());
}

/// A child process that sends back what it gets over one connection, and accepts others.
class Echo {
 public:
  Echo() {
    UniqueFd listener(::socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener.get(), 8), 0);
    EXPECT_EQ(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    port = ntohs(address.sin_port);
    pid = ::fork();
    if (pid == 0) {
      UniqueFd connection(::accept(listener.get(), nullptr, nullptr));
      char byte = 0;
      while (::read(connection.get(), &byte, 1) == 1 && ::write(connection.get(), &byte, 1) == 1) {
      }
      ::_exit(0);
    }
  }
  ~Echo() {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  UniqueFd Connect() const {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    timeval bound = {.tv_sec = 0, .tv_usec = 300000};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof bound);
    if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      fd.Reset();
    }
    return fd;
  }
  pid_t pid = 0;
  int port = 0;
};

bool Answers(const UniqueFd& fd, int milliseconds) {
  pollfd ready = {.fd = fd.get(), .events = POLLIN};
  char byte = 0;
  return ::poll(&ready, 1, milliseconds) == 1 && ::read(fd.get(), &byte, 1) == 1;
}

FaultRecord RecordOf(const Echo& echo, const std::string& kind) {
  FaultRecord record;
  record.set_kind(kind);
  auto* target = record.add_targets();
  target->set_pid(echo.pid);
  target->set_start_ticks(IdentifyProcess(echo.pid)->start_ticks);
  return record;
}

TEST(Fault, APartition_CutsOldAndNewConnections_AndMendsThem) {
  Echo echo;
  UniqueFd connection = echo.Connect();
  ASSERT_EQ(::write(connection.get(), "a", 1), 1);
  ASSERT_TRUE(Answers(connection, 5000));

  Fault fault(RecordOf(echo, "partition"));
  ASSERT_TRUE(fault.Make(absl::InfiniteFuture()).ok());
  ASSERT_EQ(::write(connection.get(), "b", 1), 1);
  EXPECT_FALSE(Answers(connection, 300));
  EXPECT_FALSE(echo.Connect().valid());
  EXPECT_TRUE(fault.KeepUp().ok());

  // By another object, as after the death of whoever made it.
  ASSERT_TRUE(Fault(RecordOf(echo, "partition")).Undo().ok());
  EXPECT_TRUE(Answers(connection, 10000)) << "TCP sends again what was dropped";
  EXPECT_TRUE(echo.Connect().valid());
}

TEST(Fault, APartitionOfAClient_LeavesTheServersOtherConnections) {
  // A server (this process) with two clients; one of them is cut off.
  UniqueFd listener(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(listener.get(), 8), 0);
  ASSERT_EQ(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  pid_t clients[2] = {};
  UniqueFd connections[2];
  for (int i = 0; i < 2; ++i) {
    clients[i] = ::fork();
    if (clients[i] == 0) {
      listener.Reset();
      UniqueFd client(::socket(AF_INET, SOCK_STREAM, 0));
      char byte = 0;
      if (::connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
        while (::read(client.get(), &byte, 1) == 1 && ::write(client.get(), &byte, 1) == 1) {
        }
      }
      ::_exit(0);
    }
    connections[i].Reset(::accept(listener.get(), nullptr, nullptr));
  }
  FaultRecord record;
  record.set_kind("partition");
  record.add_targets()->set_pid(clients[0]);
  record.mutable_targets(0)->set_start_ticks(IdentifyProcess(clients[0])->start_ticks);
  record.add_other_side()->set_pid(::getpid());
  record.mutable_other_side(0)->set_start_ticks(IdentifyProcess(::getpid())->start_ticks);
  Fault fault(record);
  ASSERT_TRUE(fault.Make(absl::InfiniteFuture()).ok());
  ASSERT_EQ(::write(connections[0].get(), "a", 1), 1);
  ASSERT_EQ(::write(connections[1].get(), "b", 1), 1);
  EXPECT_TRUE(Answers(connections[1], 5000)) << "not cut off";
  EXPECT_FALSE(Answers(connections[0], 300));
  ASSERT_TRUE(fault.Undo().ok());
  EXPECT_TRUE(Answers(connections[0], 10000));
  for (pid_t client : clients) {
    ::kill(client, SIGKILL);
    ::waitpid(client, nullptr, 0);
  }
}

TEST(Fault, AFreeze_StopsAndContinues) {
  Echo echo;
  UniqueFd connection = echo.Connect();
  Fault fault(RecordOf(echo, "freeze"));
  ASSERT_TRUE(fault.Make(absl::InfiniteFuture()).ok());
  ASSERT_EQ(::write(connection.get(), "a", 1), 1);
  EXPECT_FALSE(Answers(connection, 200));
  ASSERT_TRUE(fault.Undo().ok());
  EXPECT_TRUE(Answers(connection, 5000));
}

TEST(Fault, ARecord_ComesBackAsItWasWritten) {
  std::string file = testing::TempDir() + "/chaos.json";
  Echo echo;
  FaultRecord record = RecordOf(echo, "slow");
  ASSERT_TRUE(WriteFaultRecord(file, record).ok());
  absl::StatusOr<FaultRecord> read = ReadFaultRecord(file);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->SerializeAsString(), record.SerializeAsString());
  std::filesystem::remove(file);
  EXPECT_TRUE(absl::IsNotFound(ReadFaultRecord(file).status()));
}

TEST(FillDisk, StopsAtTheBound_AndIsUndone) {
  std::string file = testing::TempDir() + "/fill";
  absl::StatusOr<std::uint64_t> size = FillDisk(file, 3 << 20, [] { return false; });
  ASSERT_TRUE(size.ok());
  EXPECT_EQ(*size, 3u << 20);
  EXPECT_EQ(std::filesystem::file_size(file), 3u << 20);
  FaultRecord record;
  record.set_kind("fill-disk");
  record.set_fill_file(file);
  ASSERT_TRUE(Fault(record).Undo().ok());
  ASSERT_TRUE(Fault(record).Undo().ok());
  EXPECT_FALSE(std::filesystem::exists(file));
}

}  // namespace
}  // namespace mg::local
