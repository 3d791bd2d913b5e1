// A shim that was launched before an upgrade goes on with the old program, and the new agent's client has to get along
// with it: what it finds in the files, and what both say on the socket.
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <mutex>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/fs/fs.h"
#include "common/process/process_id.h"
#include "common/shim_protocol/shim.h"
#include "common/shim_record/record.h"
#include "gtest/gtest.h"

namespace mg::shim {
namespace {

/// Plays a shim of another version: its files have only what is required, or more than is known today; its hello has
/// its number; of the commands it knows `signal` and `stop`.
class OtherShim {
 public:
  OtherShim(std::string run_dir, std::string hello, bool of_the_future) : run_dir_(std::move(run_dir)) {
    char sleep[] = "sleep", seconds[] = "1000";
    char* argv[] = {sleep, seconds, nullptr};
    EXPECT_EQ(::posix_spawnp(&child_, "sleep", nullptr, nullptr, argv, environ), 0);
    absl::StatusOr<ProcessId> me = IdentifyProcess(::getpid()), child = IdentifyProcess(child_);
    EXPECT_TRUE(me.ok() && child.ok());
    Record launch;
    launch.Add("name", "old/zone1");
    launch.Add("generation", 7);
    launch.Add("argv", "/bin/sleep");
    Record identity;
    identity.Add("generation", 7);
    identity.Add("boot_id", BootId());
    identity.Add("shim_pid", ::getpid());
    identity.Add("shim_start", static_cast<std::int64_t>(me->start_ticks));
    identity.Add("child_pid", child_);
    identity.Add("child_start", static_cast<std::int64_t>(child->start_ticks));
    if (of_the_future) {
      launch.Add("a_field_of_tomorrow", "x");
      identity.Add("a_field_of_tomorrow", "y");
    }
    EXPECT_EQ(WriteRecord(JoinPath(run_dir_, "launch"), launch, false), 0);
    EXPECT_EQ(WriteRecord(JoinPath(run_dir_, "identity"), identity, false), 0);
    listener_.Reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, JoinPath(run_dir_, "control.sock").c_str(), sizeof address.sun_path - 1);
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_.get(), 4), 0);
    thread_ = std::thread([this, hello] { Serve(hello); });
  }
  ~OtherShim() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    ::kill(child_, SIGKILL);
    thread_.join();
    ::waitpid(child_, nullptr, 0);
  }
  pid_t child() const { return child_; }
  std::string received() {
    std::lock_guard lock(mutex_);
    return received_;
  }

 private:
  void Serve(const std::string& hello) {
    UniqueFd peer(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!peer.valid()) {
      return;
    }
    (void)!::send(peer.get(), hello.data(), hello.size(), MSG_NOSIGNAL);
    char buffer[512];
    for (;;) {
      ssize_t n = ::recv(peer.get(), buffer, sizeof buffer, 0);
      if (n <= 0) {
        return;
      }
      std::string line(buffer, static_cast<size_t>(n));
      {
        std::lock_guard lock(mutex_);
        received_ += line;
      }
      if (line.compare(0, 5, "stop ") == 0) {
        ::kill(child_, SIGTERM);
        siginfo_t info = {};
        ::waitid(P_PID, static_cast<id_t>(child_), &info, WEXITED | WNOWAIT);
        std::string exited = "news of tomorrow\nexited 0 15 1000 2000 7\n";
        (void)!::send(peer.get(), exited.data(), exited.size(), MSG_NOSIGNAL);
        return;
      }
    }
  }

  const std::string run_dir_;
  pid_t child_ = 0;
  UniqueFd listener_;
  std::mutex mutex_;
  std::string received_;
  std::thread thread_;
};

class ShimVersionTest : public testing::TestWithParam<std::pair<std::string, bool>> {
 protected:
  ShimVersionTest() {
    char name[] = "/tmp/mg-shimv-XXXXXX";
    run_dir_ = ::mkdtemp(name);
  }
  ~ShimVersionTest() override { EXPECT_TRUE(RemoveTree(run_dir_).ok()); }
  std::string run_dir_;
};

TEST_P(ShimVersionTest, IsRecognisedSignalledAndStopped) {
  OtherShim other(run_dir_, GetParam().first, GetParam().second);
  ShimState state = ReadShimState(run_dir_);
  EXPECT_EQ(state.problem, "");
  EXPECT_TRUE(state.shim_alive);
  ASSERT_TRUE(state.child_alive);
  EXPECT_EQ(state.child->pid, other.child());
  ASSERT_TRUE(state.launch);
  EXPECT_EQ(state.launch->generation, 7);

  absl::StatusOr<std::unique_ptr<ShimClient>> client = ShimClient::Connect(run_dir_);
  ASSERT_TRUE(client.ok()) << client.status();
  EXPECT_TRUE((*client)->Signal(SIGCONT).ok());
  EXPECT_TRUE(absl::IsDeadlineExceeded((*client)->WaitExit(absl::Now() + absl::Milliseconds(50)).status()));
  ASSERT_TRUE((*client)->Stop({{.signal = SIGTERM, .wait = absl::Seconds(5)}}).ok());
  absl::StatusOr<ExitRecord> exit = (*client)->WaitExit(absl::Now() + absl::Seconds(20));
  ASSERT_TRUE(exit.ok()) << exit.status();
  EXPECT_EQ(exit->signal, 15);
  EXPECT_EQ(exit->generation, 7);
  EXPECT_EQ(other.received().substr(0, 12), "signal 18 0\n") << "the words of the first version";
}

INSTANTIATE_TEST_SUITE_P(Versions, ShimVersionTest,
                         testing::Values(std::pair<std::string, bool>{"hello 0 7\n", false},
                                         std::pair<std::string, bool>{"", false},
                                         std::pair<std::string, bool>{"hello 1 7\n", false},
                                         std::pair<std::string, bool>{"hello 9 7 and more\n", true}));

}  // namespace
}  // namespace mg::shim
