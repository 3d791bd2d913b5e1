#include "components/multipooler/manager/postmaster_probe.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "common/fs/fs.h"

namespace mg::multipooler {
namespace {

constexpr absl::Duration kInterval = absl::Seconds(1);
constexpr absl::Duration kLimit = absl::Seconds(1);

/// A socket where PostgreSQL's would be; time is the test's own.
class PostmasterProbeTest : public testing::Test {
 protected:
  PostmasterProbeTest() {
    char name[] = "/tmp/mg-probe-XXXXXX";
    postgres_.socket_directory = mkdtemp(name);
    postgres_.port = 5432;
  }
  ~PostmasterProbeTest() override { (void)RemoveTree(postgres_.socket_directory); }

  void Listen(int queue) {
    listener_.Reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::string path = postgres_.socket_directory + "/.s.PGSQL.5432";
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    ASSERT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(listen(listener_.get(), queue), 0);
  }

  /// Takes the connection of the try under way, and answers as PostgreSQL does.
  void Answer() {
    UniqueFd client(accept(listener_.get(), nullptr, nullptr));
    ASSERT_TRUE(client.valid());
    char question[8];
    ASSERT_EQ(recv(client.get(), question, sizeof question, MSG_WAITALL), 8);
    EXPECT_EQ(std::memcmp(question, "\0\0\0\x08\x04\xd2\x16\x2f", 8), 0);
    ASSERT_EQ(send(client.get(), "N", 1, MSG_NOSIGNAL), 1);
  }

  /// Steps as its owner would; the time until it is frozen, or `most`.
  absl::Duration StepUntilFrozen(PostmasterProbe* probe, absl::Duration most) {
    absl::Time begun = now_;
    while (!probe->frozen() && now_ - begun < most) {
      now_ += probe->pause();
      probe->Step(now_);
    }
    return now_ - begun;
  }

  PostgresEndpoint postgres_;
  UniqueFd listener_;
  absl::Time now_ = absl::FromUnixSeconds(1000);
};

TEST_F(PostmasterProbeTest, WhenItAnswers_IsTriedOncePerIntervalAndNeverFrozen) {
  Listen(8);
  PostmasterProbe probe(postgres_, kInterval, kLimit);
  for (int i = 0; i < 5; ++i) {
    probe.Step(now_);
    ASSERT_TRUE(probe.trying());
    Answer();
    probe.Step(now_ + absl::Milliseconds(1));
    EXPECT_FALSE(probe.trying());
    EXPECT_FALSE(probe.frozen());
    now_ += kInterval;
  }
}

TEST_F(PostmasterProbeTest, WhenTwoTriesAreSilent_IsFrozen_AndNoMoreAfterAnAnswer) {
  Listen(8);
  PostmasterProbe probe(postgres_, kInterval, kLimit);
  probe.Step(now_);
  EXPECT_EQ(StepUntilFrozen(&probe, absl::Minutes(1)), 2 * kLimit);
  probe.Reset();
  EXPECT_FALSE(probe.frozen());
  EXPECT_EQ(probe.fd(), -1);

  // One silent try is none, when the next one is answered.
  probe.Step(now_);
  StepUntilFrozen(&probe, kLimit);
  UniqueFd given_up[4];
  for (UniqueFd& client : given_up) {
    client.Reset(accept(listener_.get(), nullptr, nullptr));
  }
  Answer();
  probe.Step(now_);
  StepUntilFrozen(&probe, kLimit);
  EXPECT_FALSE(probe.frozen());
}

TEST_F(PostmasterProbeTest, WhenItsQueueIsFullOfOthers_TheyWaitAndSoDoesIt) {
  Listen(0);
  PostmasterProbe filler(postgres_, kInterval, kLimit);
  filler.Step(now_);
  PostmasterProbe probe(postgres_, kInterval, kLimit);
  probe.Step(now_);
  EXPECT_TRUE(probe.trying());
  EXPECT_EQ(probe.fd(), -1);
  EXPECT_EQ(StepUntilFrozen(&probe, absl::Minutes(1)), 2 * kLimit);
}

TEST_F(PostmasterProbeTest, WhenThisProcessStoodStill_TheTimeIsNotHeldAgainstPostgres) {
  Listen(8);
  PostmasterProbe probe(postgres_, kInterval, kLimit);
  probe.Step(now_);
  now_ += absl::Minutes(5);
  probe.Step(now_);
  EXPECT_TRUE(probe.trying());
  Answer();
  probe.Step(now_);  // the next one is due
  EXPECT_FALSE(probe.frozen());
  EXPECT_EQ(StepUntilFrozen(&probe, absl::Minutes(1)), 2 * kLimit) << "counted from here";
}

TEST_F(PostmasterProbeTest, WhenItIsStoppedBySignal_IsTriedAtOnce) {
  int listens[2];
  ASSERT_EQ(pipe(listens), 0);
  pid_t child = fork();
  if (child == 0) {
    Listen(8);
    (void)!write(listens[1], "", 1);
    Answer();
    pause();
    _exit(0);
  }
  char byte = 0;
  ASSERT_EQ(read(listens[0], &byte, 1), 1);
  PostmasterProbe probe(postgres_, absl::Hours(1), kLimit);
  probe.Step(now_);
  pollfd answer = {probe.fd(), POLLIN, 0};
  ASSERT_EQ(poll(&answer, 1, 60000), 1);
  now_ += absl::Seconds(1);
  probe.Step(now_);
  EXPECT_FALSE(probe.trying()) << "the next one is due in an hour";
  kill(child, SIGSTOP);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, WUNTRACED), child);
  now_ += absl::Seconds(1);
  probe.Step(now_);
  EXPECT_TRUE(probe.trying());
  EXPECT_EQ(StepUntilFrozen(&probe, absl::Minutes(1)), 2 * kLimit);
  kill(child, SIGKILL);
  ASSERT_EQ(waitpid(child, &status, 0), child);
}

TEST_F(PostmasterProbeTest, WhenNobodyListensOrItIsReachedByTcp_SaysNothing) {
  PostmasterProbe gone(postgres_, kInterval, kLimit);
  gone.Step(now_);
  EXPECT_FALSE(gone.trying());
  postgres_.socket_directory.clear();
  PostmasterProbe tcp(postgres_, kInterval, kLimit);
  tcp.Step(now_);
  EXPECT_FALSE(tcp.trying());
  EXPECT_EQ(StepUntilFrozen(&tcp, absl::Seconds(10)), absl::Seconds(10));
}

TEST_F(PostmasterProbeTest, WhenLetGo_TheConnectionIsClosedAndTheNextTryIsANewOne) {
  Listen(8);
  PostmasterProbe probe(postgres_, kInterval, kLimit);
  probe.Step(now_);
  UniqueFd client(accept(listener_.get(), nullptr, nullptr));
  char question[16];
  ASSERT_EQ(recv(client.get(), question, sizeof question, 0), 8);
  probe.LetGo();
  EXPECT_EQ(recv(client.get(), question, sizeof question, 0), 0) << "it has ended";
  now_ += kInterval;
  probe.Step(now_);
  Answer();
  probe.Step(now_);
  EXPECT_FALSE(probe.frozen());
}

}  // namespace
}  // namespace mg::multipooler
