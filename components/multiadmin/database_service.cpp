#include "components/multiadmin/database_service.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/rpc_service_method.h>
#include <grpcpp/support/method_handler.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/consensus/position.h"
#include "common/rpc/proto_time.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"

namespace mg::multiadmin {
namespace {

namespace v1 = multigres::admin::v1;
namespace prov = multigres::provisioner::v1;

constexpr char kCreate[] = "/multigres.admin.v1.DatabaseService/CreateDatabase";
constexpr char kDelete[] = "/multigres.admin.v1.DatabaseService/DeleteDatabase";
constexpr char kTableGroup[] = "default";  // the one that there is, in one shard
constexpr char kShard[] = "0-inf";
constexpr absl::Duration kBackupNews = absl::Milliseconds(250);
constexpr absl::Duration kBusyPause = absl::Seconds(1);
constexpr absl::Duration kConnectBound = absl::Seconds(3);

template <typename Request>
prov::OperationOptions OptionsOf(const Request& request) {
  prov::OperationOptions options;
  options.set_parent_operation_id(request.parent_operation_id());
  if (request.has_timeout()) {
    *options.mutable_timeout() = request.timeout();
  }
  return options;
}

absl::Status CallerLeft() { return absl::CancelledError("the caller has left"); }

prov::ProvisionProgress BackupStep(prov::StepState state, const std::string& backup, absl::Time begun) {
  prov::ProvisionProgress progress;
  const absl::Time now = absl::Now();
  progress.mutable_time()->set_seconds(absl::ToUnixSeconds(now));
  prov::StepProgress* step = progress.mutable_step();
  step->set_id("backup");
  step->set_group("backup");
  step->set_state(state);
  step->set_detail(backup);
  rpc::SetDuration(now - begun, step->mutable_elapsed());
  return progress;
}

absl::Status Relay(grpc::ClientContext* call, grpc::ClientReader<prov::ProvisionProgress>* reader,
                   const Databases::Listener& listener) {
  prov::ProvisionProgress progress;
  while (reader->Read(&progress)) {
    if (!listener(std::move(progress))) {
      call->TryCancel();
      break;
    }
  }
  absl::Status ended = rpc::FromGrpc(reader->Finish());
  if (absl::IsUnavailable(ended) && !DetailOf(ended).has_value()) {
    return MakeError(ended.code(),
                     "the answer did not arrive: the agent ended during the call, and what was begun may go on",
                     {.reason = "PROVISIONER_UNAVAILABLE"});
  }
  return ended;
}

/// One call of a stream that changes something: admitted, carried out, written to the audit log.
template <typename Request, typename Response, typename Act>
grpc::Status Stream(const Methods& methods, const char* method, grpc::ServerContext* context, const Request& request,
                    grpc::ServerWriter<Response>* writer, Act act) {
  return ServeStream(methods, method, *context, request, [&](absl::Time deadline) {
    absl::Status told;
    absl::Status status = act(request, deadline, [&](prov::ProvisionProgress&& progress) {
      if (progress.result().has_failure()) {
        const prov::Failure& failure = progress.result().failure();
        told = absl::Status(static_cast<absl::StatusCode>(failure.code()), failure.message());
      }
      Response response;
      *response.mutable_progress() = std::move(progress);
      return !context->IsCancelled() && writer->Write(response);
    });
    return StreamEnd(std::move(status), std::move(told));
  });
}

}  // namespace

absl::StatusOr<std::unique_ptr<Databases::Stub>> Databases::Dial(absl::Time deadline) const {
  if (place_.address.empty()) {
    return MakeError(
        absl::StatusCode::kFailedPrecondition,
        "this Admin API has no provisioner, so it can make and end no components",
        {.reason = "NO_PROVISIONER", .hint = "start multiadmin with --provisioner unix:<the agent's socket>"});
  }
  std::shared_ptr<grpc::Channel> channel = rpc::DialPlain(place_.address);
  if (!channel->WaitForConnected(absl::ToChronoTime(std::min(deadline, absl::Now() + kConnectBound)))) {
    return MakeError(absl::StatusCode::kUnavailable,
                     absl::StrCat("the provisioner at ", place_.address, " does not answer"),
                     {.reason = "PROVISIONER_UNAVAILABLE", .hint = "see 'multigres agent status'"});
  }
  return prov::ProvisionerService::NewStub(channel);
}

absl::Status Databases::Create(const v1::CreateDatabaseRequest& request, absl::Time deadline,
                               const Listener& listener) {
  MG_ASSIGN_OR_RETURN(std::unique_ptr<Stub> stub, Dial(deadline));
  prov::ProvisionDatabaseRequest order;
  Select(order.mutable_cluster());
  order.set_database(request.name());
  order.set_create(true);
  *order.mutable_cells() = request.cells();
  order.set_durability_policy(request.durability_policy());
  order.set_restore_from(request.restore_from());
  *order.mutable_options() = OptionsOf(request);
  grpc::ClientContext call;
  rpc::SetDeadline(&call, deadline);
  auto reader = stub->ProvisionDatabase(&call, order);
  return Relay(&call, reader.get(), listener);
}

absl::StatusOr<v1::PlanDeleteDatabaseResponse> Databases::PlanDelete(const v1::PlanDeleteDatabaseRequest& request,
                                                                     absl::Time deadline) {
  MG_ASSIGN_OR_RETURN(std::unique_ptr<Stub> stub, Dial(deadline));
  prov::ListDatabaseDataRequest question;
  Select(question.mutable_cluster());
  question.set_database(request.name());
  prov::ListDatabaseDataResponse answer;
  grpc::ClientContext call;
  rpc::SetDeadline(&call, deadline);
  MG_RETURN_IF_ERROR(rpc::FromGrpc(stub->ListDatabaseData(&call, question, &answer)));
  v1::PlanDeleteDatabaseResponse response;
  *response.mutable_entries() = answer.entries();
  *response.mutable_components() = answer.components();
  response.set_backup_directory(answer.backup_directory());
  response.set_needs_backup(answer.needs_backup());
  return response;
}

absl::StatusOr<std::string> Databases::BackUp(const std::string& database, absl::Time deadline,
                                              const Listener& listener) {
  pb::BackupRequest request;
  request.set_database(database);
  request.set_table_group(kTableGroup);
  request.set_shard(kShard);
  request.set_type("full");
  absl::StatusOr<pb::BackupResponse> begun = backups_->Backup(request, deadline);
  if (absl::IsFailedPrecondition(begun.status())) {
    request.set_force_primary(true);
    begun = backups_->Backup(request, deadline);
  }
  MG_RETURN_IF_ERROR(begun.status());
  pb::GetBackupJobStatusRequest job;
  job.set_job_id(begun->job_id());
  for (const absl::Time start = absl::Now();;) {
    absl::Time round = std::min(deadline, absl::Now() + kBackupNews);
    MG_ASSIGN_OR_RETURN(pb::GetBackupJobStatusResponse state, backups_->AwaitJob(job, round));
    bool made = state.status() == pb::JOB_STATUS_COMPLETED;
    if (state.status() == pb::JOB_STATUS_FAILED) {
      const absl::Status outcome = backups_->OutcomeOf(begun->job_id());
      return outcome.ok() ? absl::InternalError(state.error_message()) : outcome;
    }
    // Whoever has left meanwhile cannot want the rest.
    if (!listener(BackupStep(made ? prov::STEP_STATE_DONE : prov::STEP_STATE_RUNNING, state.backup_id(), start))) {
      return CallerLeft();
    }
    if (made) {
      return state.backup_id();
    }
    if (absl::Now() >= deadline) {
      return absl::DeadlineExceededError("it takes longer than the time given");
    }
  }
}

// Another backup may be under way, that of an interrupted deletion for one: the last one is made after it.
absl::StatusOr<std::string> Databases::LastBackup(const std::string& database, absl::Time deadline,
                                                  const Listener& listener) {
  for (const absl::Time begun = absl::Now();;) {
    absl::StatusOr<std::string> made = BackUp(database, deadline, listener);
    if (!absl::IsAborted(made.status()) || absl::Now() + kBusyPause >= deadline) {
      return made;
    }
    if (!listener(BackupStep(prov::STEP_STATE_RUNNING, "waits for another backup to end", begun))) {
      return CallerLeft();
    }
    backups_->AwaitAnEnd(database, absl::Now() + kBusyPause);  // or of one that somebody else makes
  }
}

absl::Status Databases::Delete(const v1::DeleteDatabaseRequest& request, absl::Time deadline,
                               const Listener& listener) {
  if (request.name().empty()) {
    return absl::InvalidArgumentError("database name cannot be empty");
  }
  MG_ASSIGN_OR_RETURN(std::unique_ptr<Stub> stub, Dial(deadline));
  // The provisioner's call of the same name only stops the default database; here that is refused.
  v1::PlanDeleteDatabaseRequest look;
  look.set_name(request.name());
  MG_ASSIGN_OR_RETURN(v1::PlanDeleteDatabaseResponse plan, PlanDelete(look, deadline));
  std::string backup;
  if (plan.needs_backup() && !request.purge()) {
    // The call lasts a little longer, so that what became of it can be told.
    const absl::Time by = request.has_timeout() ? absl::Now() + rpc::ToDuration(request.timeout()) : deadline;
    absl::StatusOr<std::string> made = LastBackup(request.name(), std::min(by, deadline), listener);
    if (!made.ok()) {
      const bool busy = absl::IsAborted(made.status()) || absl::IsDeadlineExceeded(made.status());
      return MakeError(absl::StatusCode::kFailedPrecondition,
                       absl::StrCat("nothing was deleted: the last backup of database ", request.name(),
                                    " cannot be made: ", made.status().message()),
                       {.reason = "LAST_BACKUP_FAILED",
                        .hint = busy ? "repeat the command in a moment, or with a longer --timeout"
                                     : "'multigres up' repairs the database; --purge deletes it without a backup"});
    }
    backup = *std::move(made);
  }
  prov::DeprovisionDatabaseRequest order;
  Select(order.mutable_cluster());
  order.set_database(request.name());
  order.set_clean(request.purge());
  order.set_last_backup_id(backup);
  *order.mutable_options() = OptionsOf(request);
  grpc::ClientContext call;
  rpc::SetDeadline(&call, deadline);
  auto reader = stub->DeprovisionDatabase(&call, order);
  return Relay(&call, reader.get(), listener);
}

absl::StatusOr<v1::ListDatabasesResponse> Databases::List(absl::Time deadline, CellErrors* errors) {
  MG_ASSIGN_OR_RETURN(pb::GetDatabaseNamesResponse names, admin_->GetDatabaseNames(deadline));
  MG_ASSIGN_OR_RETURN(pb::GetPoolersResponse poolers, admin_->GetPoolers(pb::GetPoolersRequest(), deadline, errors));
  std::sort(names.mutable_names()->begin(), names.mutable_names()->end());
  v1::ListDatabasesResponse response;
  for (const std::string& name : names.names()) {
    pb::GetDatabaseRequest question;
    question.set_name(name);
    absl::StatusOr<pb::GetDatabaseResponse> record = admin_->GetDatabase(question, deadline);
    if (absl::IsNotFound(record.status())) {
      continue;  // deleted since its name was read
    }
    MG_RETURN_IF_ERROR(record.status());
    v1::DatabaseSummary* summary = response.add_databases();
    *summary->mutable_database() = record->database();
    const clustermetadata::Multipooler* leader = nullptr;
    for (const clustermetadata::Multipooler& pooler : poolers.poolers()) {
      if (pooler.shard_key().database() != name) {
        continue;
      }
      summary->set_poolers(summary->poolers() + 1);
      if (pooler.routing_state().role() == clustermetadata::ROUTING_ROLE_PRIMARY &&
          (leader == nullptr ||
           consensus::Compare(pooler.routing_state().rule(), leader->routing_state().rule()) > 0)) {
        leader = &pooler;
      }
    }
    if (leader != nullptr) {
      *summary->mutable_leader() = leader->id();
    }
  }
  return response;
}

DatabaseGrpcService::DatabaseGrpcService(const Methods* methods, Databases* databases)
    : GrpcService("multigres.admin.v1.DatabaseService", methods) {
  using CreateHandler = grpc::internal::ServerStreamingHandler<DatabaseGrpcService, v1::CreateDatabaseRequest,
                                                               v1::CreateDatabaseResponse>;
  AddMethod(new grpc::internal::RpcServiceMethod(
      kCreate, grpc::internal::RpcMethod::SERVER_STREAMING,
      new CreateHandler(
          [methods, databases](DatabaseGrpcService*, grpc::ServerContext* context,
                               const v1::CreateDatabaseRequest* request,
                               grpc::ServerWriter<v1::CreateDatabaseResponse>* writer) {
            return Stream(*methods, kCreate, context, *request, writer,
                          [databases](const auto& r, auto d, auto news) { return databases->Create(r, d, news); });
          },
          this)));
  using DeleteHandler = grpc::internal::ServerStreamingHandler<DatabaseGrpcService, v1::DeleteDatabaseRequest,
                                                               v1::DeleteDatabaseResponse>;
  AddMethod(new grpc::internal::RpcServiceMethod(
      kDelete, grpc::internal::RpcMethod::SERVER_STREAMING,
      new DeleteHandler(
          [methods, databases](DatabaseGrpcService*, grpc::ServerContext* context,
                               const v1::DeleteDatabaseRequest* request,
                               grpc::ServerWriter<v1::DeleteDatabaseResponse>* writer) {
            return Stream(*methods, kDelete, context, *request, writer,
                          [databases](const auto& r, auto d, auto news) { return databases->Delete(r, d, news); });
          },
          this)));
}

}  // namespace mg::multiadmin
