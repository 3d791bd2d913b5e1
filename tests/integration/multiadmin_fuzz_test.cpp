/// Requests that were damaged on their way, of every RPC of the Admin API: each is answered with an error of the right
/// class or by what it happens to ask for, the server stays, and its memory does not grow with them. The seed is
/// printed; MULTIGRES_FUZZ_SEED sets it, MULTIGRES_FUZZ_REQUESTS their number.
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/message.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <condition_variable>
#include <fstream>
#include <map>
#include <mutex>
#include <random>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "components/multiadmin/auth/rpc_rules.h"
#include "multigres/admin/v1/backup.pb.h"
#include "multigres/admin/v1/cell.grpc.pb.h"
#include "multigres/admin/v1/database.pb.h"
#include "multigres/admin/v1/identity.pb.h"
#include "multigres/admin/v1/shard.pb.h"
#include "multigres/admin/v1/topology.pb.h"
#include "tests/integration/multiadmin_sandbox.h"

namespace mg::tests {
namespace {

namespace proto = google::protobuf;

constexpr size_t kAtOnce = 32;

int Setting(const char* name, int fallback) {
  const char* text = std::getenv(name);
  int value = 0;
  return text != nullptr && absl::SimpleAtoi(text, &value) ? value : fallback;
}

int ResidentKb(pid_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/status"));
  std::string word;
  int value = -1;
  while (file >> word && word != "VmRSS:") {
  }
  file >> value;
  return value;
}

class Fuzzer {
 public:
  explicit Fuzzer(unsigned seed) : random_(seed) {}

  unsigned Below(unsigned bound) { return static_cast<unsigned>(random_() % bound); }

  /// A request with values that its fields may have or that somebody tries.
  void Fill(proto::Message* message, int depth = 0) {
    const proto::Descriptor* type = message->GetDescriptor();
    const proto::Reflection* reflection = message->GetReflection();
    for (int i = 0; i < type->field_count(); ++i) {
      const proto::FieldDescriptor* field = type->field(i);
      if (Below(4) == 0 || field->is_map()) {
        continue;
      }
      for (unsigned n = field->is_repeated() ? Below(4) : 1; n > 0; --n) {
        Set(message, reflection, field, depth);
      }
    }
  }

  /// Bits turned, pieces doubled, cut out, put in or cut off.
  std::string Damage(std::string bytes) {
    for (unsigned times = Below(4); times > 0 && !bytes.empty(); --times) {
      size_t at = Below(static_cast<unsigned>(bytes.size()));
      switch (Below(5)) {
        case 0:
          bytes[at] = static_cast<char>(bytes[at] ^ (1 << Below(8)));
          break;
        case 1:
          bytes.erase(at, Below(8));
          break;
        case 2:
          bytes.insert(at, bytes.substr(at, Below(64)));
          break;
        case 3:
          bytes.insert(at, std::string(Below(20), static_cast<char>(random_())));
          break;
        default:
          bytes.resize(at);
      }
    }
    return bytes;
  }

 private:
  std::string Text() {
    static const auto* const kTexts = new std::vector<std::string>{"",
                                                                   "zone1",
                                                                   "zone9",
                                                                   "postgres",
                                                                   "a\r\nX-Injected: 1",
                                                                   "../../x",
                                                                   "p1",
                                                                   "default",
                                                                   "0-inf",
                                                                   "%s%n",
                                                                   "-1",
                                                                   std::string(300, 'n'),
                                                                   "\xc3\xa9\xe2\x98\x83",
                                                                   std::string("nul\0x", 5),
                                                                   "{1,0}",
                                                                   "AT_LEAST_2",
                                                                   "127.0.0.1:1"};
    return (*kTexts)[Below(static_cast<unsigned>(kTexts->size()))];
  }

  void Set(proto::Message* message, const proto::Reflection* reflection, const proto::FieldDescriptor* field,
           int depth) {
    using Type = proto::FieldDescriptor;
    bool many = field->is_repeated();
    auto number = static_cast<std::int64_t>(random_()) - (1LL << 31);
    number = Below(2) == 0 ? number % 3 : Below(8) == 0 ? INT64_MIN : number;
    switch (field->cpp_type()) {
#define SET(KIND, Name, value)                                                                          \
  case Type::CPPTYPE_##KIND:                                                                            \
    many ? reflection->Add##Name(message, field, value) : reflection->Set##Name(message, field, value); \
    break;
      SET(INT32, Int32, static_cast<std::int32_t>(number))
      SET(INT64, Int64, number)
      SET(UINT32, UInt32, static_cast<std::uint32_t>(number))
      SET(UINT64, UInt64, static_cast<std::uint64_t>(number))
      SET(DOUBLE, Double, static_cast<double>(number))
      SET(FLOAT, Float, static_cast<float>(number))
      SET(BOOL, Bool, (number & 1) != 0)
      SET(ENUM, EnumValue, static_cast<int>(Below(6)))
      SET(STRING, String, Text())
#undef SET
      case Type::CPPTYPE_MESSAGE:
        if (depth < 4) {
          Fill(many ? reflection->AddMessage(message, field) : reflection->MutableMessage(message, field), depth + 1);
        }
        break;
    }
  }

  std::mt19937 random_;
};

struct Sent {
  grpc::ClientContext context;
  grpc::ByteBuffer request, response;
};

/// Calls that go side by side; remembers how often each method ended how.
class Calls {
 public:
  explicit Calls(std::shared_ptr<grpc::Channel> channel) : stub_(std::move(channel)) {}
  ~Calls() { Await(0); }

  void Send(const std::string& method, const std::string& bytes, bool readable, absl::Duration limit) {
    Await(kAtOnce - 1);
    auto sent = std::make_shared<Sent>();
    sent->context.set_deadline(absl::ToChronoTime(absl::Now() + limit));
    grpc::Slice slice(bytes);
    sent->request = grpc::ByteBuffer(&slice, 1);
    {
      std::lock_guard lock(mutex_);
      ++under_way_;
    }
    stub_.UnaryCall(&sent->context, method, {}, &sent->request, &sent->response,
                    [this, sent, method, readable](const grpc::Status& status) {
                      std::lock_guard lock(mutex_);
                      ++ends_[{method, readable, status.error_code()}];
                      messages_[{method, readable, status.error_code()}] = status.error_message();
                      --under_way_;
                      ended_.notify_all();
                    });
  }

  void Await(size_t most) {
    std::unique_lock lock(mutex_);
    ended_.wait(lock, [&] { return under_way_ <= most; });
  }

  using End = std::tuple<std::string, bool, grpc::StatusCode>;
  std::map<End, int> ends() {
    Await(0);
    return ends_;
  }
  std::string message(const End& end) { return messages_[end]; }

 private:
  grpc::GenericStub stub_;
  std::mutex mutex_;
  std::condition_variable ended_;
  size_t under_way_ = 0;
  std::map<End, int> ends_;
  std::map<End, std::string> messages_;
};

TEST(MultiadminFuzzTest, DamagedRequests_AreAnsweredAndCostNoMemory) {
  if (!EtcdSandbox::Possible()) {
    GTEST_SKIP() << "no etcd";
  }
  const int seed = Setting("MULTIGRES_FUZZ_SEED", static_cast<int>(std::random_device{}() >> 1));
  const int requests = Setting("MULTIGRES_FUZZ_REQUESTS", 3000);
  std::printf("MULTIGRES_FUZZ_SEED=%d\n", seed);
  SCOPED_TRACE(absl::StrCat("MULTIGRES_FUZZ_SEED=", seed));
  MultiadminSandbox sandbox;
  struct Rpc {
    std::string method;
    const proto::Descriptor* type;
    bool streams;
  };
  std::vector<Rpc> rpcs;
  // Whose files' descriptors are not referred to would not be linked.
  for (const proto::Descriptor* type :
       {multigres::admin::v1::RestoreBackupRequest::descriptor(),
        multigres::admin::v1::CreateDatabaseRequest::descriptor(), multigres::admin::v1::WhoAmIRequest::descriptor(),
        multigres::admin::v1::ChangeRuleRequest::descriptor(),
        multigres::admin::v1::WatchTopologyRequest::descriptor()}) {
    ASSERT_NE(type, nullptr);
  }
  for (const multiadmin::RpcRule& rule : multiadmin::RpcRules()) {
    std::string method(rule.method);
    const proto::MethodDescriptor* known =
        proto::DescriptorPool::generated_pool()->FindMethodByName(absl::StrReplaceAll(method.substr(1), {{"/", "."}}));
    ASSERT_NE(known, nullptr) << method;
    rpcs.push_back({.method = method, .type = known->input_type(), .streams = known->server_streaming()});
  }
  Fuzzer fuzzer(static_cast<unsigned>(seed));
  Calls calls(sandbox.channel());
  httplib::Client http("127.0.0.1", sandbox.http_port());
  http.set_keep_alive(true);
  http.set_read_timeout(20);
  int before = 0;
  for (int i = 0; i < requests; ++i) {
    // What is made once (pools of threads, buffers) is there after the first part.
    if (i == requests / 3) {
      calls.Await(0);
      before = ResidentKb(sandbox.process().pid());
    }
    const Rpc& rpc = rpcs[fuzzer.Below(static_cast<unsigned>(rpcs.size()))];
    std::unique_ptr<proto::Message> message(proto::MessageFactory::generated_factory()->GetPrototype(rpc.type)->New());
    fuzzer.Fill(message.get());
    std::string bytes = fuzzer.Damage(message->SerializeAsString());
    if (i % 8 == 0) {
      httplib::Result answer = http.Post(rpc.method, bytes, "application/json");
      ASSERT_TRUE(answer) << rpc.method << ": " << httplib::to_string(answer.error());
      EXPECT_NE(answer->status, 500) << rpc.method << " " << answer->body;
      EXPECT_FALSE(answer->has_header("X-Injected")) << rpc.method;
      continue;
    }
    bool readable = message->ParseFromString(bytes);
    calls.Send(rpc.method, bytes, readable, rpc.streams ? absl::Milliseconds(100) : absl::Seconds(20));
  }
  using Code = grpc::StatusCode;
  const std::set<Code> fit = {Code::OK,           Code::INVALID_ARGUMENT,    Code::NOT_FOUND,   Code::ALREADY_EXISTS,
                              Code::ABORTED,      Code::FAILED_PRECONDITION, Code::UNAVAILABLE, Code::UNIMPLEMENTED,
                              Code::OUT_OF_RANGE, Code::RESOURCE_EXHAUSTED};
  std::map<Code, int> by_code;
  for (const auto& [end, count] : calls.ends()) {
    const auto& [method, readable, code] = end;
    by_code[code] += count;
    bool streams = absl::EndsWith(method, "Database") || absl::EndsWith(method, "/WatchTopology") ||
                   absl::EndsWith(method, "/RunRestore");
    if (streams) {
      continue;  // cut off by their time, and gRPC's own reading of a body comes before ours
    }
    // What a pooler itself answers is passed on as the contract has it; this one knows two methods only.
    bool of_the_pooler = code == Code::INTERNAL && absl::StartsWith(calls.message(end), "pooler '");
    EXPECT_TRUE(fit.contains(code) || of_the_pooler) << method << " " << code << " " << calls.message(end);
    if (!readable) {
      EXPECT_EQ(code, Code::INVALID_ARGUMENT) << method << " " << calls.message(end);
    }
  }
  for (const auto& [code, count] : by_code) {
    std::printf("code %2d: %d\n", static_cast<int>(code), count);
  }
  int after = ResidentKb(sandbox.process().pid());
  std::printf("multiadmin: %d KB after a third, %d KB at the end\n", before, after);
  EXPECT_LE(after - before, 8 << 10);
  multigres::admin::v1::ListCellsResponse cells;
  grpc::ClientContext context;
  EXPECT_TRUE(multigres::admin::v1::CellService::NewStub(sandbox.channel())->ListCells(&context, {}, &cells).ok());
  for (const auto& cell : cells.cells()) {
    EXPECT_TRUE(topology::ValidateCellName(cell.cell().name()).ok()) << cell.cell().name();
  }
}

}  // namespace
}  // namespace mg::tests
