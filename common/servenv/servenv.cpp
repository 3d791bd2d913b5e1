#include "common/servenv/servenv.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <unistd.h>

#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <mutex>
#include <set>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/fs/fs.h"
#include "common/log/log.h"
#include "common/rpc/grpc_log.h"
#include "common/rpc/rpc.h"
#include "common/servenv/grpc_guard.h"
#include "common/servenv/http_server.h"
#include "common/servenv/pages.h"
#include "common/servenv/server_flags.h"
#include "common/status/status.h"
#include "common/version/version.h"
#include "serviceinfoservice.grpc.pb.h"

namespace mg::servenv {
namespace {

class BuildInfo final : public serviceinfo::ServiceInfo::Service {
 public:
  explicit BuildInfo(std::string name) : name_(std::move(name)) {}
  void SetGuard(GrpcGuard guard) { guard_ = std::move(guard); }
  grpc::Status GetBuildInfo(grpc::ServerContext* context, const serviceinfo::GetBuildInfoRequest*,
                            serviceinfo::GetBuildInfoResponse* response) override {
    absl::Status admitted = guard_ ? guard_("/serviceinfo.ServiceInfo/GetBuildInfo", *context) : absl::OkStatus();
    if (!admitted.ok()) {
      return rpc::ToGrpc(admitted);
    }
    response->mutable_build_info()->set_revision(kVersion);
    response->mutable_build_info()->set_main_path(absl::StrCat("multigres/components/", name_));
    return grpc::Status::OK;
  }

 private:
  std::string name_;
  GrpcGuard guard_;
};

sigset_t EndSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

/// Runs hooks, and waits for them no longer than `limit`; a hook that hangs must not keep the process alive.
void RunBounded(const std::vector<std::function<void()>>& hooks, absl::Duration limit, const char* what) {
  if (hooks.empty()) {
    return;
  }
  struct Shared {
    std::mutex mutex;
    std::condition_variable done_changed;
    bool done = false;
  };
  auto shared = std::make_shared<Shared>();
  std::thread thread([shared, hooks] {
    for (const auto& hook : hooks) {
      hook();
    }
    std::lock_guard lock(shared->mutex);
    shared->done = true;
    shared->done_changed.notify_all();
  });
  std::unique_lock lock(shared->mutex);
  bool done = shared->done_changed.wait_for(lock, absl::ToChronoMilliseconds(limit), [&] { return shared->done; });
  lock.unlock();
  if (done) {
    thread.join();
  } else {
    log::Error("a hook did not end in time", {{"hooks", what}, {"limit", absl::FormatDuration(limit)}});
    // The process ends right after; the thread cannot be joined without waiting for what hangs.
    std::fflush(nullptr);
    ::_exit(1);
  }
}

}  // namespace

struct Server::Impl {
  Impl(const std::string& server_name, const std::string& description)
      : name(server_name), flag_set(server_name, description), build_info(server_name) {}

  std::string name;
  flags::FlagSet flag_set;
  ServerFlags options;
  BuildInfo build_info;
  GrpcGuard grpc_guard;
  HttpRefusal refusal;
  std::vector<grpc::Service*> services;
  Pages pages;
  std::unique_ptr<HttpServer> http;
  int bound_http_port = 0;
  std::vector<std::function<void()>> on_run, on_term, on_close;
  std::string host;

  std::mutex mutex;
  std::condition_variable ended;
  bool end = false;
  int exit_status = 0;
  std::thread signal_thread;
  std::shared_ptr<grpc::ServerCredentials> credentials;  ///< the server asks them at each handshake
  std::unique_ptr<grpc::Server> grpc_server;

  absl::Status StartGrpc();
  void WatchSignals();
};

const ServerFlags& Server::options() const { return impl_->options; }

Server::Server(std::string name, std::string description) : impl_(std::make_unique<Impl>(name, description)) {
  impl_->options.AddTo(&impl_->flag_set);
  // Blocked in every thread from the start: only the watcher in Run takes them.
  sigset_t set = EndSignals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

Server::~Server() = default;

flags::FlagSet& Server::flags() { return impl_->flag_set; }

std::optional<int> Server::Init(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (std::string(argv[i]) == "--builtin-info") {
      std::printf("{\"name\":\"%s\",\"builtin\":true,\"version\":\"%s\"}\n", impl_->name.c_str(), kVersion);
      return 0;
    }
  }
  absl::Status status = impl_->flag_set.Parse(argc, argv);
  if (absl::IsCancelled(status)) {
    return 0;
  }
  if (status.ok()) {
    status = impl_->options.Check();
  }
  if (status.ok()) {
    status = log::Configure({impl_->options.log_level, impl_->options.log_format, impl_->options.log_output});
  }
  if (!status.ok()) {
    std::fprintf(stderr, "Error: %s\n", std::string(status.message()).c_str());
    return 1;
  }
  impl_->host = impl_->options.hostname;
  if (impl_->host.empty()) {
    char name[256] = {};
    ::gethostname(name, sizeof name - 1);
    impl_->host = name;
  }
  impl_->pages.SetConfig([this] { return impl_->flag_set.Values(); });
  log::Info("logging initialised", {{"level", impl_->options.log_level},
                                    {"format", impl_->options.log_format},
                                    {"output", impl_->options.log_output},
                                    {"version", kVersion}});
  return std::nullopt;
}

void Server::AddService(grpc::Service* service, const std::string& service_map_name, bool on_by_default) {
  if (service_map_name.empty() || ServiceEnabled(service_map_name, on_by_default)) {
    impl_->services.push_back(service);
  }
}

bool Server::ServiceEnabled(const std::string& service_map_name, bool on_by_default) const {
  bool enabled = on_by_default;
  for (const std::string& word : impl_->options.service_map) {
    if (word == service_map_name) {
      enabled = true;
    } else if (word == absl::StrCat("-", service_map_name)) {
      enabled = false;
    }
  }
  return enabled;
}

void Server::AddHttpHandler(const std::string& method, const std::string& path, HttpHandler handler) {
  impl_->pages.Add(method, path, std::move(handler));
}

void Server::SetGuard(std::function<std::optional<HttpResponse>(const HttpRequest&)> guard) {
  impl_->pages.SetGuard(std::move(guard));
}

void Server::SetRefusal(HttpRefusal refusal) { impl_->refusal = std::move(refusal); }

void Server::SetGrpcGuard(GrpcGuard guard) {
  impl_->build_info.SetGuard(guard);
  impl_->grpc_guard = std::move(guard);
}

void Server::SetStatusPage(std::function<std::string()> page) { impl_->pages.SetStatus(std::move(page)); }
void Server::SetReadyCheck(std::function<bool()> ready) { impl_->pages.SetReady(std::move(ready)); }
void Server::OnRun(std::function<void()> hook) { impl_->on_run.push_back(std::move(hook)); }
void Server::OnTerm(std::function<void()> hook) { impl_->on_term.push_back(std::move(hook)); }
void Server::OnClose(std::function<void()> hook) { impl_->on_close.push_back(std::move(hook)); }
const std::string& Server::hostname() const { return impl_->host; }
int Server::http_port() const { return impl_->bound_http_port; }
int Server::grpc_port() const { return impl_->options.grpc_port; }
const std::string& Server::grpc_socket_file() const { return impl_->options.grpc_socket_file; }

absl::Status Server::StartHttp() {
  if (impl_->http != nullptr) {
    return absl::OkStatus();
  }
  auto server = std::make_unique<HttpServer>(
      [this](const HttpRequest& request) { return impl_->pages.Answer(request); }, impl_->refusal);
  if (const ServerFlags& flags = impl_->options; !flags.http_tls_cert.empty()) {
    MG_RETURN_IF_ERROR(WithContext(server->UseTls(flags.http_tls_cert, flags.http_tls_key), "--http-tls-cert"));
  }
  std::string address = impl_->options.bind_address.empty() ? "127.0.0.1" : impl_->options.bind_address;
  MG_ASSIGN_OR_RETURN(impl_->bound_http_port, server->Start(address, impl_->options.http_port));
  impl_->http = std::move(server);
  log::Info("http listens", {{"address", address}, {"port", impl_->bound_http_port}});
  return absl::OkStatus();
}

absl::Status Server::Impl::StartGrpc() {
  rpc::LogGrpcsWords();
  if (options.grpc_port == 0 && options.grpc_socket_file.empty()) {
    return absl::OkStatus();
  }
  grpc::EnableDefaultHealthCheckService(options.grpc_port != 0);
  if (options.grpc_port != 0) {
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  }
  grpc::ServerBuilder builder;
  options.Apply(&builder);
  if (grpc_guard) {
    builder.experimental().SetInterceptorCreators(GuardReflection(grpc_guard));
  }
  builder.SetMaxReceiveMessageSize(options.max_message_size);
  builder.SetMaxSendMessageSize(options.max_message_size);
  // Two servers on one port must be an error, not a lottery.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  int bound = 0;
  if (options.grpc_port != 0) {
    std::string address = options.grpc_bind_address.empty() ? "127.0.0.1" : options.grpc_bind_address;
    MG_ASSIGN_OR_RETURN(credentials, options.Credentials());
    builder.AddListeningPort(absl::StrCat(address, ":", options.grpc_port), credentials, &bound);
    builder.RegisterService(&build_info);
  }
  if (!options.grpc_socket_file.empty()) {
    ::unlink(options.grpc_socket_file.c_str());
    builder.AddListeningPort(absl::StrCat("unix:", options.grpc_socket_file), grpc::InsecureServerCredentials());
  }
  for (grpc::Service* service : services) {
    builder.RegisterService(service);
  }
  grpc_server = builder.BuildAndStart();
  if (grpc_server == nullptr || (options.grpc_port != 0 && bound == 0)) {
    return MakeError(absl::StatusCode::kUnavailable,
                     absl::StrCat("listen on gRPC port ", options.grpc_port, ": the port is taken"),
                     {.reason = "PORT_IN_USE"});
  }
  log::Info("grpc listens", {{"port", options.grpc_port}, {"socket", options.grpc_socket_file}});
  return absl::OkStatus();
}

void Server::Impl::WatchSignals() {
  signal_thread = std::thread([this] {
    sigset_t set = EndSignals();
    int signal = 0;
    sigwait(&set, &signal);
    std::lock_guard lock(mutex);
    if (!end) {
      log::Info("told to end", {{"signal", signal}});
      end = true;
      ended.notify_all();
    }
  });
}

int Server::Run() {
  absl::Status status = StartHttp();
  if (status.ok()) {
    status = impl_->StartGrpc();
  }
  if (!status.ok()) {
    log::Error("cannot serve", {{"error", status.message()}});
    std::fprintf(stderr, "Error: %s\n", std::string(status.message()).c_str());
    impl_->http.reset();
    return 1;
  }
  if (const std::string& path = impl_->options.pid_file; !path.empty()) {
    if (absl::Status written = WriteFileAtomically(path, absl::StrCat(::getpid(), "\n"), 0644); !written.ok()) {
      log::Error("cannot serve", {{"error", written.message()}});
      std::fprintf(stderr, "Error: --pid-file: %s\n", std::string(written.message()).c_str());
      return 1;
    }
  }
  impl_->WatchSignals();
  log::Info("service started", {{"event_type", "lifecycle"}, {"outcome", "started"}, {"name", impl_->name}});
  for (const auto& hook : impl_->on_run) {
    hook();
  }
  std::unique_lock lock(impl_->mutex);
  impl_->ended.wait(lock, [this] { return impl_->end; });
  int exit_status = impl_->exit_status;
  lock.unlock();
  absl::Time lameduck_end = absl::Now() + impl_->options.lameduck_period;
  RunBounded(impl_->on_term, impl_->options.onterm_timeout, "on-term");
  if (impl_->grpc_server != nullptr) {
    // Streams live as long as their clients; those that outlast the lameduck period are cancelled.
    impl_->grpc_server->Shutdown(absl::ToChronoTime(lameduck_end));
    impl_->grpc_server->Wait();
  }
  impl_->http.reset();
  if (!impl_->options.pid_file.empty()) {
    ::unlink(impl_->options.pid_file.c_str());
  }
  RunBounded(impl_->on_close, impl_->options.onclose_timeout, "on-close");
  // The watcher may still wait for a signal (Shutdown ended us): give it one. It waits for it by sigwait.
  // NOLINTNEXTLINE(bugprone-bad-signal-to-kill-thread)
  pthread_kill(impl_->signal_thread.native_handle(), SIGTERM);
  impl_->signal_thread.join();
  log::Info("service ended", {{"event_type", "lifecycle"}, {"outcome", "ended"}});
  return exit_status;
}

void Server::Shutdown(int exit_status) {
  std::lock_guard lock(impl_->mutex);
  if (!impl_->end) {
    impl_->end = true;
    impl_->exit_status = exit_status;
    impl_->ended.notify_all();
  }
}

}  // namespace mg::servenv
