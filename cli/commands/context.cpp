#include "cli/commands/context.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/client/agent_client.h"
#include "cli/client/remote_contexts.h"
#include "cli/client/remote_errors.h"
#include "cli/client/stuck_agent.h"
#include "cli/commands/named_as_here.h"
#include "cli/output/error.h"
#include "cli/output/render.h"
#include "cli/output/write_pieces.h"
#include "common/config/cluster_config.h"
#include "common/rpc/rpc.h"
#include "common/status/error_codes.h"
#include "common/status/exit_code.h"
#include "common/status/status.h"
#include "common/text/utf8.h"
#include "common/version/version.h"
#include "multiadminservice.grpc.pb.h"

namespace mg::cli {

namespace v1 = multigres::cli::v1;

namespace {

/// So long a sign of life is waited for where an agent seems stuck.
constexpr absl::Duration kStuckPatience = absl::Seconds(1);

}  // namespace

Context::Context(const std::vector<Command>& all_commands, Arguments arguments,
                 std::map<std::string, std::string> environment)
    : commands_(all_commands), arguments_(std::move(arguments)), environment_(std::move(environment)) {
  std::string output = arguments_.Get("output", arguments_.Has("json")   ? "json"
                                                : arguments_.Has("yaml") ? "yaml"
                                                                         : "text");
  format_ = output == "json" ? Format::kJson : output == "yaml" ? Format::kYaml : Format::kText;
  Measure();
}

Context::~Context() = default;

void Context::Measure() {
  terminal_ = DetectTerminal(arguments_.Has("no-color") ? "never" : arguments_.Get("color", "auto"),
                             !Env("NO_COLOR").empty(), Env("TERM") == "dumb", !Env("CLICOLOR_FORCE").empty());
}

std::string Context::Env(const std::string& name) const {
  auto it = environment_.find(name);
  return it == environment_.end() ? "" : it->second;
}

multigres::provisioner::v1::ClusterSelector Context::Selector() const {
  multigres::provisioner::v1::ClusterSelector selector;
  selector.set_name(arguments_.Get("cluster", Env("MULTIGRES_CLUSTER")));
  std::error_code error;
  std::filesystem::path directory = std::filesystem::current_path(error);
  selector.set_working_directory(error ? "/" : directory.string());
  std::string config = arguments_.Get("config-path", Env("MTDATAROOT"));
  // Upstream takes several; the first that holds a configuration counts.
  for (const std::string& candidate : arguments_.GetAll("config-path")) {
    if (std::filesystem::exists(directory / candidate / "multigres.yaml", error)) {
      config = candidate;
      break;
    }
  }
  if (!config.empty()) {
    selector.set_config_path((directory / config).lexically_normal().string());
  }
  selector.set_home_is_explicit(!Env("MULTIGRES_HOME").empty());
  return selector;
}

absl::StatusOr<absl::Time> Context::Deadline(absl::Duration fallback) const {
  std::string text = arguments_.Get("timeout");
  if (text.empty()) {
    return absl::Now() + fallback;
  }
  absl::Duration duration;
  if (!absl::ParseDuration(text, &duration) || duration <= absl::ZeroDuration()) {
    return MakeError(absl::StatusCode::kInvalidArgument, absl::StrCat("'", text, "' is not a duration"),
                     {.reason = "USAGE", .hint = "write it as 30s, 2m or 1m30s"});
  }
  return absl::Now() + duration;
}

namespace {

/// What comes from the environment, and where one stands, may be any bytes; a message to the agent may not.
absl::Status CheckUtf8(const multigres::provisioner::v1::ClusterSelector& selector) {
  for (const auto& [text, what] : {std::pair(selector.name(), "the cluster's name"),
                                   std::pair(selector.working_directory(), "the current directory"),
                                   std::pair(selector.config_path(), "the configuration's path")}) {
    if (text::ToValidUtf8(text) != text) {
      return MakeError(absl::StatusCode::kInvalidArgument,
                       absl::StrCat(what, " is not UTF-8: ", absl::CHexEscape(text)),
                       {.reason = "USAGE", .hint = "use names and directories in UTF-8"});
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<AgentClient*> Context::Agent(bool start, bool any) {
  // What is wrong with the command line is told before anything is started.
  MG_RETURN_IF_ERROR(Deadline(absl::InfiniteDuration()).status());
  if (!any) {
    MG_ASSIGN_OR_RETURN(std::string remote, Remote());
    if (!remote.empty()) {
      return MakeError(absl::StatusCode::kFailedPrecondition,
                       absl::StrCat("'multigres ", arguments_.command->path,
                                    "' works on clusters of this machine, and ", remote, " is not one"),
                       {.reason = "CONTEXT_REMOTE"});
    }
  }
  if (!any) {
    MG_RETURN_IF_ERROR(CheckUtf8(Selector()));
  }
  if (agent_ == nullptr) {
    AgentOptions options;
    options.environment = environment_;
    const bool only_asks = only_ask_until_ != absl::InfiniteFuture();
    options.start = start && !only_asks;
    options.connect_timeout = only_asks ? only_ask_until_ - absl::Now() : options.connect_timeout;
    MG_ASSIGN_OR_RETURN(AgentPlace place, FindAgent(environment_));
    MG_ASSIGN_OR_RETURN(absl::Time until, Deadline(kStuckPatience));
    // A frozen agent takes connections and calls, and answers none.
    MG_RETURN_IF_ERROR(
        CheckGoesOn(place, only_asks ? absl::ZeroDuration() : std::min(kStuckPatience, until - absl::Now())));
    MG_ASSIGN_OR_RETURN(agent_, AgentClient::Connect(options));
    std::optional<multigres::agent::v1::GetInfoResponse> info = agent_->Discovered();
    if (info && !any) {
      MG_RETURN_IF_ERROR(CheckProtocol(*info));
    }
    if (std::string warning = info && !any ? VersionWarning(*info, kVersion) : ""; !warning.empty()) {
      Err(absl::StrCat("warning: ", warning, "\n"));
    }
  }
  return agent_.get();
}

absl::StatusOr<std::string> Context::Remote() const {
  if (arguments_.Has("admin-server")) {
    return arguments_.Get("admin-server");
  }
  // A cluster that is named on the command line is one of this machine.
  if (!arguments_.Has("context") && arguments_.Has("cluster")) {
    return "";
  }
  MG_ASSIGN_OR_RETURN(RemoteContexts contexts, RemoteContexts::Open(environment_));
  MG_ASSIGN_OR_RETURN(std::string name, contexts.Chosen(arguments_.Get("context", Env("MULTIGRES_CONTEXT"))));
  if (!name.empty() && arguments_.Has("cluster")) {
    return MakeError(absl::StatusCode::kInvalidArgument,
                     absl::StrCat("--context ", name, " and --cluster ", arguments_.Get("cluster"),
                                  " exclude each other: a remote context is one cluster"),
                     {.reason = "USAGE", .hint = "give --cluster for one of this machine, or --context"});
  }
  return name;
}

absl::StatusOr<AdminRoute> Context::Admin(bool start) {
  MG_RETURN_IF_ERROR(Deadline(absl::InfiniteDuration()).status());
  if (remote_.channel != nullptr) {
    return remote_;
  }
  MG_ASSIGN_OR_RETURN(std::string name, Remote());
  if (name.empty()) {
    MG_ASSIGN_OR_RETURN(AgentClient * client, Agent(start));
    return AdminRoute{.channel = client->channel(),
                      .prepare = [selector = Selector()](grpc::ClientContext* rpc) { SelectCluster(rpc, selector); },
                      .outcome = FromAgent};
  }
  multigres::cli::v1::RemoteContext record;
  if (arguments_.Has("admin-server")) {
    record.set_endpoint(name);
    record.set_token_file(Env("MULTIGRES_TOKEN_FILE"));
  } else {
    MG_ASSIGN_OR_RETURN(RemoteContexts contexts, RemoteContexts::Open(environment_));
    MG_ASSIGN_OR_RETURN(record, contexts.Get(name));
  }
  MG_ASSIGN_OR_RETURN(RemoteRoute route, DialRemote(record));
  remote_ =
      AdminRoute{.channel = std::move(route.channel), .prepare = std::move(route.prepare), .outcome = rpc::FromGrpc};
  return remote_;
}

const std::string& Context::DefaultDatabase() {
  if (!default_database_.empty()) {
    return default_database_;
  }
  default_database_ = "postgres";  // upstream's
  const absl::Time deadline = std::min(absl::Now() + absl::Seconds(3), only_ask_until_);
  absl::StatusOr<std::string> remote = Remote();
  if (remote.ok() && remote->empty()) {
    absl::StatusOr<AgentClient*> client = Agent(/*start=*/true);
    multigres::agent::v1::GetConnectionRequest request;
    *request.mutable_cluster() = Selector();
    if (auto there = client.ok() ? (*client)->Call(request, deadline) : client.status(); there.ok()) {
      default_database_ = there->database();
    }
    return default_database_;
  }
  absl::StatusOr<AdminRoute> route = remote.ok() ? Admin() : remote.status();
  if (route.ok()) {
    grpc::ClientContext call;
    rpc::SetDeadline(&call, deadline);
    route->prepare(&call);
    multiadmin::GetDatabaseNamesResponse response;
    auto stub = multiadmin::MultiadminService::NewStub(route->channel);
    if (stub->GetDatabaseNames(&call, {}, &response).ok() && response.names_size() == 1) {
      default_database_ = response.names(0);
    }
  }
  return default_database_;
}

void Context::LeaveAgent() { agent_.reset(); }

int Context::Emit(const google::protobuf::Message& message, const std::function<std::string()>& text) const {
  Out(format_ == Format::kJson ? ToJson(message) : format_ == Format::kYaml ? ToYaml(message) : text());
  return kExitOk;
}

void Context::Out(const std::vector<absl::string_view>& pieces) const {
  for (auto& [warning, said] : warnings_) {
    if (!std::exchange(said, true)) {
      Err(warning);
    }
  }
  if (sink_ != nullptr) {
    for (absl::string_view piece : pieces) {
      sink_->append(piece.data(), piece.size());
    }
    return;
  }
  int error = std::fflush(stdout) == 0 ? WritePieces(STDOUT_FILENO, pieces) : errno;
  output_error_ = output_error_ != 0 ? output_error_ : error;
}

absl::Status Context::OutputStatus() const {
  if (output_error_ == 0) {
    return absl::OkStatus();
  }
  return MakeError(
      absl::StatusCode::kInternal,
      absl::StrCat("cannot write the output: ", std::string(ErrnoStatus(output_error_, "standard output").message())),
      {.reason = "OUTPUT_NOT_WRITTEN", .hint = "make room there, or send the output elsewhere"});
}

void Context::Redirect(std::string* sink, std::string* error_sink) {
  sink_ = sink;
  error_sink_ = error_sink;
  if (error_sink != nullptr) {
    warnings_.clear();  // each answer that is kept has its own
  }
}

void Context::Err(const std::string& text) const {
  if (error_sink_ != nullptr) {
    error_sink_->append(text);
    return;
  }
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

/// gRPC's own words for time that is up name nobody.
absl::Status Context::Explained(const absl::Status& status) const {
  if (declined_ && absl::IsCancelled(status)) {
    return MakeError(status.code(), status.message(), {.reason = "NOT_CONFIRMED"});
  }
  const absl::StatusOr<std::string> remote = Remote();
  // Whoever did not answer in time, its calls went through the agent.
  if (absl::IsDeadlineExceeded(status) && agent_ != nullptr &&
      DetailOf(status).value_or(ErrorDetail{}).reason.empty()) {
    AgentOptions options;
    options.environment = environment_;
    MG_RETURN_IF_ERROR(CheckAnswers(options, kStuckPatience));
  }
  if (absl::IsDeadlineExceeded(status) && status.message() == "Deadline Exceeded") {
    return MakeError(status.code(),
                     absl::StrCat(remote.ok() && remote->empty() ? "the agent" : "the Admin API", " did not answer ",
                                  arguments_.Has("timeout") ? "within " : "in time", arguments_.Get("timeout")));
  }
  if (!remote.ok() || remote->empty()) {
    return status;
  }
  // After a failure a channel rests only where it had been of use before; one that never was tries again by itself.
  const bool connected = remote_.channel != nullptr && remote_.channel->GetState(false) == GRPC_CHANNEL_IDLE;
  const bool address = arguments_.Has("admin-server");
  const absl::StatusOr<RemoteContexts> contexts = RemoteContexts::Open(environment_);
  const bool tls = !address && contexts.ok() && UsesTls(contexts->Get(*remote).value_or(v1::RemoteContext()));
  return ExplainRemote(status, {.name = *remote, .address = address, .connected = connected, .tls = tls});
}

int Context::Fail(const absl::Status& failure) {
  // Upstream's own commands are given ids, and so are told of them.
  const absl::Status status = Explained(arguments_.command->upstream ? failure : NamedAsHere(*this, failure));
  // A format is what upstream's scripts never ask for.
  if (arguments_.command->upstream || (arguments_.InUpstreamsWords() && format_ == Format::kText)) {
    // One line, as theirs; what they never ask for, a token, needs a way out.
    const std::string hint = absl::IsUnauthenticated(status) ? DetailOf(status).value_or(ErrorDetail{}).hint : "";
    Err(absl::StrCat("Error: ", Visible(status.message(), arguments_.Said()), hint.empty() ? "" : "; ", hint, "\n"));
    return kExitFailed;
  }
  Err(ErrorText(status, format_, terminal_.err_colour, arguments_.Said()));
  return ExitCodeOf(status);
}

namespace {

/// What the cluster of this machine that is meant is called; empty: nobody can tell without asking the agent.
std::string ClusterHere(const multigres::provisioner::v1::ClusterSelector& selector,
                        const std::map<std::string, std::string>& environment) {
  if (!selector.name().empty()) {
    return selector.name();
  }
  absl::StatusOr<config::Home> home = config::FindHome(environment, ::geteuid());
  absl::StatusOr<config::ClusterPlace> place =
      home.ok() ? config::FindPlace({.name = "",
                                     .config_path = selector.config_path(),
                                     .working_directory = selector.working_directory(),
                                     .home = home->path,
                                     .home_is_explicit = home->is_explicit})
                : home.status();
  return place.ok() ? place->name : "";
}

}  // namespace

absl::StatusOr<bool> Context::Confirm(const std::string& question) const {
  if (arguments_.Has("yes")) {
    return true;
  }
  MG_ASSIGN_OR_RETURN(std::string remote, Remote());
  const std::string here = remote.empty() ? ClusterHere(Selector(), environment_) : "";
  const std::string asked = absl::StrCat(!remote.empty() ? absl::StrCat("on ", remote, ": ")
                                         : !here.empty() ? absl::StrCat("in cluster ", here, " of this machine: ")
                                                         : "",
                                         question);
  if (::isatty(STDIN_FILENO) != 1 || format_ != Format::kText) {
    return MakeError(absl::StatusCode::kInvalidArgument, absl::StrCat("this needs a confirmation: ", asked),
                     {.reason = "CONFIRMATION_NEEDED", .hint = "repeat it with --yes"});
  }
  Err(absl::StrCat(asked, " [y/N] "));
  std::string answer;
  std::getline(std::cin, answer);
  answer = absl::AsciiStrToLower(answer);
  declined_ = answer != "y" && answer != "yes";
  return !declined_;
}

absl::Status Context::ConfirmRemote(const std::string& question) const {
  MG_ASSIGN_OR_RETURN(std::string remote, Remote());
  if (remote.empty()) {
    return absl::OkStatus();
  }
  MG_ASSIGN_OR_RETURN(bool yes, Confirm(question));
  return yes ? absl::OkStatus() : absl::CancelledError("nothing was changed");
}

}  // namespace mg::cli
