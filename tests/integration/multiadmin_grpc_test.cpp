/// The Admin API over gRPC, as the contract has it.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/fs/unique_fd.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"
#include "multigres/admin/v1/cell.grpc.pb.h"
#include "multigres/admin/v1/shard.grpc.pb.h"
#include "multigres/admin/v1/topology.grpc.pb.h"
#include "tests/integration/multiadmin_sandbox.h"
#include "tests/integration/pgctld_sandbox.h"

namespace mg::tests {
namespace {

namespace pb = ::multiadmin;
namespace v1 = multigres::admin::v1;

std::unique_ptr<grpc::ClientContext> Context(absl::Duration limit = absl::Seconds(20)) {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(absl::ToChronoTime(absl::Now() + limit));
  return context;
}

std::string Trailer(const grpc::ClientContext& context, const std::string& name) {
  const auto& trailers = context.GetServerTrailingMetadata();
  auto it = trailers.find(name);
  return it == trailers.end() ? "none" : std::string(it->second.data(), it->second.size());
}

std::string Reason(const grpc::Status& status) {
  return DetailOf(rpc::FromGrpc(status)).value_or(ErrorDetail{}).reason;
}

class MultiadminGrpcTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { sandbox_ = EtcdSandbox::Possible() ? new MultiadminSandbox() : nullptr; }
  static void TearDownTestSuite() {
    delete sandbox_;
    sandbox_ = nullptr;
  }
  void SetUp() override {
    if (sandbox_ == nullptr) {
      GTEST_SKIP() << "no etcd";
    }
  }
  pb::MultiadminService::Stub& stub() { return sandbox_->stub(); }

  std::string PoolerNames(grpc::ClientContext* context, const pb::GetPoolersRequest& request) {
    pb::GetPoolersResponse response;
    grpc::Status status = stub().GetPoolers(context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return absl::StrJoin(response.poolers(), " ",
                         [](std::string* out, const auto& pooler) { *out += pooler.id().name(); });
  }

  /// Until the stream of the topology says that just these cells do not answer.
  static void AwaitUnreachable(const std::string& cells) {
    auto topology = multigres::admin::v1::TopologyService::NewStub(sandbox_->channel());
    auto context = Context();
    auto stream = topology->WatchTopology(context.get(), {});
    multigres::admin::v1::WatchTopologyResponse step;
    while (stream->Read(&step) && absl::StrJoin(step.unreachable_cells(), ",") != cells) {
    }
    EXPECT_EQ(absl::StrJoin(step.unreachable_cells(), ","), cells);
    context->TryCancel();
  }

  static MultiadminSandbox* sandbox_;
};

MultiadminSandbox* MultiadminGrpcTest::sandbox_ = nullptr;

TEST_F(MultiadminGrpcTest, CellsAndDatabases) {
  pb::GetCellNamesResponse names;
  ASSERT_TRUE(stub().GetCellNames(Context().get(), {}, &names).ok());
  EXPECT_EQ(absl::StrJoin(names.names(), " "), "zone1 zone2 zone3");
  pb::GetDatabaseNamesResponse databases;
  ASSERT_TRUE(stub().GetDatabaseNames(Context().get(), {}, &databases).ok());
  EXPECT_EQ(absl::StrJoin(databases.names(), " "), "postgres");

  pb::GetCellRequest request;
  pb::GetCellResponse cell;
  EXPECT_EQ(stub().GetCell(Context().get(), request, &cell).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  request.set_name("zone9");
  EXPECT_EQ(stub().GetCell(Context().get(), request, &cell).error_code(), grpc::StatusCode::NOT_FOUND);
  request.set_name("zone2");
  ASSERT_TRUE(stub().GetCell(Context().get(), request, &cell).ok());
  EXPECT_EQ(cell.cell().server_addresses(0), sandbox_->zone2().address());

  pb::GetDatabaseRequest database_request;
  pb::GetDatabaseResponse database;
  EXPECT_EQ(stub().GetDatabase(Context().get(), database_request, &database).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  database_request.set_name("postgres");
  ASSERT_TRUE(stub().GetDatabase(Context().get(), database_request, &database).ok());
  EXPECT_EQ(database.database().cells_size(), 3);
}

TEST_F(MultiadminGrpcTest, ListsAreInTheOrderOfTheCellsAndFiltered) {
  EXPECT_EQ(PoolerNames(Context().get(), {}), "p1 p2 p3");
  pb::GetPoolersRequest request;
  request.add_cells("zone3");
  request.add_cells("zone1");
  EXPECT_EQ(PoolerNames(Context().get(), request), "p3 p1");
  request.set_database("other");
  EXPECT_EQ(PoolerNames(Context().get(), request), "");
  request.set_database("postgres");
  request.set_shard("0-inf");
  EXPECT_EQ(PoolerNames(Context().get(), request), "p3 p1");

  pb::GetGatewaysResponse gateways;
  ASSERT_TRUE(stub().GetGateways(Context().get(), {}, &gateways).ok());
  EXPECT_EQ(gateways.gateways_size(), 3);
  pb::GetOrchsResponse orchs;
  ASSERT_TRUE(stub().GetOrchs(Context().get(), {}, &orchs).ok());
  EXPECT_EQ(orchs.orchs_size(), 3);
}

TEST_F(MultiadminGrpcTest, CellThatDoesNotExist_IsNamedAndTheRestIsThere) {
  pb::GetPoolersRequest request;
  request.add_cells("zone1");
  request.add_cells("zone9");
  auto context = Context();
  EXPECT_EQ(PoolerNames(context.get(), request), "p1");
  EXPECT_EQ(Trailer(*context, "multigres-partial-cells"), "zone9");
  EXPECT_NE(Trailer(*context, "multigres-partial-errors").find("zone9: "), std::string::npos);
  // A caller's own words come back in a header; they cannot break it.
  request.add_cells("zon\xc3\xa9\r\n");
  auto odd = Context();
  EXPECT_EQ(PoolerNames(odd.get(), request), "p1");
  EXPECT_EQ(Trailer(*odd, "multigres-partial-cells"), "zone9,zon????");
  auto whole = Context();
  EXPECT_EQ(PoolerNames(whole.get(), {}), "p1 p2 p3");
  EXPECT_EQ(Trailer(*whole, "multigres-partial-cells"), "none");
}

TEST_F(MultiadminGrpcTest, CellThatIsAway_TakesNobodysTime) {
  sandbox_->zone2().Signal(SIGSTOP);  // connections are there, answers are not: the worst of ways
  // What is known of it is told until its silence is noticed; no call waits for it.
  EXPECT_EQ(PoolerNames(Context(absl::Seconds(1)).get(), {}), "p1 p2 p3");
  AwaitUnreachable("zone2");
  auto context = Context(absl::Seconds(5));
  EXPECT_EQ(PoolerNames(context.get(), {}), "p1 p3");
  EXPECT_EQ(Trailer(*context, "multigres-partial-cells"), "zone2");
  pb::GetGatewaysResponse gateways;
  auto gateway_context = Context(absl::Milliseconds(1000));
  ASSERT_TRUE(stub().GetGateways(gateway_context.get(), {}, &gateways).ok());
  EXPECT_EQ(gateways.gateways_size(), 2);
  EXPECT_EQ(Trailer(*gateway_context, "multigres-partial-cells"), "zone2");
  auto cells = multigres::admin::v1::CellService::NewStub(sandbox_->channel());
  multigres::admin::v1::GetCellRequest one;
  one.set_name("zone2");
  multigres::admin::v1::GetCellResponse cell;
  ASSERT_TRUE(cells->GetCell(Context().get(), one, &cell).ok());
  EXPECT_NE(cell.cell().unreadable(), "") << "counts that are not known are not passed off as known";
  one.set_name("zone1");
  ASSERT_TRUE(cells->GetCell(Context().get(), one, &cell).ok());
  EXPECT_EQ(cell.cell().unreadable(), "");
  sandbox_->zone2().Signal(SIGCONT);
  AwaitUnreachable("");
  EXPECT_EQ(PoolerNames(Context().get(), {}), "p1 p2 p3");
}

TEST_F(MultiadminGrpcTest, PoolerStatusAndRestarts) {
  pb::GetPoolerStatusRequest request;
  pb::GetPoolerStatusResponse response;
  EXPECT_EQ(stub().GetPoolerStatus(Context().get(), request, &response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  request.mutable_pooler_id()->set_cell("zone1");
  EXPECT_EQ(stub().GetPoolerStatus(Context().get(), request, &response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  request.mutable_pooler_id()->set_name("nobody");
  grpc::Status missing = stub().GetPoolerStatus(Context().get(), request, &response);
  EXPECT_EQ(missing.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(missing.error_message(), "pooler 'zone1/nobody' not found");
  request.mutable_pooler_id()->set_name("p1");
  ASSERT_TRUE(stub().GetPoolerStatus(Context().get(), request, &response).ok());
  EXPECT_TRUE(response.status().postgres_ready());
  EXPECT_EQ(response.status().wal_position(), "0/3000060");
  EXPECT_EQ(response.consensus_status().id().name(), "p1");
  request.mutable_pooler_id()->set_cell("zone2");
  request.mutable_pooler_id()->set_name("p2");
  grpc::Status silent = stub().GetPoolerStatus(Context().get(), request, &response);
  EXPECT_EQ(silent.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(Reason(silent), "POOLER_SILENT") << "not to be taken for the Admin API's own absence";

  pb::SetPostgresRestartsEnabledRequest restarts;
  pb::SetPostgresRestartsEnabledResponse told;
  restarts.mutable_pooler_id()->set_cell("zone1");
  restarts.mutable_pooler_id()->set_name("p1");
  ASSERT_TRUE(stub().SetPostgresRestartsEnabled(Context().get(), restarts, &told).ok());
  EXPECT_EQ(sandbox_->restarts_enabled(), 0);
  restarts.set_enabled(true);
  ASSERT_TRUE(stub().SetPostgresRestartsEnabled(Context().get(), restarts, &told).ok());
  EXPECT_EQ(sandbox_->restarts_enabled(), 1);
}

TEST_F(MultiadminGrpcTest, CallThatIsCancelled_EndsWhatThePoolerDoesForIt) {
  pb::VerifyBackupsRequest request;
  request.set_database("postgres");
  request.set_table_group("default");
  request.set_shard("0-inf");
  pb::VerifyBackupsResponse response;
  std::unique_ptr<grpc::ClientContext> context = Context();
  std::thread caller([&] {
    EXPECT_EQ(stub().VerifyBackups(context.get(), request, &response).error_code(), grpc::StatusCode::CANCELLED);
  });
  EXPECT_TRUE(sandbox_->AwaitVerification(true));
  context->TryCancel();
  caller.join();
  EXPECT_TRUE(sandbox_->AwaitVerification(false));
}

/// A port that takes connections and says nothing, as that of a frozen process does.
class FrozenListener {
 public:
  FrozenListener() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_.get(), 16), 0);
    EXPECT_EQ(::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
  }
  int port() const { return port_; }

 private:
  UniqueFd listener_;
  int port_ = 0;
};

TEST(MultiadminFrozenTest, SilentComponents_AreToldBeforeTheCallerGivesUp) {
  if (!EtcdSandbox::Possible()) {
    GTEST_SKIP() << "no etcd";
  }
  MultiadminSandbox sandbox;
  FrozenListener frozen;
  clustermetadata::Multipooler pooler;
  pooler.mutable_id()->set_component(clustermetadata::ID::MULTIPOOLER);
  pooler.mutable_id()->set_cell("zone1");
  pooler.mutable_id()->set_name("frozen");
  pooler.set_hostname("127.0.0.1");
  (*pooler.mutable_port_map())["grpc"] = frozen.port();
  clustermetadata::Multigateway gateway;
  *gateway.mutable_id() = pooler.id();
  gateway.mutable_id()->set_component(clustermetadata::ID::MULTIGATEWAY);
  gateway.set_hostname("127.0.0.1");
  (*gateway.mutable_port_map())["grpc"] = frozen.port();
  ASSERT_TRUE(sandbox.topology().PutPooler(pooler, absl::Now() + absl::Seconds(20)).ok());
  ASSERT_TRUE(sandbox.topology().PutGateway(gateway, absl::Now() + absl::Seconds(20)).ok());
  pb::GetPoolerStatusRequest of_pooler;
  *of_pooler.mutable_pooler_id() = pooler.id();
  pb::GetPoolerStatusResponse status;
  ASSERT_TRUE(Eventually([&] {
    return sandbox.stub().GetPoolerStatus(Context().get(), of_pooler, &status).error_code() !=
           grpc::StatusCode::NOT_FOUND;
  }));
  for (absl::Duration patience : {absl::Seconds(2), absl::Seconds(20)}) {
    const absl::Time begun = absl::Now();
    EXPECT_EQ(Reason(sandbox.stub().GetPoolerStatus(Context(patience).get(), of_pooler, &status)), "POOLER_SILENT");
    EXPECT_LT(absl::Now() - begun, absl::Seconds(8));
    pb::SetPostgresRestartsEnabledRequest restarts;
    *restarts.mutable_pooler_id() = pooler.id();
    pb::SetPostgresRestartsEnabledResponse told;
    EXPECT_EQ(Reason(sandbox.stub().SetPostgresRestartsEnabled(Context(patience).get(), restarts, &told)),
              "POOLER_SILENT");
    pb::GetGatewayQueriesRequest of_gateway;
    *of_gateway.mutable_gateway_id() = gateway.id();
    pb::GetGatewayQueriesResponse queries;
    EXPECT_EQ(Reason(sandbox.stub().GetGatewayQueries(Context(patience).get(), of_gateway, &queries)),
              "GATEWAY_SILENT");
  }
}

TEST_F(MultiadminGrpcTest, ManyPoolerStatuses_EachInItsPlace) {
  multigres::admin::v1::GetPoolerStatusesRequest request;
  for (const char* name : {"zone2 p2", "zone1 p1", "zone1 nobody", ""}) {
    std::vector<std::string> parts = absl::StrSplit(name, ' ');
    clustermetadata::ID& id = *request.add_pooler_ids();
    id.set_cell(parts[0]);
    id.set_name(parts.back());
  }
  multigres::admin::v1::GetPoolerStatusesResponse response;
  auto topology = multigres::admin::v1::TopologyService::NewStub(sandbox_->channel());
  grpc::Status status = topology->GetPoolerStatuses(Context().get(), request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(response.statuses_size(), 4);
  EXPECT_EQ(response.statuses(0).error_code(), grpc::StatusCode::UNAVAILABLE);  // nobody listens there
  EXPECT_EQ(response.statuses(0).pooler_id().name(), "p2");
  EXPECT_EQ(response.statuses(1).error_code(), 0);
  EXPECT_EQ(response.statuses(1).status().wal_position(), "0/3000060");
  EXPECT_EQ(response.statuses(1).consensus_status().id().name(), "p1");
  EXPECT_EQ(response.statuses(2).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(response.statuses(3).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  for (int i = 0; i < 5000; ++i) {
    request.add_pooler_ids()->set_cell("zone1");
  }
  EXPECT_EQ(topology->GetPoolerStatuses(Context().get(), request, &response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(MultiadminGrpcTest, RuleThatCannotBe_IsRefusedBeforeAnybodyHandsOver) {
  auto shards = v1::ShardService::NewStub(sandbox_->channel());
  auto change = [&](const std::string& leader, const std::string& cohort, const std::string& policy) {
    v1::ChangeRuleRequest request;
    request.mutable_shard_key()->set_database("postgres");
    request.mutable_shard_key()->set_table_group("default");
    request.mutable_shard_key()->set_shard("0-inf");
    auto name = [](absl::string_view digit, clustermetadata::ID* id) {
      id->set_component(clustermetadata::ID::MULTIPOOLER);
      id->set_cell(absl::StrCat("zone", digit));
      id->set_name(absl::StrCat("p", digit));
    };
    name(leader, request.mutable_leader_id());
    for (absl::string_view member : absl::StrSplit(cohort, ' ')) {
      name(member, request.add_cohort_members());
    }
    request.set_durability_policy(policy);
    v1::ChangeRuleResponse response;
    return shards->ChangeRule(Context().get(), request, &response);
  };
  EXPECT_EQ(change("2", "1 3", "").error_message(), "the wished leader is not in the wished cohort");
  EXPECT_EQ(change("2", "1 2 2", "").error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(change("2", "1 2", "MOST").error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(change("2", "2", "AT_LEAST_2").error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(change("2", "2", "MULTI_CELL_AT_LEAST_2").error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(change("2", "1 2", "MULTI_CELL_AT_LEAST_3").error_code(), grpc::StatusCode::FAILED_PRECONDITION);
}

TEST_F(MultiadminGrpcTest, WhatIsNotThere_SaysSo) {
  pb::BackupResponse backup;
  EXPECT_EQ(stub().Backup(Context().get(), {}, &backup).error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  pb::GetBackupJobStatusRequest job;
  job.set_job_id("nope");
  pb::GetBackupJobStatusResponse state;
  EXPECT_EQ(Reason(stub().GetBackupJobStatus(Context().get(), job, &state)), "UNKNOWN_JOB");
  v1::SwitchPrimaryRequest order;
  order.mutable_shard_key()->set_database("nope");
  order.mutable_shard_key()->set_table_group("default");
  order.mutable_shard_key()->set_shard("0-inf");
  v1::SwitchPrimaryResponse done;
  auto shards = v1::ShardService::NewStub(sandbox_->channel());
  EXPECT_EQ(Reason(shards->SwitchPrimary(Context().get(), order, &done)), "UNKNOWN_SHARD");
}

}  // namespace
}  // namespace mg::tests
