#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "cli/commands/admin_call.h"
#include "cli/commands/admin_reads.h"
#include "cli/commands/commands.h"
#include "cli/commands/context.h"
#include "common/consensus/policy.h"
#include "common/rpc/proto_time.h"
#include "multiadminservice.grpc.pb.h"
#include "multigres/admin/v1/shard.grpc.pb.h"

namespace mg::cli {
namespace {

namespace v1 = multigres::admin::v1;

constexpr absl::Duration kChangeLimit = absl::Seconds(30);
constexpr absl::Duration kSwitchLimit = absl::Seconds(60);

absl::Status Usage(const std::string& message, const std::string& hint) {
  return MakeError(absl::StatusCode::kInvalidArgument, message, {.reason = "USAGE", .hint = hint});
}

/// database[/tablegroup[/shard]]; nothing: the shard of the cluster's first database.
absl::StatusOr<clustermetadata::ShardKey> ShardOf(Context& context) {
  const std::vector<std::string>& names = context.args().positionals;
  std::vector<std::string> parts = absl::StrSplit(names.empty() ? context.DefaultDatabase() : names[0], '/');
  if (parts.size() > 3 || parts[0].empty()) {
    return Usage(absl::StrCat("'", names[0], "' is no shard"), "write DATABASE, or DATABASE/TABLEGROUP/SHARD");
  }
  clustermetadata::ShardKey shard;
  shard.set_database(parts[0]);
  shard.set_table_group(parts.size() > 1 ? parts[1] : "default");
  shard.set_shard(parts.size() > 2 ? parts[2] : "0-inf");
  for (auto [flag, field] :
       {std::pair("database", shard.mutable_database()), std::pair("table-group", shard.mutable_table_group()),
        std::pair("shard", shard.mutable_shard())}) {
    if (context.args().Has(flag)) {
      *field = context.args().Get(flag);
    }
  }
  return shard;
}

std::string ShardText(const clustermetadata::ShardKey& shard) {
  return absl::StrCat(shard.database(), "/", shard.table_group(), "/", shard.shard());
}

/// What to call a shard's poolers; without them, by their cells.
PoolerNames NamesIn(Context& context, const std::string& database) {
  absl::StatusOr<std::vector<clustermetadata::Multipooler>> poolers = ReadPoolers(context, database, "", nullptr);
  return PoolerNames(context, poolers.ok() ? *poolers : std::vector<clustermetadata::Multipooler>());
}

int RunSwitchPrimary(Context& context) {
  absl::StatusOr<clustermetadata::ShardKey> shard = ShardOf(context);
  if (!shard.ok()) {
    return context.Fail(shard.status());
  }
  absl::Status confirmed = context.ConfirmRemote(absl::StrCat(
      "have ", context.args().Has("to") ? context.args().Get("to") : "another node", " lead ", ShardText(*shard), "?"));
  if (!confirmed.ok()) {
    return context.Fail(confirmed);
  }
  v1::SwitchPrimaryRequest request;
  *request.mutable_shard_key() = *shard;
  request.set_reason(context.args().Has("reason") ? context.args().Get("reason") : "multigres shard switch-primary");
  if (context.args().Has("to")) {
    absl::StatusOr<std::vector<clustermetadata::Multipooler>> poolers =
        ReadPoolers(context, shard->database(), "", nullptr);
    if (!poolers.ok()) {
      return context.Fail(poolers.status());
    }
    absl::StatusOr<clustermetadata::Multipooler> target = FindPooler(context, *poolers, context.args().Get("to"));
    if (!target.ok()) {
      return context.Fail(target.status());
    }
    *request.mutable_target() = target->id();
  }
  v1::SwitchPrimaryResponse response;
  absl::Status status =
      CallAdmin<v1::ShardService>(context, &v1::ShardService::Stub::SwitchPrimary, request, &response, kSwitchLimit);
  if (!status.ok()) {
    return context.Fail(status);
  }
  return context.Emit(response, [&]() -> std::string {
    const PoolerNames names = NamesIn(context, shard->database());
    if (response.new_leader_id().name() == response.old_leader_id().name()) {
      return absl::StrCat(names.Of(response.new_leader_id()), " is the primary already\n");
    }
    absl::Duration took = rpc::ToDuration(response.duration());
    return absl::StrCat(names.Of(response.new_leader_id()),
                        " is the primary now (before: ", names.Of(response.old_leader_id()), "), after ",
                        absl::FormatDuration(absl::Trunc(took, absl::Milliseconds(1))), "\n");
  });
}

/// The poolers of one shard; NOT_FOUND without any.
absl::StatusOr<std::vector<clustermetadata::Multipooler>> Members(Context& context,
                                                                  const clustermetadata::ShardKey& shard) {
  MG_ASSIGN_OR_RETURN(std::vector<clustermetadata::Multipooler> all,
                      ReadPoolers(context, shard.database(), "", nullptr));
  std::erase_if(all, [&](const clustermetadata::Multipooler& pooler) {
    return pooler.shard_key().table_group() != shard.table_group() || pooler.shard_key().shard() != shard.shard();
  });
  if (all.empty()) {
    return MakeError(absl::StatusCode::kNotFound, absl::StrCat("there is no shard ", ShardText(shard)),
                     {.reason = "UNKNOWN_SHARD", .hint = "'multigres shard list' shows them"});
  }
  return all;
}

int RunRule(Context& context) {
  absl::StatusOr<clustermetadata::ShardKey> shard = ShardOf(context);
  absl::StatusOr<std::vector<clustermetadata::Multipooler>> members =
      shard.ok() ? Members(context, *shard) : shard.status();
  if (!members.ok()) {
    return context.Fail(members.status());
  }
  multigres::cli::v1::ShardOutput rule = ReadShards(context, *members).front();
  return context.Emit(rule, [&] {
    std::string text = absl::StrCat("rule        ", rule.rule(), "\nleader      ", rule.primary(), "\ndurability  ",
                                    rule.durability(), "\ncohort      ", absl::StrJoin(rule.cohort(), " "), "\n");
    for (const auto& pooler : rule.poolers()) {
      if (pooler.rule() != rule.rule()) {
        absl::StrAppend(&text, pooler.name(), " is at ", pooler.rule().empty() ? "no rule" : pooler.rule(),
                        pooler.error().empty() ? "" : ": ", pooler.error(), "\n");
      }
    }
    return text;
  });
}

struct RuleArguments {
  clustermetadata::ShardKey shard;
  clustermetadata::ID leader;  ///< without a name: as it is
  std::vector<clustermetadata::ID> cohort;
};

absl::StatusOr<RuleArguments> ReadRuleArguments(Context& context) {
  RuleArguments result;
  const Arguments& args = context.args();
  for (const char* flag : {"leader", "durability"}) {
    if (args.Has(flag) && absl::StripAsciiWhitespace(args.Get(flag)).empty()) {
      return Usage(absl::StrCat("--", flag, " is empty"), "leave the flag out to keep what is in force");
    }
  }
  MG_ASSIGN_OR_RETURN(result.shard, ShardOf(context));
  MG_ASSIGN_OR_RETURN(std::vector<clustermetadata::Multipooler> members, Members(context, result.shard));
  if (args.Has("leader")) {
    MG_ASSIGN_OR_RETURN(clustermetadata::Multipooler leader, FindPooler(context, members, args.Get("leader")));
    result.leader = leader.id();
  }
  for (const std::string& name : args.GetAll("cohort")) {
    MG_ASSIGN_OR_RETURN(clustermetadata::Multipooler member,
                        FindPooler(context, members, std::string(absl::StripAsciiWhitespace(name))));
    result.cohort.push_back(member.id());
  }
  if (args.Has("cohort") && result.cohort.empty()) {
    return Usage("--cohort names nobody", "name its members with commas between; leave the flag out to keep them");
  }
  return result;
}

absl::StatusOr<std::int64_t> Number(const Arguments& args, const std::string& flag) {
  std::int64_t number = 0;
  if (args.Has(flag) && (!absl::SimpleAtoi(args.Get(flag), &number) || number < 0)) {
    return Usage(absl::StrCat("--", flag, ": '", args.Get(flag), "' is no number"), "give 0 or a higher whole number");
  }
  return number;
}

/// The rule that a person certifies to be the last one, or has derived from what can be reached.
absl::StatusOr<multiadmin::ApplyCertifiedRuleChangeRequest> CertifiedRequest(const Arguments& args,
                                                                             const RuleArguments& wanted) {
  if (wanted.leader.name().empty() || wanted.cohort.empty() || !args.Has("durability")) {
    return Usage("a certified change needs --leader, --cohort and --durability", "'multigres shard rule' shows them");
  }
  multiadmin::ApplyCertifiedRuleChangeRequest request;
  *request.mutable_shard_key() = wanted.shard;
  request.set_reason(args.Has("reason") ? args.Get("reason") : "multigres shard apply-rule-change");
  clustermetadata::ShardRule* rule = request.mutable_proposed_transition()->mutable_proposal();
  *rule->mutable_leader_id() = wanted.leader;
  for (const clustermetadata::ID& id : wanted.cohort) {
    *rule->add_cohort_members() = id;
  }
  MG_ASSIGN_OR_RETURN(*rule->mutable_durability_policy(), consensus::PolicyByName(args.Get("durability")));
  if (args.Has("unsafe-derive-cert-from-reachable")) {
    request.mutable_unsafe_derive_cert();
    return request;
  }
  auto* outgoing = request.mutable_cert()->mutable_term_revocation()->mutable_outgoing_rule();
  MG_ASSIGN_OR_RETURN(std::int64_t term, Number(args, "outgoing-rule-term"));
  MG_ASSIGN_OR_RETURN(std::int64_t subterm, Number(args, "outgoing-leader-subterm"));
  outgoing->set_coordinator_term(term);
  outgoing->set_leader_subterm(subterm);
  request.mutable_cert()->set_frozen_lsn(args.Get("frozen-lsn"));
  return request;
}

std::string RuleLine(const PoolerNames& names, const clustermetadata::ShardRule& rule) {
  std::vector<std::string> cohort;
  for (const clustermetadata::ID& member : rule.cohort_members()) {
    cohort.push_back(names.Of(member));
  }
  return absl::StrCat("rule ", RuleText(rule.rule_number()), ": led by ", names.Of(rule.leader_id()), ", ",
                      rule.durability_policy().policy_name(), " of ", absl::StrJoin(cohort, " "), "\n");
}

int RunApplyRuleChange(Context& context) {
  const Arguments& args = context.args();
  bool certified = args.Has("frozen-lsn") || args.Has("unsafe-derive-cert-from-reachable");
  if (args.Has("frozen-lsn") && args.Has("unsafe-derive-cert-from-reachable")) {
    return context.Fail(Usage("--frozen-lsn and --unsafe-derive-cert-from-reachable exclude each other",
                              "give one of them, or neither for a change under the rule's own quorum"));
  }
  absl::StatusOr<RuleArguments> wanted = ReadRuleArguments(context);
  if (!wanted.ok()) {
    return context.Fail(wanted.status());
  }
  if (certified) {
    absl::StatusOr<multiadmin::ApplyCertifiedRuleChangeRequest> request = CertifiedRequest(args, *wanted);
    if (!request.ok()) {
      return context.Fail(request.status());
    }
    absl::StatusOr<bool> yes = context.Confirm(absl::StrCat(
        "install a rule in ", ShardText(wanted->shard),
        " without the quorum of the one in force? Acknowledged writes that only other nodes have would be lost."));
    if (!yes.ok() || !*yes) {
      return context.Fail(yes.ok() ? absl::CancelledError("nothing was changed") : yes.status());
    }
    multiadmin::ApplyCertifiedRuleChangeResponse response;
    absl::Status status = CallAdmin<multiadmin::MultiadminService>(
        context, &multiadmin::MultiadminService::Stub::ApplyCertifiedRuleChange, *request, &response, kChangeLimit);
    if (!status.ok()) {
      return context.Fail(status);
    }
    return context.Emit(response, [&] {
      return absl::StrCat(RuleLine(NamesIn(context, wanted->shard.database()), response.installed_rule()),
                          "certificate: rule ", RuleText(response.cert_used().term_revocation().outgoing_rule()),
                          " ended at ", response.cert_used().frozen_lsn(), "\n");
    });
  }
  if (!args.Has("leader") && !args.Has("cohort") && !args.Has("durability")) {
    return context.Fail(Usage("nothing to change", "give --leader, --cohort or --durability"));
  }
  v1::ChangeRuleRequest request;
  *request.mutable_shard_key() = wanted->shard;
  if (!wanted->leader.name().empty()) {
    *request.mutable_leader_id() = wanted->leader;
  }
  for (const clustermetadata::ID& id : wanted->cohort) {
    *request.add_cohort_members() = id;
  }
  request.set_durability_policy(args.Has("durability") ? args.Get("durability") : "");
  request.set_reason(args.Has("reason") ? args.Get("reason") : "multigres shard apply-rule-change");
  absl::StatusOr<std::int64_t> term = Number(args, "outgoing-rule-term");
  absl::StatusOr<std::int64_t> subterm = Number(args, "outgoing-leader-subterm");
  if (!term.ok() || !subterm.ok()) {
    return context.Fail(term.ok() ? subterm.status() : term.status());
  }
  if (request.durability_policy() == "AT_LEAST_1") {
    context.Warn(
        "warning: with AT_LEAST_1 a write counts when the primary alone has it: what it had not sent is lost with "
        "it\n");
  }
  absl::Status confirmed = context.ConfirmRemote(absl::StrCat("change the rule of ", ShardText(wanted->shard), "?"));
  if (!confirmed.ok()) {
    return context.Fail(confirmed);
  }
  request.mutable_expected_rule()->set_coordinator_term(*term);
  request.mutable_expected_rule()->set_leader_subterm(*subterm);
  v1::ChangeRuleResponse response;
  absl::Status status =
      CallAdmin<v1::ShardService>(context, &v1::ShardService::Stub::ChangeRule, request, &response, kChangeLimit);
  if (!status.ok()) {
    return context.Fail(status);
  }
  return context.Emit(response, [&] { return RuleLine(NamesIn(context, wanted->shard.database()), response.rule()); });
}

}  // namespace

std::vector<Command> ShardCommands() {
  return {
      {.path = "shard rule",
       .summary = "show the rule in force: leader, cohort, durability policy",
       .description = "Show the rule in force, by the highest one that a pooler has decided, and who is not there yet.",
       .positionals = {{.name = "SHARD",
                        .help = "DATABASE or DATABASE/TABLEGROUP/SHARD; default: the first database's"}},
       .examples = {{"multigres shard rule", "of the default database"}},
       .group = "TOPOLOGY",
       .run = RunRule},
      {.path = "shard apply-rule-change",
       .summary = "change leader, cohort or durability policy",
       .description =
           "Have another rule in force. Without a certificate it is changed under the quorum of the one in force, and "
           "no acknowledged write can be lost; what is not given stays as it is, and --outgoing-rule-term and "
           "--outgoing-leader-subterm say which rule must be in force. Where that quorum is gone for good, "
           "--frozen-lsn certifies that nothing beyond it was acknowledged, and "
           "--unsafe-derive-cert-from-reachable takes the most advanced node that answers for that. Poolers that are "
           "left out of the cohort and still stream are taken in again.",
       .positionals = {{.name = "SHARD",
                        .help = "DATABASE or DATABASE/TABLEGROUP/SHARD; default: the first database's"}},
       .flags = {{.name = "database", .value = "NAME", .help = "the shard's database, as in SHARD"},
                 {.name = "table-group", .value = "NAME", .help = "the shard's table group, as in SHARD"},
                 {.name = "shard", .value = "NAME", .help = "the shard's name, as in SHARD"},
                 {.name = "leader", .value = "NAME", .help = "who should lead: multipooler/zone2, zone2 or CELL_NAME"},
                 {.name = "cohort",
                  .value = "NAMES",
                  .help = "who counts for durability, with commas between",
                  .repeated = true},
                 {.name = "durability", .value = "POLICY", .help = "AT_LEAST_2 or MULTI_CELL_AT_LEAST_2"},
                 {.name = "outgoing-rule-term", .value = "N", .help = "the term of the rule that is replaced"},
                 {.name = "outgoing-leader-subterm", .value = "N", .help = "its subterm"},
                 {.name = "frozen-lsn", .value = "LSN", .help = "certify that nothing beyond it was acknowledged"},
                 {.name = "unsafe-derive-cert-from-reachable", .help = "certify the most advanced node that answers"},
                 {.name = "reason", .value = "TEXT", .help = "for the logs and the rule's history"},
                 {.name = "yes",
                  .letter = 'y',
                  .help = "do not ask: it asks before a certified change, and on another machine's cluster"}},
       .examples = {{"multigres shard apply-rule-change --durability MULTI_CELL_AT_LEAST_2", "a stricter policy"},
                    {"multigres shard apply-rule-change --leader zone2", "another leader"}},
       .aliases = {"cluster apply-rule-change"},
       .group = "TOPOLOGY",
       .upstream_aliases = true,
       .run = RunApplyRuleChange},
      {.path = "shard switch-primary",
       .summary = "have another node lead, with no failed statement",
       .description =
           "Have another node of a shard lead, planned: statements that run are finished, open transactions get a "
           "moment, new work waits at the gateways, and sessions go on at the new primary. Sessions that hold what no "
           "other node can have (temporary tables, cursors, LISTEN, advisory locks) are told and end.",
       .positionals = {{.name = "SHARD",
                        .help = "DATABASE or DATABASE/TABLEGROUP/SHARD; default: the first database's"}},
       .flags = {{.name = "to", .value = "NAME", .help = "who should lead: multipooler/zone2, or its cell"},
                 {.name = "database", .value = "NAME", .help = "the shard's database, as in SHARD"},
                 {.name = "table-group", .value = "NAME", .help = "the shard's table group, as in SHARD"},
                 {.name = "shard", .value = "NAME", .help = "the shard's name, as in SHARD"},
                 {.name = "reason", .value = "TEXT", .help = "for the logs"},
                 {.name = "yes", .letter = 'y', .help = "do not ask; only on another machine's cluster it asks"}},
       .examples = {{"multigres shard switch-primary", "before maintenance of the primary"},
                    {"multigres shard switch-primary --to multipooler/zone2", "to a certain one"}},
       .aliases = {"cluster switch-primary"},
       .group = "TOPOLOGY",
       .upstream_aliases = true,
       .run = RunSwitchPrimary},
  };
}

}  // namespace mg::cli
