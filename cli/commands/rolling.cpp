// restart --rolling: every PostgreSQL is restarted, and clients notice pauses only.
#include "cli/commands/rolling.h"

#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "cli/client/agent_client.h"
#include "cli/commands/admin_call.h"
#include "cli/commands/operation.h"
#include "common/status/exit_code.h"
#include "multigres/admin/v1/shard.grpc.pb.h"

namespace mg::cli {
namespace {

namespace agent = multigres::agent::v1;
namespace admin = multigres::admin::v1;
namespace v1 = multigres::provisioner::v1;

constexpr absl::Duration kQuestionLimit = absl::Seconds(10);
constexpr absl::Duration kSwitchLimit = absl::Seconds(60);

absl::StatusOr<v1::ClusterStatus> StatusOf(Context& context) {
  MG_ASSIGN_OR_RETURN(AgentClient * client, context.Agent(/*start=*/true));
  agent::GetClusterRequest request;
  *request.mutable_cluster() = context.Selector();
  MG_ASSIGN_OR_RETURN(agent::GetClusterResponse response, client->Call(request, absl::Now() + kQuestionLimit));
  return response.status();
}

// `up` of what runs does nothing but wait: until every gateway serves and every standby streams.
absl::Status AwaitHealth(Context& context, absl::Time deadline) {
  agent::UpRequest request;
  *request.mutable_cluster() = context.Selector();
  *request.mutable_options() = OptionsUntil(deadline);
  return RunOperation(
             context, deadline,
             [&](AgentClient& client, const OperationReader& reader) { return client.Stream(request, reader); },
             Steps::kOnTerminal)
      .status();
}

absl::Status RestartStandby(Context& context, const std::string& name, absl::Time deadline) {
  agent::ComponentRequest request;
  *request.mutable_cluster() = context.Selector();
  request.set_component(name);
  *request.mutable_options() = OptionsUntil(deadline);
  MG_RETURN_IF_ERROR(
      RunOperation(
          context, deadline,
          [&](AgentClient& client, const OperationReader& reader) { return client.RestartComponent(request, reader); },
          Steps::kOnTerminal)
          .status());
  return WithContext(AwaitHealth(context, deadline), absl::StrCat("after the restart of ", name));
}

// Off a terminal an operation's steps would be a hundred lines; so a node is one.
void Tell(Context& context, const std::string& name, const char* how, absl::Time since) {
  if (!context.terminal().err_is_tty && !context.args().Has("quiet") && context.format() == Format::kText) {
    context.Err(absl::StrFormat("%s: %s (%.1fs)\n", name, how, absl::ToDoubleSeconds(absl::Now() - since)));
  }
}

}  // namespace

absl::StatusOr<multigres::cli::v1::RollingOutput> RestartRolling(Context& context, absl::Time deadline) {
  absl::Time begun = absl::Now();
  MG_ASSIGN_OR_RETURN(v1::ClusterStatus status, StatusOf(context));
  if (status.state() != "running") {
    return MakeError(absl::StatusCode::kFailedPrecondition,
                     absl::StrCat("the cluster is ", status.state(), ": a rolling restart needs every node",
                                  status.reason().empty() ? "" : absl::StrCat(" (", status.reason(), ")")),
                     {.reason = "CLUSTER_NOT_HEALTHY", .hint = "run 'multigres up' first"});
  }
  multigres::cli::v1::RollingOutput output;
  std::vector<const v1::ComponentStatus*> primaries;
  std::set<std::string> with_standbys;  // databases
  for (const v1::ComponentStatus& component : status.components()) {
    if (component.kind() == "postgres") {
      if (component.role() == "standby") {
        with_standbys.insert(component.database());
      }
      if (component.role() == "primary") {
        primaries.push_back(&component);
      }
    }
  }
  if (with_standbys.empty()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "there is no standby that could lead meanwhile",
                     {.reason = "NO_STANDBY", .hint = "'multigres restart' stops and starts everything"});
  }
  for (const v1::ComponentStatus& component : status.components()) {
    if (component.kind() == "postgres" && component.role() == "standby") {
      absl::Time since = absl::Now();
      MG_RETURN_IF_ERROR(RestartStandby(context, component.name(), deadline));
      Tell(context, component.name(), "restarted", since);
      output.add_restarted(component.name());
    }
  }
  for (const v1::ComponentStatus* primary : primaries) {
    absl::Time since = absl::Now();
    if (with_standbys.count(primary->database()) == 0) {
      // A database of one cell has nobody to hand over to: its clients are cut off.
      MG_RETURN_IF_ERROR(RestartStandby(context, primary->name(), deadline));
      Tell(context, primary->name(), "restarted", since);
      output.add_restarted(primary->name());
      continue;
    }
    admin::SwitchPrimaryRequest request;
    request.mutable_shard_key()->set_database(primary->database());
    request.mutable_shard_key()->set_table_group("default");
    request.mutable_shard_key()->set_shard("0-inf");
    request.set_reason("rolling restart");
    admin::SwitchPrimaryResponse response;
    MG_RETURN_IF_ERROR(
        WithContext(CallAdmin<admin::ShardService>(context, &admin::ShardService::Stub::SwitchPrimary, request,
                                                   &response, std::min(kSwitchLimit, deadline - absl::Now())),
                    absl::StrCat("hand over ", primary->name())));
    // postgres/zone1/shop: another cell, the same database.
    std::string place = primary->name().substr(absl::StrCat(primary->kind(), "/", primary->cell()).size());
    if (place.empty()) {
      output.set_primary(absl::StrCat("postgres/", response.new_leader_id().cell()));
    }
    // To hand over is to stop in order, and to come back as a standby.
    MG_RETURN_IF_ERROR(
        WithContext(AwaitHealth(context, deadline), absl::StrCat("after the restart of ", primary->name())));
    Tell(context, primary->name(), "handed over and restarted", since);
    output.add_restarted(primary->name());
  }
  output.set_elapsed_seconds(absl::ToDoubleSeconds(absl::Now() - begun));
  return output;
}

}  // namespace mg::cli
