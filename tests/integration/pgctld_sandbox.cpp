#include "tests/integration/pgctld_sandbox.h"

#include <arpa/inet.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <random>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/fs/fs.h"
#include "common/pginstall/pginstall.h"
#include "common/process/process_id.h"
#include "common/rpc/rpc.h"
#include "common/shim_protocol/shim.h"

namespace mg::tests {
namespace {

constexpr char kPostgresUser[] = "postgres";

std::string Program(const std::string& name) {
  return absl::StrCat(std::getenv("MULTIGRES_BUILD_DIR"), "/libexec/multigres/", name);
}

std::unique_ptr<grpc::ClientContext> Context() {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_wait_for_ready(true);
  rpc::SetDeadline(context.get(), absl::Now() + absl::Seconds(60));
  return context;
}

}  // namespace

int FreePort() {
  // Not one of the kernel's own choice: a connection of some other program could take it before our server does.
  constexpr int kFirst = 16000, kLast = 24999;
  static std::mt19937 random{std::random_device()()};
  static std::set<int> given;
  for (;;) {
    int port = std::uniform_int_distribution<int>(kFirst, kLast)(random);
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 && given.insert(port).second) {
      return port;
    }
  }
}

bool Eventually(const std::function<bool()>& predicate, absl::Duration bound) {
  absl::Time deadline = absl::Now() + bound;
  while (!predicate()) {
    if (absl::Now() > deadline) {
      return false;
    }
    ::poll(nullptr, 0, 5);
  }
  return true;
}

bool PgctldSandbox::Possible() {
  return pginstall::Newest().ok() && (::geteuid() != 0 || ::getpwnam(kPostgresUser) != nullptr);
}

PgctldSandbox::PgctldSandbox(const std::string& user) : user_(user) {
  char name[] = "/tmp/mg-pgctld-XXXXXX";
  directory_ = ::mkdtemp(name);
  EXPECT_EQ(::chmod(directory_.c_str(), 0711), 0);
  if (::geteuid() == 0) {
    postgres_user_ = kPostgresUser;
  }
  port_ = FreePort();
  EXPECT_TRUE(WriteFileAtomically(directory_ + "/password", password_ + "\n").ok());
  // Processes are killed here, never the machine: nothing need reach the disk.
  EXPECT_TRUE(WriteFileAtomically(directory_ + "/test.conf", "fsync = off\n", 0644).ok());
  EXPECT_TRUE(MakeDirectories(directory_ + "/run/pgctld", 0700).ok());
  EXPECT_TRUE(MakeDirectories(directory_ + "/log/pgctld", 0700).ok());
  if (!user_.empty()) {
    passwd* entry = ::getpwnam(user_.c_str());
    for (const char* path : {"", "/password"}) {
      EXPECT_EQ(::chown((directory_ + path).c_str(), entry->pw_uid, entry->pw_gid), 0);
    }
  }
  environment_ = {{"PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"},
                  {"PGDATA", data_dir()},
                  {"POSTGRES_PASSWORD_FILE", directory_ + "/password"},
                  {"POSTGRES_INITDB_EXTRA_CONF", directory_ + "/test.conf"},
                  {"MULTIGRES_POSTGRES_RUN_DIR", directory_ + "/postgres-run"},
                  {"MULTIGRES_POSTGRES_LOG_DIR", log_dir()},
                  {"MULTIGRES_POSTGRES_NAME", "postgres/zone1"}};
}

PgctldSandbox::~PgctldSandbox() {
  EXPECT_TRUE(shim::StopAndWait(directory_ + "/run/pgctld", {{.signal = SIGTERM}}).ok());
  EXPECT_TRUE(shim::StopAndWait(directory_ + "/postgres-run", {{.signal = SIGQUIT}}).ok());
  EXPECT_TRUE(RemoveTree(directory_).ok());
}

void PgctldSandbox::Serve() {
  grpc_port_ = FreePort();
  http_port_ = FreePort();
  shim::ShimState before = shim::ReadShimState(directory_ + "/run/pgctld");
  shim::LaunchSpec spec;
  spec.name = "pgctld/zone1";
  spec.run_dir = directory_ + "/run/pgctld";
  spec.log_dir = directory_ + "/log/pgctld";
  spec.argv = {Program("pgctld"),        "server",      "--pooler-dir",           pooler_dir(), "--grpc-port",
               absl::StrCat(grpc_port_), "--http-port", absl::StrCat(http_port_), "--pg-port",  absl::StrCat(port_)};
  spec.argv.insert(spec.argv.end(), flags_.begin(), flags_.end());
  for (const auto& [key, value] : environment_) {
    spec.environment.push_back(absl::StrCat(key, "=", value));
  }
  spec.working_directory = "/";
  spec.run_as = user_;
  spec.generation = before.launch.has_value() ? before.launch->generation + 1 : 1;
  absl::StatusOr<shim::ShimState> state = shim::Launch(Program("multigres-shim"), spec);
  ASSERT_TRUE(state.ok()) << state.status();
  stub_ = pgctldservice::PgCtld::NewStub(rpc::DialPlain(absl::StrCat("127.0.0.1:", grpc_port_)));
  pgctldservice::StatusResponse response;
  grpc::Status status = stub_->Status(Context().get(), {}, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
}

void PgctldSandbox::KillPgctld() {
  shim::ShimState state = shim::ReadShimState(directory_ + "/run/pgctld");
  ASSERT_TRUE(state.child_alive);
  ASSERT_TRUE(SignalProcess(*state.child, SIGKILL).ok());
  EXPECT_TRUE(Eventually([&] { return !IsAlive(*state.shim); }));
}

HelperResult PgctldSandbox::Run(const std::vector<std::string>& words) {
  HelperSpec spec;
  spec.argv = {Program("pgctld")};
  spec.argv.insert(spec.argv.end(), words.begin(), words.end());
  spec.argv.insert(spec.argv.end(), {"--pooler-dir", pooler_dir(), "--pg-port", absl::StrCat(port_)});
  for (const auto& [key, value] : environment_) {
    spec.environment.push_back(absl::StrCat(key, "=", value));
  }
  absl::StatusOr<HelperResult> result = RunHelper(spec);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? *result : HelperResult{.exit_code = -1};
}

const std::string& PgctldSandbox::Template() {
  struct Made {
    Made() { EXPECT_EQ(sandbox.Run({"init"}).exit_code, 0); }
    PgctldSandbox sandbox;
    std::string path = sandbox.data_dir();
  };
  static Made made;
  return made.path;
}

void PgctldSandbox::CopyTemplate() {
  absl::Status status = MakeDirectories(pooler_dir(), 0755);
  EXPECT_TRUE(status.ok()) << status;
  absl::StatusOr<HelperResult> copied = RunHelperOk({.argv = {"cp", "-a", "--reflink=auto", Template(), data_dir()}});
  EXPECT_TRUE(copied.ok()) << copied.status();
}

pgctldservice::StatusResponse PgctldSandbox::Status() {
  pgctldservice::StatusResponse response;
  grpc::Status status = stub_->Status(Context().get(), {}, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response;
}

grpc::Status PgctldSandbox::Start(bool as_primary, pgctldservice::StartResponse* response) {
  pgctldservice::StartRequest request;
  request.set_as_primary(as_primary);
  pgctldservice::StartResponse own;
  return stub_->Start(Context().get(), request, response == nullptr ? &own : response);
}

grpc::Status PgctldSandbox::Stop(const std::string& mode, pgctldservice::StopResponse* response) {
  pgctldservice::StopRequest request;
  request.set_mode(mode);
  pgctldservice::StopResponse own;
  return stub_->Stop(Context().get(), request, response == nullptr ? &own : response);
}

grpc::Status PgctldSandbox::Restart(bool as_standby, const std::string& mode) {
  pgctldservice::RestartRequest request;
  request.set_as_standby(as_standby);
  request.set_mode(mode);
  pgctldservice::RestartResponse response;
  return stub_->Restart(Context().get(), request, &response);
}

grpc::Status PgctldSandbox::Init(pgctldservice::InitDataDirResponse* response) {
  pgctldservice::InitDataDirResponse own;
  return stub_->InitDataDir(Context().get(), {}, response == nullptr ? &own : response);
}

absl::StatusOr<std::unique_ptr<pgsql::Connection>> PgctldSandbox::Connect(const std::string& password, bool over_tcp) {
  return pgsql::Connection::Connect({.host = over_tcp ? "127.0.0.1" : pooler_dir() + "/pg_sockets",
                                     .port = port_,
                                     .user = "postgres",
                                     .password = password,
                                     .database = "postgres"},
                                    absl::Now() + absl::Seconds(10));
}

std::string PgctldSandbox::Ask(const std::string& sql) {
  auto connection = Connect();
  if (!connection.ok()) {
    return connection.status().ToString();
  }
  absl::StatusOr<pgsql::Result> result = (*connection)->Execute(sql, absl::Now() + absl::Seconds(20));
  return result.ok() ? (result->rows() > 0 ? result->Text(0, 0) : "") : result.status().ToString();
}

}  // namespace mg::tests
