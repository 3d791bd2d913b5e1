#include "cli/failovers/failovers.h"

#include <google/protobuf/struct.pb.h>

#include <algorithm>
#include <deque>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "common/rpc/proto_time.h"

namespace mg::cli {
namespace {

namespace agent = multigres::agent::v1;
namespace v1 = multigres::cli::v1;

// What was noticed longer before an appointment belongs to something else.
constexpr absl::Duration kEvidenceHolds = absl::Seconds(60);
// The primary stands, and nobody can take its place.
constexpr char kStalled[] = "failover-stalled";
constexpr char kBlocked[] = "failover-blocked";

absl::Time TimeOf(const agent::LogRecord& record) { return rpc::ToTime(record.time()); }

std::string Field(const agent::LogRecord& record, const std::string& name) {
  auto found = record.fields().fields().find(name);
  if (found == record.fields().fields().end()) {
    return "";
  }
  const google::protobuf::Value& value = found->second;
  return value.kind_case() == google::protobuf::Value::kNumberValue
             ? absl::StrCat(static_cast<std::int64_t>(value.number_value()))
             : value.string_value();
}

// The database that a record is about, as components have it in their names: those of a cluster's first one do not.
std::string DatabaseOf(const agent::LogRecord& record, const std::set<std::string>& named) {
  std::vector<std::string> parts = absl::StrSplit(record.component(), '/');
  if (parts[0] == "multipooler") {
    return parts.size() > 2 ? parts[2] : "";
  }
  std::string database = Field(record, parts[0] == "multiorch" ? "shard" : "database");
  database.resize(std::min(database.size(), database.find('/')));
  return named.contains(database) ? database : "";
}

// {7,0}: the term.
std::int64_t TermOf(const std::string& rule) {
  std::int64_t term = 0;
  std::size_t comma = rule.find(',');
  return rule.size() > 1 && comma != std::string::npos && absl::SimpleAtoi(rule.substr(1, comma - 1), &term) ? term : 0;
}

bool Is(const agent::LogRecord& record, const char* kind, absl::string_view message) {
  return absl::StartsWith(record.component(), absl::StrCat(kind, "/")) && record.message() == message;
}

struct Step {
  absl::Time at;
  std::string component, type, detail;
};

/// Of one database's shard.
class Teller {
 public:
  explicit Teller(std::string database) : database_(std::move(database)) {}

  void Take(const agent::LogRecord& record) {
    if (const std::string shard = Field(record, "shard"); !shard.empty()) {
      name_ = shard.substr(0, shard.find('/'));
    }
    if (Is(record, "multiorch", "appointment begins")) {
      Begin(record);
    } else if (Evidence(record)) {
      return;
    } else if (!Healed(record) && !told_.empty()) {
      Continue(record);
    }
    if (Leads(record)) {
      evidence_.clear();  // of what is over now
      decided_ = std::max(decided_, TermOf(Field(record, "rule")));
    }
  }

  std::vector<v1::FailoverOutput> Finish() {
    std::vector<v1::FailoverOutput> out;
    if (Settled()) {
      for (const auto& [about, step] : evidence_) {
        if (step.type == kStalled) {
          Tell(about, step.detail);  // it goes on
          break;
        }
      }
    }
    for (Told& told : told_) {
      Close(&told);
      out.push_back(std::move(told.output));
    }
    return out;
  }

 private:
  struct Told {
    v1::FailoverOutput output;
    std::vector<Step> steps;
    absl::Time detected;
    bool decided = false, rejoined = false;
    std::set<std::string> gateways;  ///< that know the new primary
  };

  // multipooler-zone1-w2m9jgb8, as programs name each other, to multipooler/zone1, as people do.
  std::string ComponentOf(const std::string& id) const {
    std::size_t kind = id.find('-');
    std::size_t name = id.rfind('-');
    return kind == std::string::npos || name <= kind
               ? id
               : absl::StrCat(id.substr(0, kind), "/", id.substr(kind + 1, name - kind - 1),
                              database_.empty() ? "" : "/", database_);
  }

  static bool Leads(const agent::LogRecord& record) {
    return Is(record, "multipooler", "leader") || Is(record, "multipooler", "leads on, under its own rule");
  }

  // No change of the primary is under way.
  bool Settled() const { return told_.empty() || told_.back().decided; }

  // What stands until it is over is never too old.
  void DropOld(const agent::LogRecord& now) {
    std::erase_if(evidence_, [&](const auto& noticed) {
      const Step& step = noticed.second;
      return step.type != kStalled && step.type != kBlocked && step.at < TimeOf(now) - kEvidenceHolds;
    });
  }

  // A story about `primary` that begins with what was noticed of it.
  Told& Tell(const std::string& primary, const std::string& why) {
    Told& told = told_.emplace_back();
    told.output.set_database(name_);
    told.output.set_old_primary(primary);
    told.output.set_why(why);
    told.detected = absl::InfiniteFuture();
    for (auto& noticed : evidence_) {
      const std::string& about = noticed.first;
      Step& step = noticed.second;
      bool once = std::none_of(told.steps.begin(), told.steps.end(), [&](const Step& other) {
        return other.component == step.component && other.type == step.type;
      });
      if (once && (about.empty() || primary.empty() || about == primary)) {
        told.detected = std::min(told.detected, step.at);
        told.output.set_planned(told.output.planned() || step.type == "failover-planned");
        told.steps.push_back(std::move(step));
      }
    }
    evidence_.clear();
    return told;
  }

  // What was noticed has passed: of a primary that leads on that is a story without a successor, of anything else none.
  bool Healed(const agent::LogRecord& record) {
    if (Is(record, "multiorch", "health stream up again")) {
      const std::string about = ComponentOf(Field(record, "pooler"));
      std::erase_if(evidence_, [&](const auto& noticed) {
        return noticed.first == about && noticed.second.component == record.component();
      });
      return true;
    }
    const bool quorum = absl::StartsWith(record.message(), "a quorum confirms this leader's log again");
    const bool same_term = Leads(record) && decided_ > 0 && TermOf(Field(record, "rule")) == decided_;
    auto noticed = std::find_if(evidence_.begin(), evidence_.end(), [&](const auto& one) {
      return one.first == record.component() && (!quorum || one.second.type == kStalled);
    });
    if (!Settled() || noticed == evidence_.end() || (!quorum && !same_term)) {
      return false;
    }
    Told& told = Tell(record.component(), noticed->second.detail);
    told.decided = told.rejoined = true;
    told.output.set_new_primary(record.component());
    told.output.set_term(decided_);
    told.output.set_seconds_to_rule(Since(record));
    Add(record, "failover-in-place",
        quorum ? "a quorum confirms its log again: it goes on"
               : absl::StrCat("goes on as the primary, under rule ", Field(record, "rule")));
    return true;
  }

  void Add(const agent::LogRecord& record, const char* type, std::string detail) {
    told_.back().steps.push_back({TimeOf(record), record.component(), type, std::move(detail)});
  }

  double Since(const agent::LogRecord& record) const {
    return absl::ToDoubleSeconds(TimeOf(record) - told_.back().detected);
  }

  // Kept until an appointment begins, which says whom it was about.
  bool Evidence(const agent::LogRecord& record) {
    Step step{TimeOf(record), record.component(), "failover-detected", ""};
    std::string about = record.component();
    if (Is(record, "multipooler", "connection to PostgreSQL lost")) {
      step.detail = "the connection to its PostgreSQL is lost";
    } else if (Is(record, "multipooler", "PostgreSQL does not answer")) {
      step.detail = "its PostgreSQL does not answer";
    } else if (Is(record, "multipooler", "no quorum confirms this leader's log: reads end too")) {
      step.type = kStalled;
      step.detail = "no quorum confirms its log: nothing is read or written";
    } else if (Is(record, "multipooler", "hands the lead over")) {
      evidence_.clear();  // what was noticed before came to nothing
      step.type = "failover-planned";
      step.detail = "the primary hands over: new work waits";
    } else if (Is(record, "multiorch", "health stream lost")) {
      about = ComponentOf(Field(record, "pooler"));
      step.detail = absl::StrCat("does not reach ", about, " any more");
    } else if (Is(record, "multiorch", "decision") && absl::StrContains(Field(record, "why"), "no leader is alive")) {
      about = "";
      step.detail = Field(record, "why");
      if (absl::StrContains(step.detail, "none can be appointed") || absl::StrContains(step.detail, "too few others")) {
        step.type = kBlocked;
      }
    } else {
      return false;
    }
    if (!Settled()) {
      return true;  // known already
    }
    evidence_.push_back({about, std::move(step)});
    DropOld(record);
    return true;
  }

  void Begin(const agent::LogRecord& record) {
    if (Field(record, "leader").empty()) {
      return;  // the first appointment of a new shard changes nothing
    }
    std::int64_t term = 0;
    (void)absl::SimpleAtoi(Field(record, "term"), &term);
    if (term <= decided_) {
      return;  // by an orch that had not heard of it: nobody is recruited
    }
    if (Settled()) {
      DropOld(record);
      Told& told = Tell(ComponentOf(Field(record, "leader")), Field(record, "why"));
      told.detected = std::min(told.detected, TimeOf(record));
    }
    told_.back().output.set_term(term);
    Add(record, "failover-begun", absl::StrCat("recruits for term ", term, ": ", Field(record, "why")));
  }

  void Continue(const agent::LogRecord& record) {
    OldPrimary(record);
    Told& told = told_.back();
    const std::int64_t term = told.output.term();
    if (!told.decided && Is(record, "multiorch", "recruited")) {
      Add(record, "failover-recruited",
          absl::StrCat(ComponentOf(Field(record, "pooler")), " follows the old primary no more, at ",
                       Field(record, "lsn")));
    } else if (!told.decided && Is(record, "multiorch", "promoting")) {
      Add(record, "failover-promoting",
          absl::StrCat(ComponentOf(Field(record, "leader")), " is the most advanced of ", Field(record, "recruited")));
    } else if (!told.decided && Is(record, "multipooler", "PostgreSQL is writable, the rule is not yet")) {
      Add(record, "failover-promoted", "its PostgreSQL is writable; no client yet");
    } else if (!told.decided && Is(record, "multiorch", "action failed")) {
      Add(record, "failover-failed", Field(record, "error"));
    } else if (!told.decided && Is(record, "multipooler", "leader") && TermOf(Field(record, "rule")) >= term) {
      told.decided = true;
      told.output.set_new_primary(record.component());
      told.output.set_term(TermOf(Field(record, "rule")));
      told.output.set_seconds_to_rule(Since(record));
      Add(record, "failover-rule-written",
          absl::StrCat("rule ", Field(record, "rule"), " is durable: it is the primary"));
    } else if (Is(record, "multigateway", "primary changed") && TermOf(Field(record, "rule")) == term &&
               (!told.decided || ComponentOf(Field(record, "pooler")) == told.output.new_primary())) {
      // (A gateway may hear of the new primary before that one has logged it.)
      if (!told.gateways.insert(record.component()).second) {
        return;  // it lost sight of it for a moment
      }
      const bool first = told.gateways.size() == 1;
      if (first) {
        told.output.set_seconds_to_first_write(Since(record));
      }
      Add(record, "failover-gateway-told", first ? "takes writes again, as the first gateway" : "takes writes again");
    }
  }

  // The change by which this component lost the lead, until it has come back from that, or leads again.
  Told* LostBy(const std::string& component) {
    for (auto told = told_.rbegin(); told != told_.rend(); ++told) {
      if (told->decided && told->output.new_primary() == component) {
        return nullptr;
      }
      if (told->decided && told->output.old_primary() == component) {
        return told->rejoined ? nullptr : &*told;
      }
    }
    return nullptr;
  }

  void OldPrimary(const agent::LogRecord& record) {
    const bool rewinds = record.message() == "log has diverged: rewinding";
    const bool rewound = record.message() == "rewound, follows";
    const bool streams = record.message() == "streams from the primary";
    Told* told = rewinds || rewound || streams ? LostBy(record.component()) : nullptr;
    if (told == nullptr) {
      return;
    }
    if (streams) {
      told->rejoined = true;
      told->output.set_seconds_to_rejoin(absl::ToDoubleSeconds(TimeOf(record) - told->detected));
    }
    told->steps.push_back({TimeOf(record), record.component(),
                           rewinds   ? "failover-rewinding"
                           : rewound ? "failover-rewound"
                                     : "failover-rejoined",
                           rewinds   ? "the old primary wrote what nobody else has: it is rewound"
                           : rewound ? "the old primary is rewound"
                                     : "the old primary streams from the new one"});
  }

  static void Close(Told* told) {
    std::stable_sort(told->steps.begin(), told->steps.end(), [](const Step& a, const Step& b) { return a.at < b.at; });
    told->output.set_detected_at(absl::FormatTime(absl::RFC3339_full, told->detected, absl::UTCTimeZone()));
    for (const Step& step : told->steps) {
      v1::FailoverStep* out = told->output.add_steps();
      out->set_time(absl::FormatTime(absl::RFC3339_full, step.at, absl::UTCTimeZone()));
      out->set_seconds(absl::ToDoubleSeconds(step.at - told->detected));
      out->set_component(step.component);
      out->set_type(step.type);
      out->set_detail(step.detail);
    }
  }

  const std::string database_;  ///< as components have it in their names; empty: the cluster's first one
  std::string name_;            ///< the same database, by its name
  std::deque<std::pair<std::string, Step>> evidence_;  ///< whom it is about (empty: whoever led), and what
  std::vector<Told> told_;
  std::int64_t decided_ = 0;  ///< the highest term of a rule that is known to be durable
};

}  // namespace

const std::vector<std::string> kFailoverKinds = {"multiorch", "multipooler", "multigateway"};
const char kFailoverRecords[] =
    "\"msg\":\"(appointment begins|decision|recruited|promoting|action failed|health stream lost|"
    "connection to PostgreSQL lost|PostgreSQL does not answer|hands the lead over|health stream up again|leads on, "
    "under its own rule|"
    "no quorum confirms this leader's log: reads end too|a quorum confirms this leader's log again, or it leads no "
    "more|"
    "PostgreSQL is writable, the rule is not yet|leader|log has diverged: rewinding|rewound, follows|"
    "streams from the primary|primary changed)\"";

std::vector<v1::FailoverOutput> TellFailovers(const std::vector<agent::LogRecord>& records) {
  std::set<std::string> named;
  for (const agent::LogRecord& record : records) {
    std::vector<std::string> parts = absl::StrSplit(record.component(), '/');
    if (parts[0] == "multipooler" && parts.size() > 2) {
      named.insert(parts[2]);
    }
  }
  std::map<std::string, Teller> tellers;
  for (const agent::LogRecord& record : records) {
    std::string database = DatabaseOf(record, named);
    tellers.try_emplace(database, database).first->second.Take(record);
  }
  std::vector<v1::FailoverOutput> all;
  for (auto& [database, teller] : tellers) {
    for (v1::FailoverOutput& one : teller.Finish()) {
      all.push_back(std::move(one));
    }
  }
  std::stable_sort(all.begin(), all.end(), [](const v1::FailoverOutput& x, const v1::FailoverOutput& y) {
    return x.detected_at() < y.detected_at();
  });
  return all;
}

std::vector<agent::Event> EventsOf(const std::vector<v1::FailoverOutput>& failovers, const std::string& cluster) {
  std::vector<agent::Event> events;
  for (const v1::FailoverOutput& failover : failovers) {
    for (const v1::FailoverStep& step : failover.steps()) {
      agent::Event& event = events.emplace_back();
      absl::Time time;
      std::string error;
      if (absl::ParseTime(absl::RFC3339_full, step.time(), &time, &error)) {
        timespec at = absl::ToTimespec(time);
        event.mutable_time()->set_seconds(at.tv_sec);
        event.mutable_time()->set_nanos(static_cast<int>(at.tv_nsec));
      }
      event.set_cluster(cluster);
      event.set_component(step.component());
      event.set_type(step.type());
      event.set_message(step.detail());
      if (step.seconds() > 0) {
        timespec took = absl::ToTimespec(absl::Seconds(step.seconds()));
        event.mutable_duration()->set_seconds(took.tv_sec);
        event.mutable_duration()->set_nanos(static_cast<int>(took.tv_nsec));
      }
    }
  }
  std::stable_sort(events.begin(), events.end(), [](const agent::Event& a, const agent::Event& b) {
    return std::make_pair(a.time().seconds(), a.time().nanos()) < std::make_pair(b.time().seconds(), b.time().nanos());
  });
  return events;
}

std::string FailoverText(const v1::FailoverOutput& failover) {
  absl::Time detected;
  std::string error;
  std::string when = absl::ParseTime(absl::RFC3339_full, failover.detected_at(), &detected, &error)
                         ? absl::FormatTime("%Y-%m-%d %H:%M:%E3S", detected, absl::LocalTimeZone())
                         : failover.detected_at();
  auto seconds = [](bool known, double value) { return known ? absl::StrFormat("%.3f s", value) : "not yet"; };
  const bool in_place = std::any_of(failover.steps().begin(), failover.steps().end(),
                                    [](const v1::FailoverStep& step) { return step.type() == "failover-in-place"; });
  std::string text = absl::StrCat(
      failover.planned() ? "planned change of the primary: "
      : in_place         ? "the primary went on in place: "
                         : "failover: ",
      failover.old_primary().empty() ? "nobody" : failover.old_primary(), " -> ",
      failover.new_primary().empty() ? "nobody yet" : failover.new_primary(),
      failover.database().empty() ? "" : "\ndatabase     ", failover.database(), "\nwhy          ", failover.why(),
      "\nbegan        ", when, "\nrule         ", seconds(failover.has_seconds_to_rule(), failover.seconds_to_rule()),
      "\nfirst write  ", seconds(failover.has_seconds_to_first_write(), failover.seconds_to_first_write()), "\n");
  if (failover.old_primary() != failover.new_primary()) {
    absl::StrAppend(&text, "rejoined     ", seconds(failover.has_seconds_to_rejoin(), failover.seconds_to_rejoin()),
                    "\n");
  }
  absl::StrAppend(&text, "\n");
  for (const v1::FailoverStep& step : failover.steps()) {
    absl::StrAppend(&text, absl::StrFormat("%+8.3f s  %-20s  %s\n", step.seconds(), step.component(), step.detail()));
  }
  return text;
}

}  // namespace mg::cli
