#include "cli/commands/admin_reads.h"

#include <algorithm>
#include <map>
#include <optional>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "cli/bundle/secrets.h"
#include "cli/client/agent_client.h"
#include "cli/commands/admin_call.h"
#include "common/text/text.h"
#include "common/topology/drained.h"
#include "multiadminservice.grpc.pb.h"
#include "multigres/admin/v1/topology.grpc.pb.h"

namespace mg::cli {
namespace {

namespace v1 = multigres::cli::v1;
using clustermetadata::Multipooler;

constexpr size_t kAtOnce = 32;
constexpr size_t kInOneCall = 1000;
constexpr absl::Duration kStatusLimit = absl::Seconds(3);

std::optional<std::uint64_t> Lsn(const std::string& text) {
  std::vector<std::string> halves = absl::StrSplit(text, '/');
  std::uint64_t high = 0, low = 0;
  if (halves.size() != 2 || !absl::SimpleHexAtoi(halves[0], &high) || !absl::SimpleHexAtoi(halves[1], &low)) {
    return std::nullopt;
  }
  return high << 32 | low;
}

std::string ShardName(const clustermetadata::ShardKey& key) {
  return absl::StrCat(key.database(), "/", key.table_group(), "/", key.shard());
}

std::string ServingText(const Multipooler& record) {
  clustermetadata::PoolerServingStatus status = record.serving_status();
  return topology::IsDrained(record) && status != clustermetadata::SERVING ? "drained"
         : status == clustermetadata::SERVING                              ? "serving"
         : status == clustermetadata::DRAINING                             ? "draining"
                                                                           : "not serving";
}

bool Higher(const clustermetadata::RuleNumber& a, const clustermetadata::RuleNumber& b) {
  return std::make_pair(a.coordinator_term(), a.leader_subterm()) >
         std::make_pair(b.coordinator_term(), b.leader_subterm());
}

struct Answer {
  absl::Status status;
  multiadmin::GetPoolerStatusResponse response;
};

// All in one call, where the Admin API has it; nullopt: it has not.
std::optional<std::vector<Answer>> AskTogether(Context& context, const std::vector<Multipooler>& poolers) {
  using Topology = multigres::admin::v1::TopologyService;
  std::vector<Answer> answers(poolers.size());
  for (size_t first = 0; first < poolers.size(); first += kInOneCall) {
    size_t end = std::min(poolers.size(), first + kInOneCall);
    multigres::admin::v1::GetPoolerStatusesRequest request;
    for (size_t i = first; i < end; ++i) {
      *request.add_pooler_ids() = poolers[i].id();
    }
    multigres::admin::v1::GetPoolerStatusesResponse response;
    absl::Status status = CallAdmin<Topology>(context, &Topology::Stub::GetPoolerStatuses, request, &response);
    if (absl::IsUnimplemented(status)) {
      return std::nullopt;
    }
    for (size_t i = first; i < end; ++i) {
      if (!status.ok() || i - first >= static_cast<size_t>(response.statuses_size())) {
        answers[i].status = status.ok() ? absl::InternalError("the answer leaves this pooler out") : status;
        continue;
      }
      auto& one = *response.mutable_statuses(static_cast<int>(i - first));
      answers[i].status = absl::Status(static_cast<absl::StatusCode>(one.error_code()), one.error());
      if (absl::IsUnavailable(answers[i].status)) {  // this one, for the Admin API has answered
        answers[i].status = MakeError(answers[i].status.code(), one.error(), {.reason = "POOLER_SILENT"});
      }
      *answers[i].response.mutable_status() = std::move(*one.mutable_status());
      *answers[i].response.mutable_consensus_status() = std::move(*one.mutable_consensus_status());
    }
  }
  return answers;
}

// All of them, upstream's way, some at a time; the connection carries them side by side.
std::vector<Answer> AskAll(Context& context, const std::vector<Multipooler>& poolers) {
  if (poolers.size() > 1) {
    if (auto answers = AskTogether(context, poolers); answers.has_value()) {
      return *std::move(answers);
    }
  }
  std::vector<Answer> answers(poolers.size());
  absl::StatusOr<AdminRoute> route = context.Admin();
  if (!route.ok()) {
    for (Answer& answer : answers) {
      answer.status = route.status();
    }
    return answers;
  }
  auto stub = multiadmin::MultiadminService::NewStub(route->channel);
  std::vector<std::thread> threads;
  for (size_t first = 0; first < std::min(kAtOnce, poolers.size()); ++first) {
    threads.emplace_back([&, first] {
      for (size_t i = first; i < poolers.size(); i += kAtOnce) {
        multiadmin::GetPoolerStatusRequest request;
        *request.mutable_pooler_id() = poolers[i].id();
        grpc::ClientContext rpc;
        rpc::SetDeadline(&rpc, absl::Now() + kStatusLimit);
        route->prepare(&rpc);
        answers[i].status = route->outcome(stub->GetPoolerStatus(&rpc, request, &answers[i].response));
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  return answers;
}

void Fill(const Multipooler& record, const std::string& name, const Answer& answer, v1::PoolerOutput* out) {
  out->set_name(name);
  out->set_id(record.id().name());
  out->set_cell(record.id().cell());
  out->set_serving(ServingText(record));
  auto port = record.port_map().find("postgres");
  out->set_postgres(absl::StrCat(record.hostname(), ":", port == record.port_map().end() ? 0 : port->second));
  if (!answer.status.ok()) {
    const bool silent = DetailOf(answer.status).value_or(ErrorDetail{}).reason == "POOLER_SILENT";
    out->set_error(silent ? "does not answer" : std::string(answer.status.message()));
    return;
  }
  const auto& status = answer.response.status();
  out->set_ready(status.postgres_ready());
  if (!status.postgres_ready() && !topology::IsDrained(record)) {
    // What its monitor cannot do; the first line says it, the others are PostgreSQL's last ones.
    const std::string& reason = record.lifecycle_status().reason();
    out->set_error(reason.substr(0, reason.find('\n')));
  }
  if (status.has_primary_status()) {
    out->set_role("primary");
    out->set_lsn(status.primary_status().lsn());
  } else if (status.has_replication_status()) {
    const auto& replication = status.replication_status();
    out->set_role("standby");
    out->set_lsn(replication.last_receive_lsn().empty() ? replication.last_replay_lsn()
                                                        : replication.last_receive_lsn());
    out->set_replayed(replication.last_replay_lsn());
    out->set_link(replication.wal_receiver_status());
    if (replication.has_lag()) {
      out->set_lag_seconds(static_cast<double>(replication.lag().seconds()) + replication.lag().nanos() * 1e-9);
    }
  }
  out->set_rule(RuleText(answer.response.consensus_status().current_position().position().decision().rule_number()));
}

// By the primary's end of WAL, read at about the same time.
void AddLag(v1::ShardOutput* shard) {
  std::optional<std::uint64_t> end;
  for (const v1::PoolerOutput& pooler : shard->poolers()) {
    if (pooler.role() == "primary" && pooler.name() == shard->primary()) {
      end = Lsn(pooler.lsn());
    }
  }
  for (v1::PoolerOutput& pooler : *shard->mutable_poolers()) {
    std::optional<std::uint64_t> replayed = Lsn(pooler.replayed());
    if (pooler.role() == "standby" && end.has_value() && replayed.has_value()) {
      pooler.set_lag_bytes(*end > *replayed ? static_cast<std::int64_t>(*end - *replayed) : 0);
    }
  }
}

}  // namespace

std::string ComponentName(const char* kind, const clustermetadata::ID& id) {
  return absl::StrCat(kind, "/", id.cell());
}

PoolerNames::PoolerNames(Context& context, const std::vector<Multipooler>& poolers) {
  bool usual = std::all_of(poolers.begin(), poolers.end(), [this](const Multipooler& pooler) {
    return pooler.shard_key().database() == default_database_;
  });
  if (!usual) {
    default_database_ = context.DefaultDatabase();
  }
  for (const Multipooler& pooler : poolers) {
    by_id_[absl::StrCat(pooler.id().cell(), "/", pooler.id().name())] = Of(pooler);
  }
}

std::string PoolerNames::Of(const Multipooler& pooler) const {
  const std::string& database = pooler.shard_key().database();
  return absl::StrCat(ComponentName("multipooler", pooler.id()), database == default_database_ ? "" : "/",
                      database == default_database_ ? "" : database);
}

std::string PoolerNames::Of(const clustermetadata::ID& id) const {
  auto found = by_id_.find(absl::StrCat(id.cell(), "/", id.name()));
  return found == by_id_.end() ? ComponentName("multipooler", id) : found->second;
}

std::string RuleText(const clustermetadata::RuleNumber& rule) {
  bool none = rule.coordinator_term() == 0 && rule.leader_subterm() == 0;
  return none ? "" : absl::StrCat("{", rule.coordinator_term(), ",", rule.leader_subterm(), "}");
}

absl::Status NoSuchName(const char* reason, const std::string& kind, const std::string& name,
                        const std::vector<std::string>& known) {
  constexpr size_t kMostNames = 12;
  std::optional<std::string> near = text::Closest(name, known);
  std::string hint = known.empty()      ? "there is none at all"
                     : near.has_value() ? absl::StrCat("did you mean '", *near, "'?")
                     : known.size() > kMostNames
                         ? absl::StrCat("there are ", known.size(), "; the list command shows them")
                         : absl::StrCat("known: ", absl::StrJoin(known, ", "));
  return MakeError(absl::StatusCode::kNotFound, absl::StrCat("there is no ", kind, " '", name, "'"),
                   {.reason = reason, .hint = hint});
}

namespace {

template <typename Request, typename Response>
absl::Status CheckName(Context& context, const char* kind, const char* reason, const std::string& name,
                       grpc::Status (multiadmin::MultiadminService::Stub::*list)(grpc::ClientContext*, const Request&,
                                                                                 Response*)) {
  Response response;
  MG_RETURN_IF_ERROR(CallAdmin<multiadmin::MultiadminService>(context, list, Request(), &response));
  std::vector<std::string> known(response.names().begin(), response.names().end());
  return std::find(known.begin(), known.end(), name) != known.end() ? absl::OkStatus()
                                                                    : NoSuchName(reason, kind, name, known);
}

}  // namespace

absl::Status CheckCell(Context& context, const std::string& name) {
  return CheckName(context, "cell", "UNKNOWN_CELL", name, &multiadmin::MultiadminService::Stub::GetCellNames);
}

absl::Status CheckDatabase(Context& context, const std::string& name) {
  return CheckName(context, "database", "UNKNOWN_DATABASE", name,
                   &multiadmin::MultiadminService::Stub::GetDatabaseNames);
}

absl::Status Suggested(Context& context, const absl::Status& status,
                       absl::Status (*check)(Context&, const std::string&), const std::string& name) {
  absl::Status better = absl::IsNotFound(status) ? check(context, name) : status;
  return better.ok() ? status : better;
}

absl::Status CheckFilters(Context& context) {
  if (context.args().Has("cell")) {
    MG_RETURN_IF_ERROR(CheckCell(context, context.args().Get("cell")));
  }
  return context.args().Has("database") ? CheckDatabase(context, context.args().Get("database")) : absl::OkStatus();
}

absl::StatusOr<std::vector<Multipooler>> ReadPoolers(Context& context, const std::string& database,
                                                     const std::string& cell, std::vector<std::string>* unreadable,
                                                     absl::Duration limit) {
  multiadmin::GetPoolersRequest request;
  request.set_database(database);
  if (!cell.empty()) {
    request.add_cells(cell);
  }
  multiadmin::GetPoolersResponse response;
  MG_RETURN_IF_ERROR(CallAdmin<multiadmin::MultiadminService>(context, &multiadmin::MultiadminService::Stub::GetPoolers,
                                                              request, &response, limit, unreadable));
  std::vector<Multipooler> poolers(response.poolers().begin(), response.poolers().end());
  std::sort(poolers.begin(), poolers.end(), [](const Multipooler& a, const Multipooler& b) {
    return std::make_tuple(ShardName(a.shard_key()), a.id().cell(), a.id().name()) <
           std::make_tuple(ShardName(b.shard_key()), b.id().cell(), b.id().name());
  });
  return poolers;
}

absl::StatusOr<std::vector<Multipooler>> FilteredPoolers(Context& context) {
  MG_ASSIGN_OR_RETURN(std::vector<Multipooler> poolers,
                      ReadPoolers(context, context.args().Get("database"), context.args().Get("cell"), nullptr));
  if (poolers.empty()) {
    MG_RETURN_IF_ERROR(CheckFilters(context));
  }
  return poolers;
}

void HideSecrets(multipoolermanagerdata::Status* status) {
  if (status->has_replication_status() && status->replication_status().has_primary_conn_info()) {
    std::string* raw = status->mutable_replication_status()->mutable_primary_conn_info()->mutable_raw();
    *raw = Secrets().Remove(*raw);
  }
}

namespace {

std::vector<v1::ShardOutput> Shards(const std::vector<Multipooler>& poolers, const std::vector<Answer>& answers,
                                    const PoolerNames& names, bool whole) {
  std::map<std::string, v1::ShardOutput> shards;
  std::map<std::string, clustermetadata::ShardRule> rules;
  for (size_t i = 0; i < poolers.size(); ++i) {
    std::string name = ShardName(poolers[i].shard_key());
    v1::ShardOutput& shard = shards[name];
    shard.set_name(name);
    v1::PoolerOutput* pooler = shard.add_poolers();
    Fill(poolers[i], names.Of(poolers[i]), answers[i], pooler);
    if (whole && answers[i].status.ok()) {
      *pooler->mutable_status() = answers[i].response.status();
      HideSecrets(pooler->mutable_status());
    }
    const clustermetadata::ShardRule& rule =
        answers[i].response.consensus_status().current_position().position().decision();
    if (answers[i].status.ok() && Higher(rule.rule_number(), rules[name].rule_number())) {
      rules[name] = rule;
    }
  }
  std::vector<v1::ShardOutput> result;
  for (auto& [name, shard] : shards) {
    const clustermetadata::ShardRule& rule = rules[name];
    shard.set_rule(RuleText(rule.rule_number()));
    if (rule.has_leader_id()) {
      shard.set_primary(names.Of(rule.leader_id()));
    }
    shard.set_durability(rule.durability_policy().policy_name());
    for (const clustermetadata::ID& member : rule.cohort_members()) {
      shard.add_cohort(names.Of(member));
    }
    AddLag(&shard);
    result.push_back(std::move(shard));
  }
  return result;
}

}  // namespace

std::vector<v1::ShardOutput> ReadShards(Context& context, const std::vector<Multipooler>& poolers, bool whole) {
  std::vector<Answer> answers = AskAll(context, poolers);
  return Shards(poolers, answers, PoolerNames(context, poolers), whole);
}

absl::StatusOr<v1::ShardOutput> ReadPooler(Context& context, const Multipooler& pooler,
                                           const std::vector<Multipooler>& all) {
  std::vector<Multipooler> asked = {pooler};
  for (const Multipooler& other : all) {
    if (ShardName(other.shard_key()) == ShardName(pooler.shard_key()) &&
        other.routing_state().role() == clustermetadata::ROUTING_ROLE_PRIMARY &&
        (other.id().cell() != pooler.id().cell() || other.id().name() != pooler.id().name())) {
      asked.push_back(other);
    }
  }
  std::vector<Answer> answers = AskAll(context, asked);
  MG_RETURN_IF_ERROR(answers[0].status);
  v1::ShardOutput shard = Shards(asked, answers, PoolerNames(context, all), /*whole=*/true).front();
  shard.mutable_poolers()->DeleteSubrange(1, shard.poolers_size() - 1);
  return shard;
}

template <typename Record>
absl::StatusOr<Record> FindRecord(const std::vector<Record>& records, const char* kind, const std::string& text) {
  std::string wanted = text;
  for (const std::string& prefix : {absl::StrCat(kind, "/"), std::string("postgres/")}) {
    if (wanted.starts_with(prefix)) {
      wanted = wanted.substr(prefix.size());
    }
  }
  std::vector<std::string> known;
  const Record* found = nullptr;
  bool several = false;
  for (const Record& record : records) {
    const clustermetadata::ID& id = record.id();
    known.push_back(ComponentName(kind, id));
    if (wanted == id.name() || wanted == absl::StrCat(id.cell(), "/", id.name()) ||
        wanted == absl::StrCat(id.cell(), "_", id.name())) {
      return record;
    }
    if (wanted == id.cell()) {
      several |= found != nullptr;
      found = &record;
    }
  }
  if (several) {
    return MakeError(absl::StatusCode::kFailedPrecondition, absl::StrCat("the cell ", wanted, " has several"),
                     {.reason = "USAGE", .hint = "give the name from the list's ID column"});
  }
  if (found != nullptr) {
    return *found;
  }
  return NoSuchName("UNKNOWN_COMPONENT", kind,
                    text.find('/') == std::string::npos ? absl::StrCat(kind, "/", text) : text, known);
}

absl::StatusOr<Multipooler> FindPooler(Context& context, const std::vector<Multipooler>& poolers,
                                       const std::string& text) {
  PoolerNames names(context, poolers);
  size_t slash = text.find('/');
  std::string kind = text.substr(0, slash);
  bool named = slash != std::string::npos && (kind == "multipooler" || kind == "postgres");
  std::string wanted = absl::StrCat("multipooler/", named ? text.substr(slash + 1) : text);
  for (const Multipooler& pooler : poolers) {
    if (names.Of(pooler) == wanted) {
      return pooler;
    }
  }
  absl::StatusOr<Multipooler> found = FindRecord(poolers, "multipooler", text);
  if (absl::IsNotFound(found.status())) {
    // Those of several databases share a cell: the names with the database tell them apart.
    std::vector<std::string> known;
    for (const Multipooler& pooler : poolers) {
      known.push_back(names.Of(pooler));
    }
    return NoSuchName("UNKNOWN_COMPONENT", "multipooler", slash == std::string::npos ? wanted : text, known);
  }
  return found;
}

template absl::StatusOr<Multipooler> FindRecord(const std::vector<Multipooler>&, const char*, const std::string&);
template absl::StatusOr<clustermetadata::Multigateway> FindRecord(const std::vector<clustermetadata::Multigateway>&,
                                                                  const char*, const std::string&);
template absl::StatusOr<clustermetadata::Multiorch> FindRecord(const std::vector<clustermetadata::Multiorch>&,
                                                               const char*, const std::string&);

}  // namespace mg::cli
