#include "components/multipooler/manager/pgctld_client.h"

#include <grpcpp/grpcpp.h>

#include <mutex>
#include <set>
#include <utility>

#include "common/rpc/rpc.h"
#include "common/status/status.h"
#include "pgctldservice.grpc.pb.h"

namespace mg::multipooler {

struct PgctldClient::Impl {
  std::string address;
  std::mutex mutex;
  std::shared_ptr<pgctldservice::PgCtld::Stub> stub;
  bool aborted = false;
  std::set<grpc::ClientContext*> calls;

  std::shared_ptr<pgctldservice::PgCtld::Stub> Stub() {
    std::lock_guard lock(mutex);
    if (stub == nullptr) {
      stub = pgctldservice::PgCtld::NewStub(rpc::DialPlain(address));
    }
    return stub;
  }

  // One call: `method` is a stub's member; abortable unless `always`.
  template <typename Method, typename Request, typename Response>
  absl::Status Call(const char* what, Method method, const Request& request, Response* response, absl::Duration limit,
                    bool wait, bool always) {
    grpc::ClientContext context;
    rpc::SetDeadline(&context, absl::Now() + limit);
    context.set_wait_for_ready(wait);
    if (!always) {
      std::lock_guard lock(mutex);
      if (aborted) {
        return absl::CancelledError("this pooler is stopping");
      }
      calls.insert(&context);
    }
    std::shared_ptr<pgctldservice::PgCtld::Stub> now = Stub();
    grpc::Status status = (now.get()->*method)(&context, request, response);
    std::lock_guard lock(mutex);
    calls.erase(&context);
    if (status.error_code() == grpc::StatusCode::UNAVAILABLE && stub == now) {
      stub = nullptr;  // a new channel tries at once; the old one would wait out its back-off
    }
    return WithContext(rpc::FromGrpc(status), what);
  }
};

PgctldClient::PgctldClient(const std::string& address) : impl_(std::make_unique<Impl>()) { impl_->address = address; }

PgctldClient::~PgctldClient() = default;

PgctldStatus PgctldClient::Status(absl::Duration limit) {
  pgctldservice::StatusResponse response;
  absl::Status status = impl_->Call("pgctld status", &pgctldservice::PgCtld::Stub::Status,
                                    pgctldservice::StatusRequest(), &response, limit, false, true);
  PgctldStatus result;
  if (!status.ok()) {
    result.message = std::string(status.message());
    return result;
  }
  result.pid = response.pid();
  result.ready = response.ready();
  result.message = response.message();
  switch (response.status()) {
    case pgctldservice::NOT_INITIALIZED:
      result.state = PgState::kNotInitialized;
      break;
    case pgctldservice::RUNNING:
      result.state = PgState::kRunning;
      break;
    default:
      // A postmaster that does not accept connections (yet, or any more) counts as stopped there, and has a pid.
      result.state = response.pid() != 0 ? PgState::kRunning : PgState::kStopped;
  }
  return result;
}

absl::Status PgctldClient::InitDataDir(absl::Duration limit) {
  pgctldservice::InitDataDirResponse response;
  return impl_->Call("initdb by pgctld", &pgctldservice::PgCtld::Stub::InitDataDir, pgctldservice::InitDataDirRequest(),
                     &response, limit, true, false);
}

absl::Status PgctldClient::Start(bool as_primary, bool suspected_divergence, absl::Duration limit) {
  pgctldservice::StartRequest request;
  request.set_as_primary(as_primary);
  request.set_suspected_divergence(suspected_divergence);
  pgctldservice::StartResponse response;
  return impl_->Call("start of PostgreSQL by pgctld", &pgctldservice::PgCtld::Stub::Start, request, &response, limit,
                     true, false);
}

absl::Status PgctldClient::Stop(const std::string& mode, absl::Duration limit) {
  pgctldservice::StopRequest request;
  request.set_mode(mode);
  pgctldservice::StopResponse response;
  return impl_->Call("stop of PostgreSQL by pgctld", &pgctldservice::PgCtld::Stub::Stop, request, &response, limit,
                     false, true);
}

absl::Status PgctldClient::RestartAsStandby(const std::string& mode, absl::Duration limit) {
  pgctldservice::RestartRequest request;
  request.set_mode(mode);
  request.set_as_standby(true);
  pgctldservice::RestartResponse response;
  return impl_->Call("restart of PostgreSQL by pgctld", &pgctldservice::PgCtld::Stub::Restart, request, &response,
                     limit, true, false);
}

absl::Status PgctldClient::ReloadConfig(absl::Duration limit) {
  pgctldservice::ReloadConfigResponse response;
  return impl_->Call("reload of PostgreSQL's settings by pgctld", &pgctldservice::PgCtld::Stub::ReloadConfig,
                     pgctldservice::ReloadConfigRequest(), &response, limit, true, false);
}

absl::Status PgctldClient::PgRewind(const std::string& host, int port, const std::string& application_name,
                                    absl::Duration limit) {
  pgctldservice::PgRewindRequest request;
  request.set_source_host(host);
  request.set_source_port(port);
  request.set_application_name(application_name);
  pgctldservice::PgRewindResponse response;
  return impl_->Call("pg_rewind by pgctld", &pgctldservice::PgCtld::Stub::PgRewind, request, &response, limit, true,
                     false);
}

void PgctldClient::Abort() {
  std::lock_guard lock(impl_->mutex);
  impl_->aborted = true;
  for (grpc::ClientContext* context : impl_->calls) {
    context->TryCancel();
  }
}

}  // namespace mg::multipooler
