#include "agentd/provisioners/local/probes.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "agentd/store/component_name.h"
#include "common/net/exchange.h"
#include "common/net/http.h"
#include "common/net/listeners.h"

namespace mg::local {

namespace {

constexpr char kAuthentication = 'R';
constexpr char kErrorResponse = 'E';
constexpr absl::Duration kOwnQuestion = absl::Milliseconds(500);  ///< for a PostgreSQL whose pooler did not answer

void AppendInt32(std::string* out, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) {
    out->push_back(static_cast<char>(value >> shift));
  }
}

/// The question of pg_isready: a start-up packet. A server that accepts connections asks for authentication (or
/// refuses this role); one that starts, stops or recovers says 57P03.
net::Exchange PostgresQuestion(const std::string& socket) {
  std::string body;
  AppendInt32(&body, 3 << 16);  // protocol 3.0
  for (const char* word : {"user", "multigres-probe", "database", "postgres"}) {
    body.append(word).push_back('\0');
  }
  body.push_back('\0');
  net::Exchange exchange;
  exchange.unix_path = socket;
  AppendInt32(&exchange.request, static_cast<std::uint32_t>(body.size() + 4));
  exchange.request += body;
  exchange.complete = [](const std::string& received) {
    if (received.size() < 5) {
      return false;
    }
    std::uint32_t size = 0;
    for (size_t i = 1; i < 5; ++i) {
      size = size << 8 | static_cast<unsigned char>(received[i]);
    }
    return received.size() >= size + 1;
  };
  return exchange;
}

absl::Status PostgresAnswer(const net::Exchange& exchange) {
  if (!exchange.status.ok()) {
    return exchange.status;
  }
  char type = exchange.received[0];
  if (type == kErrorResponse && exchange.received.find("C57P03") != std::string::npos) {
    size_t message = exchange.received.find('M', exchange.received.find("C57P03"));
    return absl::UnavailableError(message == std::string::npos ? "it does not accept connections yet"
                                                               : exchange.received.c_str() + message + 1);
  }
  return type == kAuthentication || type == kErrorResponse
             ? absl::OkStatus()
             : absl::DataLossError(absl::StrCat(exchange.unix_path, " does not speak PostgreSQL's protocol"));
}

/// What one component is asked: some exchanges, as a range within all, and ports that somebody must listen on.
struct Question {
  size_t begin = 0, end = 0;
  std::vector<int> ports;
};

/// `listeners`: nothing where the kernel does not tell them.
absl::Status Judge(const v1::ComponentSpec& spec, const std::vector<net::Exchange>& exchanges, const Question& question,
                   const std::optional<std::set<int>>& listeners) {
  if (spec.readiness().type() == "postgres") {
    return PostgresAnswer(exchanges[question.begin]);
  }
  for (int port : question.ports) {
    if (listeners && listeners->count(port) == 0) {
      return absl::UnavailableError(absl::StrCat("nobody listens on 127.0.0.1:", port));
    }
  }
  for (size_t i = question.begin; i < question.end; ++i) {
    const net::Exchange& exchange = exchanges[i];
    if (exchange.request.empty()) {
      if (!exchange.status.ok()) {
        return exchange.status;
      }
      continue;
    }
    absl::StatusOr<net::HttpReply> reply = net::ReplyOf(exchange);
    if (!reply.ok()) {
      return reply.status();
    }
    bool healthy = reply->status == 200 &&
                   (spec.readiness().type() != "etcd-health" || absl::StrContains(reply->body, "\"health\":\"true\""));
    if (!healthy) {
      return absl::UnavailableError(
          absl::StrCat("127.0.0.1:", exchange.port, " answers ", reply->status, " ", reply->body.substr(0, 200)));
    }
  }
  return absl::OkStatus();
}

/// Ports that take connections, without a question to their servers.
std::vector<int> PortsToListen(const v1::ComponentSpec& spec) {
  std::vector<int> ports;
  for (const char* name : {"client", "grpc", "postgres", "postgres_replica"}) {
    if (int port = PortOf(spec, name); port != 0) {
      ports.push_back(port);
    }
  }
  return ports;
}

void AddExchanges(const v1::ComponentSpec& spec, std::vector<net::Exchange>* exchanges) {
  const v1::Probe& probe = spec.readiness();
  if (probe.type() == "postgres") {
    exchanges->push_back(PostgresQuestion(probe.path()));
  } else if (probe.type() == "etcd-health") {
    exchanges->push_back(net::HttpGet(probe.port(), probe.path()));
  } else {
    exchanges->push_back(net::HttpGet(PortOf(spec, "http"), "/live"));
  }
}

/// Carries out the exchanges of some components and judges each.
void RunAndJudge(const std::vector<const v1::ComponentSpec*>& specs, const std::vector<size_t>& places,
                 absl::Time deadline, std::vector<ProbeResult>* results) {
  std::optional<std::set<int>> listeners;
  if (absl::StatusOr<std::set<int>> told = net::LoopbackListeners(); told.ok()) {
    listeners = *std::move(told);
  }
  std::vector<net::Exchange> exchanges;
  std::vector<Question> questions;
  for (size_t place : places) {
    const v1::ComponentSpec& spec = *specs[place];
    Question question{.begin = exchanges.size(), .ports = {}};
    if (spec.readiness().type() != "postgres") {
      question.ports = PortsToListen(spec);
    }
    AddExchanges(spec, &exchanges);
    if (!listeners) {
      // Then a connection to each has to say it.
      for (int port : question.ports) {
        net::Exchange connection;
        connection.port = port;
        exchanges.push_back(connection);
      }
    }
    question.end = exchanges.size();
    questions.push_back(std::move(question));
  }
  net::RunExchanges(&exchanges, deadline);
  for (size_t i = 0; i < places.size(); ++i) {
    (*results)[places[i]].ready = Judge(*specs[places[i]], exchanges, questions[i], listeners);
  }
}

}  // namespace

std::vector<LifeSign> AskForLife(const std::vector<const v1::ComponentSpec*>& specs, absl::Time deadline) {
  std::vector<net::Exchange> exchanges;
  for (const v1::ComponentSpec* spec : specs) {
    const v1::Probe& probe = spec->liveness();
    exchanges.push_back(probe.type() == "postgres" ? PostgresQuestion(probe.path())
                                                   : net::HttpGet(probe.port(), probe.path()));
  }
  net::RunExchanges(&exchanges, deadline);
  std::vector<LifeSign> signs(specs.size());
  for (size_t i = 0; i < specs.size(); ++i) {
    if (specs[i]->liveness().type() == "postgres") {
      // "I am starting up" is an answer too.
      signs[i] = {.ready = PostgresAnswer(exchanges[i]), .alive = exchanges[i].status.ok()};
      continue;
    }
    absl::StatusOr<net::HttpReply> reply = net::ReplyOf(exchanges[i]);
    signs[i].alive = reply.ok();
    signs[i].ready = !reply.ok() ? reply.status()
                     : reply->status == 200
                         ? absl::OkStatus()
                         : absl::UnavailableError(absl::StrCat("127.0.0.1:", exchanges[i].port, " answers ",
                                                               reply->status, " ", reply->body.substr(0, 200)));
  }
  return signs;
}

absl::Status ProbeStart(const v1::ComponentSpec& spec, ComponentRpc* rpc, absl::Time deadline) {
  std::vector<ProbeResult> results(1);
  RunAndJudge({&spec}, {0}, deadline, &results);
  const std::string& type = spec.readiness().type();
  // The Status RPC only where the port answers: a channel to a port that refuses backs off.
  if (!results[0].ready.ok() || (type != "pgctld-status" && type != "multipooler-status")) {
    return results[0].ready;
  }
  std::vector<StatusQuestion> questions(1);
  questions[0].server =
      type == "pgctld-status" ? StatusQuestion::Server::kPgctld : StatusQuestion::Server::kMultipooler;
  questions[0].port = PortOf(spec, "grpc");
  rpc->Ask(&questions, deadline);
  return questions[0].status;
}

std::vector<ProbeResult> ProbeAll(const std::vector<const v1::ComponentSpec*>& specs, ComponentRpc* rpc,
                                  absl::Time deadline) {
  std::vector<ProbeResult> results(specs.size());
  std::vector<StatusQuestion> questions;
  std::vector<size_t> poolers, others, servers;
  for (size_t i = 0; i < specs.size(); ++i) {
    const std::string& type = specs[i]->readiness().type();
    if (type == "multipooler-status") {
      questions.push_back({.server = StatusQuestion::Server::kMultipooler, .port = PortOf(*specs[i], "grpc")});
      poolers.push_back(i);
    }
    (type == "postgres" ? servers : others).push_back(i);
  }
  rpc->Ask(&questions, deadline, [&] { RunAndJudge(specs, others, deadline, &results); });
  struct SaidByPooler {
    bool answers_sql = false;
    std::string archive_fails_at;
  };
  std::map<std::string, SaidByPooler> said;  // by the PostgreSQL that it is about
  for (size_t q = 0; q < questions.size(); ++q) {
    ProbeResult& result = results[poolers[q]];
    if (result.ready.ok()) {
      result.ready = questions[q].status;
    }
    result.multipooler = std::move(questions[q].multipooler);
    said[SiblingOf(*specs[poolers[q]], store::kPostgres)] = {
        .answers_sql = questions[q].status.ok() && result.multipooler.status().postgres_ready(),
        .archive_fails_at = questions[q].archive_fails_at};
  }
  // PostgreSQL forks a process for every connection, its pooler asks on a kept one: a second question only where the
  // first was not answered.
  std::vector<size_t> unanswered;
  for (size_t place : servers) {
    const SaidByPooler& told = said[specs[place]->name()];
    results[place].archive_fails_at = told.archive_fails_at;
    if (told.answers_sql) {
      results[place].ready = absl::OkStatus();
    } else {
      unanswered.push_back(place);
    }
  }
  if (!unanswered.empty()) {
    // A pooler that hangs has used all of the time up; that is no fault of its PostgreSQL.
    RunAndJudge(specs, unanswered, std::max(deadline, absl::Now() + kOwnQuestion), &results);
  }
  return results;
}

}  // namespace mg::local
