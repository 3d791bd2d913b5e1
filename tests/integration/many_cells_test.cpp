/// Ten thousand cells, most of which share one etcd: whoever follows them all needs few threads and little memory, and
/// answers as quickly as ever. Cells whose etcd is away hold up none of the others.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <fstream>
#include <functional>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/etcd/etcd_client.h"
#include "multigres/admin/v1/cell.grpc.pb.h"
#include "tests/integration/multiadmin_sandbox.h"

namespace mg::tests {
namespace {

constexpr int kCells = 10000;
constexpr int kPerTransaction = 125;
constexpr int kDeadEtcds = 200;

absl::Time Soon() { return absl::Now() + absl::Seconds(20); }

/// A number of /proc/<pid>/status, such as Threads or VmRSS (kB).
int StatusOf(const std::string& pid, const std::string& name) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/status"));
  std::string word;
  int value = -1;
  while (file >> word && word != name + ":") {
  }
  file >> value;
  return value;
}

clustermetadata::Cell Cell(const std::string& name, const std::string& address) {
  clustermetadata::Cell cell;
  cell.set_name(name);
  cell.add_server_addresses(address);
  cell.set_root(absl::StrCat("/multigres/", name));
  return cell;
}

/// Cells c0 … of one etcd, straight into the global topology.
void AddCells(const std::string& address, int count) {
  auto etcd = etcd::Client::Create({address});
  for (int first = 0; first < count; first += kPerTransaction) {
    etcd::Transaction transaction;
    for (int i = first; i < std::min(count, first + kPerTransaction); ++i) {
      std::string name = absl::StrCat("c", i);
      transaction.puts.emplace_back(absl::StrCat("/multigres/global/cells/", name, "/Cell"),
                                    Cell(name, address).SerializeAsString());
    }
    ASSERT_TRUE(etcd->Commit(transaction, Soon()).ok());
  }
}

clustermetadata::Multipooler Pooler(const std::string& cell) {
  clustermetadata::Multipooler record;
  record.mutable_id()->set_component(clustermetadata::ID::MULTIPOOLER);
  record.mutable_id()->set_cell(cell);
  record.mutable_id()->set_name("p");
  record.set_hostname("localhost");
  return record;
}

class Count {
 public:
  void Set(size_t count) {
    std::lock_guard lock(mutex_);
    count_ = count;
    changed_.notify_all();
  }
  bool Await(size_t wanted) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), [&] { return count_ == wanted; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t count_ = 0;
};

class ManyCellsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!EtcdSandbox::Possible()) {
      GTEST_SKIP() << "no etcd";
    }
  }
};

TEST_F(ManyCellsTest, AWatchOfAllCellsIsAFewThreads) {
  EtcdSandbox etcd;
  auto topology = topology::Topology::Create({etcd.address()}, "/multigres/global");
  AddCells(etcd.address(), kCells);
  for (const char* cell : {"c0", "c9999"}) {
    ASSERT_TRUE(topology->PutPooler(Pooler(cell), Soon()).ok());
  }
  int threads = StatusOf("self", "Threads"), memory = StatusOf("self", "VmRSS");
  Count told;
  absl::Time begun = absl::Now();
  auto watch = topology->WatchPoolers(
      [&](const std::vector<clustermetadata::Multipooler>& poolers) { told.Set(poolers.size()); });
  ASSERT_TRUE(told.Await(2));
  absl::Duration took = absl::Now() - begun;
  // One of the cells, one of their etcd; the rest is gRPC's own for its first streams.
  EXPECT_LE(StatusOf("self", "Threads") - threads, 8);
  EXPECT_LE(StatusOf("self", "VmRSS") - memory, 40 << 10);
  EXPECT_LT(took, absl::Seconds(5));
  std::printf("first list after %.0f ms, %d threads and %d KB more\n", absl::ToDoubleMilliseconds(took),
              StatusOf("self", "Threads") - threads, StatusOf("self", "VmRSS") - memory);

  // Later cells, and cells that go.
  ASSERT_TRUE(topology->CreateCell(Cell("later", etcd.address()), Soon()).ok());
  ASSERT_TRUE(topology->PutPooler(Pooler("later"), Soon()).ok());
  EXPECT_TRUE(told.Await(3));
  auto raw = etcd::Client::Create({etcd.address()});
  ASSERT_TRUE(raw->Delete("/multigres/global/cells/c9999/Cell", Soon()).ok());
  EXPECT_TRUE(told.Await(2));

  // Etcds that are away, more than are followed: threads stay few, and the others are told all the same.
  for (int i = 0; i < kDeadEtcds; ++i) {
    ASSERT_TRUE(topology->CreateCell(Cell(absl::StrCat("dead", i), absl::StrCat("127.0.0.1:", i + 1)), Soon()).ok());
  }
  begun = absl::Now();
  ASSERT_TRUE(topology->PutPooler(Pooler("c5"), Soon()).ok());
  ASSERT_TRUE(told.Await(3));
  EXPECT_LT(absl::Now() - begun, absl::Seconds(3));
  EXPECT_LE(StatusOf("self", "Threads") - threads, 64 + 16);
}

TEST_F(ManyCellsTest, AllGatewaysAreReadAtOnceAndWhatCannotBeReadIsNamed) {
  EtcdSandbox etcd;
  auto topology = topology::Topology::Create({etcd.address()}, "/multigres/global");
  AddCells(etcd.address(), kCells);
  clustermetadata::Multigateway gateway;
  gateway.mutable_id()->set_component(clustermetadata::ID::MULTIGATEWAY);
  gateway.mutable_id()->set_cell("c7");
  gateway.mutable_id()->set_name("g");
  ASSERT_TRUE(topology->PutGateway(gateway, Soon()).ok());
  absl::Time begun = absl::Now();
  auto all = topology->AllGateways(Soon());
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_LT(absl::Now() - begun, absl::Seconds(3));
  EXPECT_EQ(all->records.size(), 1u);
  EXPECT_TRUE(all->unread.empty());
  ASSERT_TRUE(topology->CreateCell(Cell("dead", "127.0.0.1:1"), Soon()).ok());
  all = topology->AllGateways(absl::Now() + absl::Seconds(2));
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ(all->records.size(), 1u);
  EXPECT_EQ(all->unread, std::vector<std::string>{"dead"});
}

TEST_F(ManyCellsTest, MultiadminAnswersForAllOfThem) {
  using Cells = multigres::admin::v1::CellService;
  MultiadminSandbox sandbox;
  std::string pid = absl::StrCat(sandbox.process().pid());
  int threads = StatusOf(pid, "Threads");
  AddCells(sandbox.global_address(), kCells);
  auto stub = Cells::NewStub(sandbox.channel());
  using Call = std::function<grpc::Status(grpc::ClientContext*)>;
  auto timed = [](const char* what, absl::Duration bound, const Call& call) {
    absl::Time begun = absl::Now();
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(Soon()));
    grpc::Status status = call(&context);
    absl::Duration took = absl::Now() - begun;
    EXPECT_TRUE(status.ok()) << what << ": " << status.error_message();
    EXPECT_LT(took, bound) << what;
    std::printf("%s %.1f ms\n", what, absl::ToDoubleMilliseconds(took));
  };
  // A write through the API is read back, and with it all that came before.
  multigres::admin::v1::CreateCellRequest create;
  create.mutable_cell()->set_name("mine");
  multigres::admin::v1::CreateCellResponse created;
  timed("CreateCell", absl::Seconds(5), [&](grpc::ClientContext* c) { return stub->CreateCell(c, create, &created); });
  ::multiadmin::GetCellNamesResponse names;
  timed("GetCellNames", absl::Seconds(2),
        [&](grpc::ClientContext* c) { return sandbox.stub().GetCellNames(c, {}, &names); });
  EXPECT_EQ(names.names_size(), kCells + 4);
  timed("GetCellNames again", absl::Seconds(1),
        [&](grpc::ClientContext* c) { return sandbox.stub().GetCellNames(c, {}, &names); });
  multigres::admin::v1::ListCellsResponse list;
  timed("ListCells", absl::Seconds(2), [&](grpc::ClientContext* c) { return stub->ListCells(c, {}, &list); });
  EXPECT_EQ(list.cells_size(), kCells + 4);
  ::multiadmin::GetPoolersResponse poolers;
  timed("GetPoolers", absl::Seconds(1),
        [&](grpc::ClientContext* c) { return sandbox.stub().GetPoolers(c, {}, &poolers); });
  EXPECT_EQ(poolers.poolers_size(), 3);
  multigres::admin::v1::DeleteCellRequest remove;
  remove.set_name("c4711");
  multigres::admin::v1::DeleteCellResponse removed;
  timed("DeleteCell", absl::Seconds(5), [&](grpc::ClientContext* c) { return stub->DeleteCell(c, remove, &removed); });
  timed("GetCellNames after", absl::Seconds(2),
        [&](grpc::ClientContext* c) { return sandbox.stub().GetCellNames(c, {}, &names); });
  EXPECT_EQ(names.names_size(), kCells + 3);
  std::printf("multiadmin: %d threads more, %d KB\n", StatusOf(pid, "Threads") - threads, StatusOf(pid, "VmRSS"));
  EXPECT_LE(StatusOf(pid, "Threads") - threads, 8);
  EXPECT_LE(StatusOf(pid, "VmRSS"), 80 << 10);
}

}  // namespace
}  // namespace mg::tests
