// What arrives at the agent for the Admin API reaches the Admin API, and comes back, unchanged.
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <csignal>
#include <mutex>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"
#include "multiadminservice.grpc.pb.h"
#include "tests/integration/agent_sandbox.h"

namespace mg::tests {
namespace {

std::string Text(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string text;
  if (buffer.Dump(&slices).ok()) {
    for (const grpc::Slice& slice : slices) {
      text.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
    }
  }
  return text;
}

grpc::ByteBuffer Bytes(const std::string& text) {
  grpc::Slice slice(text);
  return grpc::ByteBuffer(&slice, 1);
}

/// The Admin API's part that this test needs, typed.
class Admin final : public multiadmin::MultiadminService::Service {
 public:
  grpc::Status GetCell(grpc::ServerContext* context, const multiadmin::GetCellRequest* request,
                       multiadmin::GetCellResponse* response) override {
    auto token = context->client_metadata().find("authorization");
    auto left = absl::FromChrono(context->deadline()) - absl::Now();
    context->AddInitialMetadata("x-header", "h");
    context->AddTrailingMetadata("x-trailer-bin", std::string("\x00\xFF", 2));
    context->AddTrailingMetadata("multigres-partial-cells", "zone9");
    if (request->name() == "missing") {
      return rpc::ToGrpc(MakeError(absl::StatusCode::kNotFound, "no cell missing",
                                   {.reason = "CELL_NOT_FOUND", .hint = "topology cell list"}));
    }
    if (request->name() == "silent") {
      return rpc::ToGrpc(MakeError(absl::StatusCode::kUnavailable, "the etcd of that cell does not answer",
                                   {.reason = "CELL_SILENT"}));
    }
    if (request->name() == "long") {
      return rpc::ToGrpc(
          MakeError(absl::StatusCode::kNotFound, std::string(100'000, 'm'), {.reason = "CELL_NOT_FOUND"}));
    }
    if (request->name() == "foreign") {
      return grpc::Status(grpc::StatusCode::NOT_FOUND, std::string(100'000, 'm'));
    }
    response->mutable_cell()->set_name(absl::StrCat(
        request->name(), " ",
        token == context->client_metadata().end() ? "" : std::string(token->second.data(), token->second.size()), " ",
        context->client_metadata().count("multigres-cluster"), " ",
        left > absl::Seconds(10) && left < absl::Seconds(21)));
    return grpc::Status::OK;
  }
};

/// Methods that nobody has a type for: Echo answers each message with itself; Hang does nothing until it is cancelled.
class Untyped : public grpc::CallbackGenericService {
 public:
  /// Until a message is here: a call's headers come before it.
  bool WaitForCall() { return WaitFor(begun_); }
  bool WaitForCancel() { return WaitFor(cancelled_); }

 private:
  class Echo : public grpc::ServerGenericBidiReactor {
   public:
    Echo(Untyped* owner, bool hang) : owner_(owner), hang_(hang) { StartRead(&message_); }
    void OnReadDone(bool ok) override {
      {
        std::lock_guard<std::mutex> lock(owner_->mutex_);
        owner_->begun_ |= ok;
        owner_->changed_.notify_all();
      }
      if (hang_) {
        return;
      }
      ok ? StartWrite(&message_) : Finish(grpc::Status(grpc::StatusCode::ABORTED, "echo is over"));
    }
    void OnWriteDone(bool ok) override {
      if (ok) {
        message_.Clear();
        StartRead(&message_);
      }
    }
    void OnCancel() override {
      std::lock_guard<std::mutex> lock(owner_->mutex_);
      owner_->cancelled_ = true;
      owner_->changed_.notify_all();
      if (hang_) {
        Finish(grpc::Status::CANCELLED);
      }
    }
    void OnDone() override { delete this; }

   private:
    Untyped* owner_;
    const bool hang_;
    grpc::ByteBuffer message_;
  };

  bool WaitFor(const bool& flag) {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), [&] { return flag; });
  }

  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* context) override {
    return new Echo(this, context->method() == "/multigres.admin.v1.Later/Hang");
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool begun_ = false;
  bool cancelled_ = false;
};

/// A bidirectional call without types, step by step.
class RawCall {
 public:
  RawCall(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
          std::chrono::milliseconds limit = std::chrono::seconds(20))
      : stub_(channel) {
    context_.set_deadline(std::chrono::system_clock::now() + limit);
    stream_ = stub_.PrepareCall(&context_, method, &queue_);
    stream_->StartCall(nullptr);
    Next();
  }
  ~RawCall() {
    if (!finished_) {
      context_.TryCancel();
      Finish();
    }
    queue_.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
    }
  }
  bool Write(const std::string& text) {
    stream_->Write(Bytes(text), nullptr);
    return Next();
  }
  bool HalfClose() {
    stream_->WritesDone(nullptr);
    return Next();
  }
  std::optional<std::string> Read() {
    grpc::ByteBuffer buffer;
    stream_->Read(&buffer, nullptr);
    return Next() ? std::optional<std::string>(Text(buffer)) : std::nullopt;
  }
  grpc::Status Finish() {
    grpc::Status status;
    stream_->Finish(&status, nullptr);
    Next();
    finished_ = true;
    return status;
  }
  void Cancel() { context_.TryCancel(); }

 private:
  bool Next() {
    void* tag = nullptr;
    bool ok = false;
    return queue_.Next(&tag, &ok) && ok;
  }
  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
  bool finished_ = false;
};

class AgentForwarding : public ::testing::Test {
 protected:
  AgentForwarding() {
    StartAdmin();
    sandbox_.environment()["FAKE_ADMIN_ADDRESS"] = absl::StrCat("127.0.0.1:", port_);
    auto client = sandbox_.Connect();
    EXPECT_TRUE(client.ok()) << client.status();
    if (client.ok()) {
      client_ = *std::move(client);
    }
  }
  ~AgentForwarding() override { StopAdmin(); }

  void StartAdmin() {
    untyped_ = std::make_unique<Untyped>();
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(16 << 20);
    builder.AddListeningPort(absl::StrCat("127.0.0.1:", port_), grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(&admin_);
    builder.RegisterCallbackGenericService(untyped_.get());
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    ASSERT_NE(port_, 0);
  }
  void StopAdmin() {
    if (server_ != nullptr) {
      server_->Shutdown(std::chrono::system_clock::now());
      server_.reset();
    }
  }

  grpc::Status GetCell(const std::string& name, multiadmin::GetCellResponse* response,
                       grpc::ClientContext* context = nullptr) {
    grpc::ClientContext own;
    grpc::ClientContext* used = context != nullptr ? context : &own;
    used->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    multigres::provisioner::v1::ClusterSelector cluster;
    cluster.set_name("default");
    cluster.set_working_directory("/tmp/caf\xC3\xA9");
    cli::SelectCluster(used, cluster);
    multiadmin::GetCellRequest request;
    request.set_name(name);
    return multiadmin::MultiadminService::NewStub(client_->channel())->GetCell(used, request, response);
  }

  int port_ = 0;
  Admin admin_;
  std::unique_ptr<Untyped> untyped_;
  std::unique_ptr<grpc::Server> server_;
  AgentSandbox sandbox_;
  std::unique_ptr<cli::AgentClient> client_;
};

TEST_F(AgentForwarding, Unary_KeepsMetadataAndDeadline) {
  grpc::ClientContext context;
  context.AddMetadata("authorization", "Bearer t");
  multiadmin::GetCellResponse response;
  grpc::Status status = GetCell("zone1", &response, &context);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.cell().name(), "zone1 Bearer t 0 1") << "name, token, no cluster metadata, the caller's deadline";
  EXPECT_EQ(context.GetServerInitialMetadata().count("x-header"), 1u);
  auto trailer = context.GetServerTrailingMetadata().find("x-trailer-bin");
  ASSERT_NE(trailer, context.GetServerTrailingMetadata().end());
  EXPECT_EQ(std::string(trailer->second.data(), trailer->second.size()), std::string("\x00\xFF", 2));
  EXPECT_EQ(context.GetServerTrailingMetadata().count("multigres-partial-cells"), 1u) << "the Admin API's own words";
}

TEST_F(AgentForwarding, Unary_WithoutAnAuthorizationOfItsOwn_ShowsTheAgentsToken) {
  multiadmin::GetCellResponse response;
  grpc::Status status = GetCell("zone1", &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.cell().name().substr(0, 24), "zone1 Bearer fake-token ") << response.cell().name();
}

TEST_F(AgentForwarding, Unary_WhenItFails_KeepsTheStatusAndItsDetails) {
  multiadmin::GetCellResponse response;
  absl::Status status = rpc::FromGrpc(GetCell("missing", &response));
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(status.message(), "no cell missing");
  ASSERT_TRUE(DetailOf(status).has_value());
  EXPECT_EQ(DetailOf(status)->reason, "CELL_NOT_FOUND");
}

TEST_F(AgentForwarding, Unary_WhenTheErrorIsLong_KeepsItsCodeItsReasonAndItsBeginning) {
  multiadmin::GetCellRequest request;
  request.set_name("long");
  multiadmin::GetCellResponse response;
  // Straight from a client with gRPC's own bounds, and through the agent.
  grpc::ClientContext context;
  auto direct = multiadmin::MultiadminService::NewStub(
      grpc::CreateChannel(absl::StrCat("127.0.0.1:", port_), grpc::InsecureChannelCredentials()));
  for (const grpc::Status& wire : {direct->GetCell(&context, request, &response), GetCell("long", &response)}) {
    absl::Status status = rpc::FromGrpc(wire);
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
    EXPECT_EQ(DetailOf(status).value_or(ErrorDetail{}).reason, "CELL_NOT_FOUND");
    EXPECT_TRUE(absl::StartsWith(status.message(), std::string(1000, 'm')));
    EXPECT_TRUE(absl::EndsWith(status.message(), "m … (shortened)"));
  }
  // Others keep to no bound.
  grpc::Status foreign = GetCell("foreign", &response);
  EXPECT_EQ(foreign.error_code(), grpc::StatusCode::NOT_FOUND) << foreign.error_message();
  EXPECT_EQ(foreign.error_message().size(), 100'000u);
}

TEST_F(AgentForwarding, Unary_WhenSomethingBehindTheAdminApiIsAway_SaysWhat) {
  multiadmin::GetCellResponse response;
  absl::Status status = rpc::FromGrpc(GetCell("silent", &response));
  EXPECT_TRUE(absl::IsUnavailable(status));
  ASSERT_TRUE(DetailOf(status).has_value());
  EXPECT_EQ(DetailOf(status)->reason, "CELL_SILENT") << status;
}

TEST_F(AgentForwarding, Streaming_OfAMethodThatNobodyKnows_GoesThrough) {
  RawCall call(client_->channel(), "/multigres.admin.v1.Later/Echo");
  for (int i = 0; i < 20; ++i) {
    std::string message = absl::StrCat("message ", i);
    ASSERT_TRUE(call.Write(message));
    EXPECT_EQ(call.Read(), message);
  }
  std::string large(8 << 20, 'x');
  ASSERT_TRUE(call.Write(large));
  EXPECT_EQ(call.Read(), large);
  ASSERT_TRUE(call.HalfClose());
  EXPECT_EQ(call.Read(), std::nullopt);
  grpc::Status status = call.Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::ABORTED);
  EXPECT_EQ(status.error_message(), "echo is over");
}

TEST_F(AgentForwarding, Unary_OfAnUnknownMethodOfAKnownService_GoesThrough) {
  RawCall call(client_->channel(), "/multiadmin.MultiadminService/AddedLater");
  ASSERT_TRUE(call.Write("x"));
  EXPECT_EQ(call.Read(), "x");
}

TEST_F(AgentForwarding, WhenTheCallerCancels_TheUpstreamSeesIt) {
  RawCall call(client_->channel(), "/multigres.admin.v1.Later/Hang");
  ASSERT_TRUE(call.Write("x"));
  ASSERT_TRUE(untyped_->WaitForCall());
  call.Cancel();
  EXPECT_TRUE(untyped_->WaitForCancel());
  EXPECT_EQ(call.Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(AgentForwarding, WhenTheDeadlinePasses_BothSidesEnd) {
  RawCall call(client_->channel(), "/multigres.admin.v1.Later/Hang", std::chrono::milliseconds(200));
  EXPECT_EQ(call.Finish().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(untyped_->WaitForCancel());
}

TEST_F(AgentForwarding, WhenTheAgentStops_CallsUnderWayEnd) {
  RawCall call(client_->channel(), "/multigres.admin.v1.Later/Hang");
  ASSERT_TRUE(call.Write("x"));
  pid_t pid = sandbox_.AgentPid();
  ASSERT_TRUE((*sandbox_.Connect(false))->Call(cli::agent::ShutdownRequest(), absl::Now() + absl::Seconds(20)).ok());
  EXPECT_FALSE(call.Finish().ok());
  EXPECT_TRUE(WaitForEnd(pid));
}

TEST_F(AgentForwarding, WhenTheAdminApiIsAway_SaysSo_AndWorksAsSoonAsItIsBack) {
  multiadmin::GetCellResponse response;
  ASSERT_TRUE(GetCell("zone1", &response).ok());
  StopAdmin();
  absl::Status status = rpc::FromGrpc(GetCell("zone1", &response));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(DetailOf(status).value_or(ErrorDetail{}).reason, "ADMIN_API_UNAVAILABLE") << status;
  StartAdmin();
  grpc::Status back = GetCell("zone1", &response);
  EXPECT_TRUE(back.ok()) << back.error_message();
}

TEST_F(AgentForwarding, WhenTheAdminApiEndsDuringACall_SaysThatTheAnswerDidNotArrive) {
  RawCall call(client_->channel(), "/multigres.admin.v1.Later/Hang");
  ASSERT_TRUE(call.Write("x"));
  ASSERT_TRUE(untyped_->WaitForCall());
  StopAdmin();
  absl::Status status = rpc::FromGrpc(call.Finish());
  EXPECT_EQ(DetailOf(status).value_or(ErrorDetail{}).reason, "ADMIN_API_UNAVAILABLE") << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "the answer did not arrive")) << status;
}

TEST_F(AgentForwarding, WhenTheAgentIsKilledDuringACall_SaysThatTheAnswerDidNotArrive) {
  RawCall call(client_->channel(), "/multigres.admin.v1.Later/Hang");
  ASSERT_TRUE(call.Write("x"));
  ASSERT_TRUE(untyped_->WaitForCall());
  ASSERT_EQ(::kill(sandbox_.AgentPid(), SIGKILL), 0);
  absl::Status status = cli::FromAgent(call.Finish());
  EXPECT_EQ(DetailOf(status).value_or(ErrorDetail{}).reason, "AGENT_GONE") << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "the answer did not arrive")) << status;
}

TEST_F(AgentForwarding, WhenTheMethodIsNotTheAdminApis_IsUnimplementedHere) {
  RawCall call(client_->channel(), "/somebody.else.Service/Method");
  EXPECT_EQ(call.Finish().error_code(), grpc::StatusCode::UNIMPLEMENTED);
}

}  // namespace
}  // namespace mg::tests
