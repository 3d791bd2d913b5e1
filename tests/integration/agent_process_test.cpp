// The agent as a process: how it starts, that there is one, how it ends, who may talk to it.
#include <google/protobuf/util/json_util.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <set>
#include <thread>

#include "absl/time/clock.h"
#include "common/fs/fs.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"
#include "tests/integration/agent_sandbox.h"

namespace mg::tests {
namespace {

using cli::agent::GetInfoRequest;

constexpr uid_t kNobody = 65534;

absl::Time Soon() { return absl::Now() + absl::Seconds(20); }

std::string ReasonOf(const absl::Status& status) { return DetailOf(status).value_or(ErrorDetail{}).reason; }

/// Runs the agent's program in the foreground, and gives its exit status.
int RunAgent(const AgentSandbox& sandbox, const std::vector<std::string>& arguments) {
  std::vector<std::string> words = {sandbox.program()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv, env;
  for (std::string& word : words) {
    argv.push_back(word.data());
  }
  argv.push_back(nullptr);
  std::vector<std::string> entries = {"MULTIGRES_HOME=" + sandbox.home(), "MULTIGRES_AGENT_SOCKET=" + sandbox.socket()};
  for (std::string& entry : entries) {
    env.push_back(entry.data());
  }
  env.push_back(nullptr);
  pid_t pid = 0;
  EXPECT_EQ(::posix_spawn(&pid, argv[0], nullptr, nullptr, argv.data(), env.data()), 0);
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(AgentProcess, WhenStartedOnDemand_ServesOnAPrivateSocketWithADiscoveryFile) {
  AgentSandbox sandbox;
  EXPECT_EQ(ReasonOf(sandbox.Connect(/*start=*/false).status()), "AGENT_NOT_RUNNING");
  EXPECT_FALSE(Exists(sandbox.home())) << "a command that starts nothing leaves nothing";
  auto client = sandbox.Connect();
  ASSERT_TRUE(client.ok()) << client.status();
  EXPECT_TRUE((*client)->started());
  auto info = (*client)->Call(GetInfoRequest(), Soon());
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->home(), sandbox.home());
  EXPECT_EQ(info->socket(), sandbox.socket());
  EXPECT_EQ(info->executable(), sandbox.program());
  EXPECT_TRUE(cli::CheckProtocol(*info).ok());
  EXPECT_EQ(cli::VersionWarning(*info, info->version()), "");
  EXPECT_NE(cli::VersionWarning(*info, "9.9"), "");
  EXPECT_NE(info->pid(), ::getpid());
  EXPECT_EQ(::getsid(info->pid()) == ::getsid(0), false) << "it is in a session of its own";

  struct stat socket {};
  ASSERT_EQ(::stat(sandbox.socket().c_str(), &socket), 0);
  EXPECT_EQ(socket.st_mode & 0777, 0600u);
  auto discovery = ReadFile(sandbox.discovery());
  ASSERT_TRUE(discovery.ok());
  cli::agent::GetInfoResponse written;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(*discovery, &written).ok()) << *discovery;
  EXPECT_EQ(written.pid(), info->pid());
  EXPECT_EQ(written.protocol_max(), info->protocol_max());

  auto second = sandbox.Connect();
  ASSERT_TRUE(second.ok());
  EXPECT_FALSE((*second)->started());
}

TEST(AgentProcess, WhenManyStartItAtOnce_ThereIsOne) {
  AgentSandbox sandbox;
  constexpr int kStarters = 6;
  std::vector<absl::Status> errors(kStarters);
  std::vector<pid_t> pids(kStarters);
  std::vector<std::thread> starters;
  for (int i = 0; i < kStarters; ++i) {
    starters.emplace_back([&, i] {
      auto client = sandbox.Connect();
      errors[i] = client.status();
      if (client.ok()) {
        auto info = (*client)->Call(GetInfoRequest(), Soon());
        errors[i] = info.status();
        pids[i] = info.ok() ? info->pid() : 0;
      }
    });
  }
  for (std::thread& starter : starters) {
    starter.join();
  }
  for (const absl::Status& error : errors) {
    EXPECT_TRUE(error.ok()) << error;
  }
  EXPECT_EQ(std::set<pid_t>(pids.begin(), pids.end()).size(), 1u);
}

TEST(AgentProcess, WhenKilled_TheNextCommandStartsANewOneInItsPlace) {
  AgentSandbox sandbox;
  auto client = sandbox.Connect();
  ASSERT_TRUE(client.ok()) << client.status();
  pid_t first = sandbox.AgentPid();
  ASSERT_GT(first, 0);
  ASSERT_EQ(::kill(first, SIGKILL), 0);
  ASSERT_TRUE(WaitForEnd(first));
  EXPECT_TRUE(Exists(sandbox.socket())) << "stale";
  EXPECT_EQ(ReasonOf(sandbox.Connect(/*start=*/false).status()), "AGENT_NOT_RUNNING");
  // A question is asked again, of a new agent; an order is not.
  EXPECT_EQ(ReasonOf((*client)->Call(cli::agent::ShutdownRequest(), Soon()).status()), "AGENT_GONE");
  EXPECT_TRUE((*client)->Call(GetInfoRequest(), Soon()).ok());
  auto again = sandbox.Connect();
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_NE(sandbox.AgentPid(), first);
}

TEST(AgentProcess, WhenStartedByHandASecondTime_SaysSoAndLeavesTheFirst) {
  AgentSandbox sandbox;
  ASSERT_TRUE(sandbox.Connect().ok());
  pid_t first = sandbox.AgentPid();
  EXPECT_EQ(RunAgent(sandbox, {}), 1);
  EXPECT_EQ(sandbox.AgentPid(), first);
  EXPECT_EQ(RunAgent(sandbox, {"--nonsense"}), 2);
  EXPECT_EQ(RunAgent(sandbox, {"--version"}), 0);
}

TEST(AgentProcess, WhenTold_StopsAndRemovesSocketAndDiscoveryFile) {
  for (bool by_signal : {true, false}) {
    AgentSandbox sandbox;
    auto client = sandbox.Connect();
    ASSERT_TRUE(client.ok()) << client.status();
    pid_t pid = sandbox.AgentPid();
    ASSERT_GT(pid, 0);
    if (by_signal) {
      ASSERT_EQ(::kill(pid, SIGTERM), 0);
    } else {
      ASSERT_TRUE((*client)->Call(cli::agent::ShutdownRequest(), Soon()).ok());
    }
    ASSERT_TRUE(WaitForEnd(pid));
    EXPECT_FALSE(Exists(sandbox.socket()));
    EXPECT_FALSE(Exists(sandbox.discovery()));
    auto log = ReadFile(sandbox.home() + "/agent.log");
    ASSERT_TRUE(log.ok());
    EXPECT_NE(log->find("the agent ends"), std::string::npos);
  }
}

TEST(AgentProcess, WhenToldWhileAnOperationRuns_TheReaderStillGetsItsEnd) {
  AgentSandbox sandbox;
  auto client = sandbox.Connect();
  ASSERT_TRUE(client.ok()) << client.status();
  cli::agent::UpRequest up;
  up.mutable_cluster()->set_name("slow");
  absl::Status result;
  absl::Status stream = (*client)->Stream(up, [&](const cli::agent::OperationEvent& event) {
    if (event.progress().has_step() && event.progress().step().id() == "etcd") {
      EXPECT_TRUE((*sandbox.Connect(false))->Call(cli::agent::ShutdownRequest(), Soon()).ok());
    }
    if (event.progress().has_result()) {
      result = cli::ResultOf(event.progress().result());
    }
    return true;
  });
  EXPECT_TRUE(stream.ok()) << stream;
  EXPECT_EQ(ReasonOf(result), "CANCELLED") << result;
}

TEST(AgentProcess, WhenTheSocketDirectoryIsOpenToOthers_NobodyUsesIt) {
  AgentSandbox sandbox;
  ASSERT_EQ(::chmod(sandbox.socket_directory().c_str(), 0755), 0);
  absl::Status status = sandbox.Connect().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied) << status;
  EXPECT_EQ(RunAgent(sandbox, {}), 5);
  EXPECT_FALSE(Exists(sandbox.socket()));
}

TEST(AgentProcess, WhenTheSocketDirectoryIsSomebodyElses_IsRefused) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "only root can give a directory away";
  }
  AgentSandbox sandbox;
  ASSERT_EQ(::chown(sandbox.socket_directory().c_str(), kNobody, kNobody), 0);
  absl::Status status = sandbox.Connect().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ReasonOf(status), "FOREIGN_DIRECTORY");
  EXPECT_EQ(RunAgent(sandbox, {}), 5);
}

TEST(AgentProcess, WhenTheHomeCannotBeMade_SaysSo) {
  AgentSandbox sandbox;
  ASSERT_TRUE(WriteFileAtomically(sandbox.directory() + "/file", "").ok());
  sandbox.environment()["MULTIGRES_HOME"] = sandbox.directory() + "/file/home";
  absl::Status status = sandbox.Connect().status();
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(ReasonOf(status), "HOME_NOT_WRITABLE") << status;
}

TEST(AgentProcess, WhenItsLogCannotBeWritten_ServesAllTheSame) {
  AgentSandbox sandbox;
  // As on a full disk, where the file cannot be made.
  ASSERT_TRUE(MakeDirectories(sandbox.home() + "/agent.log", 0700).ok());
  auto client = sandbox.Connect();
  ASSERT_TRUE(client.ok()) << client.status();
  EXPECT_GT(sandbox.AgentPid(), 0);
}

TEST(AgentProcess, WhenTheProgramIsMissing_SaysSo) {
  AgentSandbox sandbox;
  cli::AgentOptions options = sandbox.Options();
  options.program = sandbox.directory() + "/nothing";
  EXPECT_EQ(cli::AgentClient::Connect(options).status().code(), absl::StatusCode::kNotFound);
}

TEST(AgentProcess, WhenThePeerIsAnotherUser_IsClosedBeforeAByteIsRead) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "only root can become another user";
  }
  AgentSandbox sandbox;
  ASSERT_TRUE(sandbox.Connect().ok());
  // Reachable for others, so that only the check of the peer is left.
  ASSERT_EQ(::chmod(sandbox.directory().c_str(), 0755), 0);
  ASSERT_EQ(::chmod(sandbox.socket_directory().c_str(), 0755), 0);
  ASSERT_EQ(::chmod(sandbox.socket().c_str(), 0666), 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, sandbox.socket().c_str());
  // Nothing but system calls in the child: this process has gRPC's threads.
  pid_t child = ::fork();
  if (child == 0) {
    int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    if (::setuid(kNobody) != 0 || ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      ::_exit(2);
    }
    pollfd wait = {.fd = fd, .events = POLLIN};
    char byte = 0;
    // An HTTP/2 server would greet with its settings.
    ::_exit(::poll(&wait, 1, 20000) == 1 && ::read(fd, &byte, 1) <= 0 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  ASSERT_EQ(::chmod(sandbox.socket_directory().c_str(), 0700), 0);
  EXPECT_GT(sandbox.AgentPid(), 0);
}

TEST(AgentProcess, WhenOperationsRun_TheyAreJoinedCancelledListedAndBecomeEvents) {
  AgentSandbox sandbox;
  auto client = sandbox.Connect();
  ASSERT_TRUE(client.ok()) << client.status();

  cli::agent::UpRequest slow;
  slow.mutable_cluster()->set_name("slow");
  std::string id, joined_id;
  std::int64_t joined_first = 0;
  absl::Status result;
  std::thread joiner;
  absl::Status stream = (*client)->Stream(slow, [&](const cli::agent::OperationEvent& event) {
    if (id.empty()) {
      id = event.operation_id();
      EXPECT_EQ(event.sequence(), 1);
      EXPECT_EQ(event.kind(), "up");
      // A second client joins the same operation from its beginning, and calls it off.
      joiner = std::thread([&sandbox, &slow, &joined_id, &joined_first] {
        auto other = sandbox.Connect(false);
        ASSERT_TRUE(other.ok());
        EXPECT_TRUE((*other)
                        ->Stream(slow,
                                 [&](const cli::agent::OperationEvent& seen) {
                                   if (joined_id.empty()) {
                                     joined_id = seen.operation_id();
                                     joined_first = seen.sequence();
                                     cli::agent::CancelOperationRequest cancel;
                                     cancel.set_operation_id(seen.operation_id());
                                     EXPECT_TRUE((*other)->Call(cancel, Soon()).ok());
                                   }
                                   return true;
                                 })
                        .ok());
      });
    }
    if (event.progress().has_result()) {
      result = cli::ResultOf(event.progress().result());
    }
    return true;
  });
  joiner.join();
  EXPECT_TRUE(stream.ok()) << stream;
  EXPECT_EQ(joined_id, id);
  EXPECT_EQ(joined_first, 1);
  EXPECT_EQ(result.code(), absl::StatusCode::kCancelled) << result;

  cli::agent::UpRequest broken;
  broken.mutable_cluster()->set_name("broken");
  ASSERT_TRUE((*client)
                  ->Stream(broken,
                           [&](const cli::agent::OperationEvent& event) {
                             if (event.progress().has_result()) {
                               result = cli::ResultOf(event.progress().result());
                             }
                             return true;
                           })
                  .ok());
  EXPECT_EQ(ReasonOf(result), "COMPONENT_EXITED");
  EXPECT_EQ(DetailOf(result)->log_tail.size(), 2u);

  cli::agent::UpRequest unknown;
  unknown.mutable_cluster()->set_name("none");
  EXPECT_TRUE(absl::IsNotFound((*client)->Stream(unknown, [](const auto&) { return true; })));

  auto list = (*client)->Call(cli::agent::ListOperationsRequest(), Soon());
  ASSERT_TRUE(list.ok());
  ASSERT_EQ(list->operations_size(), 2);
  EXPECT_EQ(list->operations(1).id(), id);

  cli::agent::JoinOperationRequest join;
  join.set_operation_id(id);
  int replayed = 0;
  ASSERT_TRUE((*client)->Stream(join, [&](const cli::agent::OperationEvent&) { return ++replayed > 0; }).ok());
  EXPECT_GE(replayed, 4);
  join.set_after_sequence(replayed - 1);
  int rest = 0;
  ASSERT_TRUE((*client)->Stream(join, [&](const cli::agent::OperationEvent&) { return ++rest > 0; }).ok());
  EXPECT_EQ(rest, 1);

  cli::agent::WatchEventsRequest watch;
  std::vector<std::string> types;
  ASSERT_TRUE((*client)
                  ->Stream(watch,
                           [&](const cli::agent::WatchEventsResponse& response) {
                             for (const auto& event : response.events()) {
                               types.push_back(event.type());
                             }
                             return true;
                           })
                  .ok());
  EXPECT_EQ(types, (std::vector<std::string>{"operation-started", "operation-failed", "operation-started",
                                             "operation-failed"}));
}

TEST(AgentProcess, WhenTheStateIsWatched_ASnapshotAndThenChangesCome) {
  AgentSandbox sandbox;
  auto client = sandbox.Connect();
  ASSERT_TRUE(client.ok()) << client.status();
  cli::agent::WatchStateRequest watch;
  std::int64_t revision = 0;
  std::vector<std::string> states;
  std::thread up;
  absl::Status status = (*client)->Stream(watch, [&](const cli::agent::WatchStateResponse& response) {
    EXPECT_GE(response.revision(), revision);
    revision = response.revision();
    states.push_back(response.has_snapshot() ? response.snapshot().state() : response.component().state());
    if (states.size() == 1) {
      up = std::thread([&sandbox] {
        auto other = sandbox.Connect(false);
        ASSERT_TRUE(other.ok());
        EXPECT_TRUE((*other)->Stream(cli::agent::UpRequest(), [](const auto&) { return true; }).ok());
      });
    }
    return states.back() != "running";
  });
  up.join();
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(states.front(), "stopped");
  EXPECT_EQ(states.back(), "running");
}

TEST(AgentProcess, WhenAsked_HealthAndReflectionAnswer) {
  AgentSandbox sandbox;
  auto client = sandbox.Connect();
  ASSERT_TRUE(client.ok()) << client.status();
  // By hand-made messages: grpc.health.v1.HealthCheckResponse{status: SERVING}.
  auto call = [&](const std::string& method, const std::string& request) {
    grpc::GenericStub stub((*client)->channel());
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    grpc::CompletionQueue queue;
    auto stream = stub.PrepareCall(&context, method, &queue);
    void* tag = nullptr;
    bool ok = false;
    auto next = [&] { return queue.Next(&tag, &ok) && ok; };
    grpc::Slice slice(request);
    grpc::ByteBuffer out(&slice, 1), in;
    grpc::Status status;
    std::string answer;
    stream->StartCall(nullptr);
    EXPECT_TRUE(next());
    stream->WriteLast(out, grpc::WriteOptions(), nullptr);
    EXPECT_TRUE(next());
    stream->Read(&in, nullptr);
    if (next()) {
      std::vector<grpc::Slice> slices;
      EXPECT_TRUE(in.Dump(&slices).ok());
      for (const grpc::Slice& part : slices) {
        answer.append(reinterpret_cast<const char*>(part.begin()), part.size());
      }
    }
    stream->Finish(&status, nullptr);
    EXPECT_TRUE(next());
    EXPECT_TRUE(status.ok()) << status.error_message();
    return answer;
  };
  EXPECT_EQ(call("/grpc.health.v1.Health/Check", ""), std::string("\x08\x01", 2));
  // ServerReflectionRequest{list_services: "*"}
  std::string services = call("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "\x3a\x01*");
  EXPECT_NE(services.find("multigres.agent.v1.AgentService"), std::string::npos);
  EXPECT_NE(services.find("multigres.provisioner.v1.ProvisionerService"), std::string::npos);
}

}  // namespace
}  // namespace mg::tests
