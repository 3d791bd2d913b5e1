#include <algorithm>
#include <csignal>

#include "absl/strings/str_cat.h"
#include "agentd/operations/explain.h"
#include "agentd/rpc/agent_service.h"
#include "common/logs/log_files.h"
#include "common/status/status.h"
#include "common/text/suggest.h"

namespace mg::rpc {
namespace {

constexpr absl::Duration kStatusBound = absl::Seconds(10);
constexpr int kShownLines = 10;
/// How far back an end is looked for.
constexpr std::int64_t kEventsBack = 2000;

}  // namespace

grpc::ServerUnaryReactor* AgentServiceImpl::SignalComponent(grpc::CallbackServerContext* context,
                                                            const agent::SignalComponentRequest* request,
                                                            agent::SignalComponentResponse* response) {
  return Answer(domain_.workers, context, [this, request, response]() -> absl::Status {
    if (request->signal() < 1 || request->signal() > SIGRTMAX) {
      return MakeError(absl::StatusCode::kInvalidArgument, absl::StrCat(request->signal(), " is not a signal"),
                       {.reason = "BAD_SIGNAL"});
    }
    MG_ASSIGN_OR_RETURN(auto info, domain_.provisioner.Resolve(request->cluster()));
    MG_ASSIGN_OR_RETURN(int pid, domain_.provisioner.Signal(request->cluster(), request->component(), request->signal(),
                                                            request->whole_tree()));
    domain_.events.Add(info.name, request->component(), "signalled",
                       absl::StrCat("signal ", request->signal(), " was sent to pid ", pid));
    response->set_pid(pid);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* AgentServiceImpl::ExplainComponent(grpc::CallbackServerContext* context,
                                                             const agent::ExplainComponentRequest* request,
                                                             agent::ExplainComponentResponse* response) {
  return Answer(domain_.workers, context,
                [this, deadline = DeadlineOf(*context, kStatusBound), request, response]() -> absl::Status {
                  MG_ASSIGN_OR_RETURN(auto info, domain_.provisioner.Resolve(request->cluster()));
                  MG_ASSIGN_OR_RETURN(auto specs, domain_.provisioner.Specs(request->cluster()));
                  const std::string& name = request->component();
                  std::vector<std::string> known;
                  for (const auto& spec : specs) {
                    known.push_back(spec.name());
                  }
                  if (std::find(known.begin(), known.end(), name) == known.end()) {
                    return MakeError(absl::StatusCode::kNotFound,
                                     absl::StrCat("cluster ", info.name, " has no component ", name),
                                     {.reason = "COMPONENT_NOT_FOUND",
                                      .hint = text::DidYouMean(name, known, "'multigres status' lists them"),
                                      .subject = name});
                  }
                  provisioner::GetClusterStatusRequest probe;
                  *probe.mutable_cluster() = request->cluster();
                  MG_ASSIGN_OR_RETURN(provisioner::ClusterStatus status, domain_.provisioner.Status(probe, deadline));
                  std::vector<agent::Event> events;
                  std::int64_t after = std::max<std::int64_t>(0, domain_.events.feed().last() - kEventsBack);
                  for (auto batch = domain_.events.ReadAfter(after, kEventsBack); !batch.items.empty();
                       batch = domain_.events.ReadAfter(after, kEventsBack)) {
                    for (auto& [sequence, event] : batch.items) {
                      after = sequence;
                      if (event.cluster() == info.name) {
                        events.push_back(std::move(event));
                      }
                    }
                  }
                  *response = operations::Explain(specs, status, events, name);
                  MG_ASSIGN_OR_RETURN(auto sources, domain_.provisioner.LogSources(request->cluster()));
                  for (const auto& source : sources) {
                    if (source.component == name) {
                      for (const std::string& line :
                           logs::LastLines({.name = name, .directory = source.directory}, kShownLines)) {
                        response->add_last_lines(line);
                      }
                    }
                  }
                  return absl::OkStatus();
                });
}

}  // namespace mg::rpc
