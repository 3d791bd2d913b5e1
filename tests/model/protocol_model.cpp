#include "tests/model/protocol_model.h"

#include <algorithm>
#include <array>
#include <functional>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/consensus/policy.h"
#include "common/consensus/position.h"

namespace mg::model {
namespace {

constexpr int kNodes = 3;
constexpr int kMaxLog = 10;
constexpr int kFirstTerm = 1;
constexpr int kTerms = 4;    ///< terms 0 to 3
constexpr int kNumbers = 8;  ///< of rules: each term has two
constexpr int kRules = 3;
constexpr int kMaxWrites = 8;
constexpr std::int8_t kNobody = -1;

/// An entry of a log: a proposed rule, a decided rule, or a client's write.
enum : std::uint8_t { kEmpty = 0, kProposed = 0x40, kDecided = 0x80, kWrite = 0xc0 };

std::uint8_t TypeOf(std::uint8_t entry) { return entry & 0xc0; }
int ValueOf(std::uint8_t entry) { return entry & 0x3f; }

/// A rule in an entry: its number (term and subterm), then what it is. Rules of a higher number are greater.
int MakeRule(int term, int subterm, int kind) { return (term * 2 + subterm) << 2 | kind; }
int NumberOf(int rule) { return rule >> 2; }
int TermOf(int rule) { return rule >> 3; }
int KindOf(int rule) { return rule & 3; }

bool IsMember(int kind, int node) { return kind != static_cast<int>(Rule::kTwoOfTwo) || node < 2; }
int RequiredBy(int kind) { return kind == static_cast<int>(Rule::kOneOfThree) ? 1 : 2; }
unsigned Bit(int kind) { return 1u << kind; }

struct Node {
  // On disk.
  std::array<std::uint8_t, kMaxLog> log{};
  std::uint8_t length = 0;
  std::uint8_t promised = 0;
  std::int8_t follows = kNobody;
  // In memory.
  std::uint8_t up = 1;
  std::uint8_t leads = 0;                        ///< term that it leads under; 0: a standby
  std::uint8_t serves = 0;                       ///< its rule is decided and durable
  std::array<std::uint8_t, kNodes> confirmed{};  ///< entries that each standby has reported as flushed
  std::uint8_t needs = 0;      ///< length that must be confirmed before it serves, or goes on with its change
  std::uint8_t recovered = 0;  ///< length of what a restart as the leader made visible at once
  std::uint8_t counts = 0;     ///< bits of the rules by which a write must be durable
  std::uint8_t changes = 0;    ///< its rule: 1: proposed, 2: decided, and not durable yet

  /// What it had as a leader.
  void StandDown() {
    leads = serves = needs = recovered = counts = changes = 0;
    confirmed = {};
  }
};

struct Coordinator {
  std::uint8_t recruited = 0;                   ///< bits of nodes whose promise has come back
  std::array<std::uint8_t, kNodes> decision{};  ///< what they answered
  std::array<std::uint8_t, kNodes> proposal{};
  std::array<std::uint8_t, kNodes> length{};
  std::int8_t chosen = kNobody;
};

struct State {
  std::array<Node, kNodes> nodes{};
  std::array<Coordinator, kTerms> coordinators{};
  std::uint8_t written = 0;       ///< client writes so far
  std::uint8_t acknowledged = 0;  ///< bits of them
  std::uint8_t crashes = 0;
  std::uint8_t served = kFirstTerm;  ///< highest term that any leader has served under
  std::uint8_t changed = 0;          ///< a leader has begun to change the rule

  std::string Key() const { return std::string(reinterpret_cast<const char*>(this), sizeof *this); }
};
static_assert(std::has_unique_object_representations_v<State>, "the key is made of the bytes");

/// The highest rule of this type in its log; 0: none.
int Highest(const Node& node, std::uint8_t type) {
  int highest = 0;
  for (int i = 0; i < node.length; ++i) {
    if (std::uint8_t entry = node.log[static_cast<size_t>(i)]; TypeOf(entry) == type) {
      highest = std::max(highest, ValueOf(entry));
    }
  }
  return highest;
}

std::uint8_t Entry(std::uint8_t type, int value) { return static_cast<std::uint8_t>(type | value); }

int CommonPrefix(const Node& a, const Node& b) {
  int i = 0;
  while (i < a.length && i < b.length && a.log[static_cast<size_t>(i)] == b.log[static_cast<size_t>(i)]) {
    ++i;
  }
  return i;
}

clustermetadata::ID IdOf(int node) {
  clustermetadata::ID id;
  id.set_component(clustermetadata::ID::MULTIPOOLER);
  id.set_cell(absl::StrCat("zone", node));
  id.set_name("p");
  return id;
}

/// For every set of nodes, whether it is a recruitment quorum, as the code judges it.
std::array<bool, 1 << kNodes> Quorums(int kind) {
  clustermetadata::ShardRule rule;
  *rule.mutable_rule_number() = consensus::MakeRuleNumber(1, 0);
  rule.mutable_durability_policy()->set_policy_name("AT_LEAST");
  rule.mutable_durability_policy()->set_quorum_type(clustermetadata::QUORUM_TYPE_AT_LEAST_N);
  rule.mutable_durability_policy()->set_required_count(RequiredBy(kind));
  for (int node = 0; node < kNodes; ++node) {
    if (IsMember(kind, node)) {
      *rule.add_cohort_members() = IdOf(node);
    }
  }
  std::array<bool, 1 << kNodes> quorums{};
  for (unsigned set = 0; set < quorums.size(); ++set) {
    consensus::Cohort cohort;
    for (int node = 0; node < kNodes; ++node) {
      if ((set >> node & 1) != 0) {
        cohort.push_back(IdOf(node));
      }
    }
    quorums[set] = consensus::CheckRecruitmentQuorum(rule, cohort).ok();
  }
  return quorums;
}

/// By the rules' numbers.
clustermetadata::PoolerPosition PositionOf(int decision, int proposal, int length) {
  auto number = [](int of) { return consensus::MakeRuleNumber(of / 2, of % 2); };
  clustermetadata::PoolerPosition position;
  *position.mutable_position()->mutable_decision()->mutable_rule_number() = number(decision);
  if (proposal > decision) {
    *position.mutable_position()->mutable_proposal()->mutable_rule_number() = number(proposal);
  }
  position.set_lsn(consensus::FormatLsn(static_cast<std::uint64_t>(length)));
  return position;
}

/// All positions in their order, as the code compares them; a table, since the explorer asks millions of times.
class Order {
 public:
  Order() {
    std::vector<std::pair<clustermetadata::PoolerPosition, int>> all;
    for (int decision = 0; decision < kNumbers; ++decision) {
      for (int proposal = 0; proposal < kNumbers; ++proposal) {
        for (int length = 0; length <= kMaxLog; ++length) {
          all.emplace_back(PositionOf(decision, proposal, length), Index(decision, proposal, length));
        }
      }
    }
    std::stable_sort(all.begin(), all.end(),
                     [](const auto& a, const auto& b) { return consensus::Compare(a.first, b.first) < 0; });
    int rank = 0;
    for (size_t i = 0; i < all.size(); ++i) {
      rank += i > 0 && consensus::Compare(all[i - 1].first, all[i].first) != 0 ? 1 : 0;
      ranks_[static_cast<size_t>(all[i].second)] = rank;
    }
  }
  int RankOf(int decision, int proposal, int length) const {
    return ranks_[static_cast<size_t>(Index(decision, proposal, length))];
  }

 private:
  static int Index(int decision, int proposal, int length) {
    return (decision * kNumbers + proposal) * (kMaxLog + 1) + length;
  }
  std::array<int, kNumbers * kNumbers*(kMaxLog + 1)> ranks_{};
};

class Explorer {
 public:
  Explorer(const Bounds& bounds, const std::vector<Guard>& left_out)
      : bounds_(bounds), quorums_{Quorums(0), Quorums(1), Quorums(2)} {
    for (Guard guard : left_out) {
      left_out_[static_cast<size_t>(guard)] = true;
    }
  }

  Exploration Run() {
    State first;
    const int kind = static_cast<int>(bounds_.rule);
    for (int n = 0; n < kNodes; ++n) {
      Node& node = first.nodes[static_cast<size_t>(n)];
      node.log[0] = Entry(kDecided, MakeRule(kFirstTerm, 0, kind));
      node.length = 1;
      node.promised = kFirstTerm;
      node.follows = n == 0 ? kNobody : 0;
    }
    first.nodes[0].leads = kFirstTerm;
    first.nodes[0].serves = 1;
    first.nodes[0].confirmed = {0, 1, 1};
    first.nodes[0].counts = static_cast<std::uint8_t>(Bit(kind));
    for (int i = 0; i < bounds_.unreplicated; ++i) {
      Append(&first.nodes[0], Entry(kWrite, kMaxWrites - 1 - i));
    }
    Reach(first, -1, "the shard is led by node 0 under term 1");
    for (size_t at = 0; at < states_.size() && result_.broken.empty(); ++at) {
      if (static_cast<std::int64_t>(states_.size()) > bounds_.states) {
        result_.states = static_cast<std::int64_t>(states_.size());
        return result_;
      }
      current_ = static_cast<std::int64_t>(at);
      const State state = states_[at];
      Expand(state);
    }
    result_.states = static_cast<std::int64_t>(states_.size());
    result_.exhausted = result_.broken.empty();
    return result_;
  }

 private:
  bool Holds(Guard guard) const { return !left_out_[static_cast<size_t>(guard)]; }

  void Reach(const State& state, std::int64_t from, std::string step) {
    if (!seen_.emplace(std::hash<std::string>()(state.Key()), 0).second) {
      return;
    }
    states_.push_back(state);
    ways_.emplace_back(from, std::move(step));
    if (Lost(state)) {
      for (std::int64_t i = static_cast<std::int64_t>(states_.size()) - 1; i >= 0;
           i = ways_[static_cast<size_t>(i)].first) {
        result_.broken.insert(result_.broken.begin(), ways_[static_cast<size_t>(i)].second);
      }
    }
  }
  void Reach(const State& state, std::string step) { Reach(state, current_, std::move(step)); }

  /// The leader of the highest term that ever served is there, and an acknowledged write is not in its log. (One of a
  /// lower term that has not heard of it may be there too; it acknowledges nothing new, or that write is the one.)
  static bool Lost(const State& state) {
    auto leader = std::find_if(state.nodes.begin(), state.nodes.end(), [&](const Node& node) {
      return node.up != 0 && node.serves != 0 && node.leads == state.served;
    });
    if (leader == state.nodes.end()) {
      return false;
    }
    std::uint8_t has = 0;
    for (int i = 0; i < leader->length; ++i) {
      if (std::uint8_t entry = leader->log[static_cast<size_t>(i)]; TypeOf(entry) == kWrite) {
        has = static_cast<std::uint8_t>(has | 1u << ValueOf(entry));
      }
    }
    return (state.acknowledged & ~has) != 0;
  }

  static bool Append(Node* node, std::uint8_t entry) {
    if (node->length == kMaxLog) {
      return false;
    }
    node->log[node->length++] = entry;
    return true;
  }

  void Expand(const State& state) {
    for (int n = 0; n < kNodes; ++n) {
      Clients(state, n);
      Replication(state, n);
      Failures(state, n);
    }
    for (int term = kFirstTerm + 1; term <= bounds_.last_term; ++term) {
      for (int n = 0; n < kNodes; ++n) {
        RecruitNode(state, term, n);
        PromoteNode(state, term, n);
        Follow(state, term, n);
      }
      Choose(state, term);
    }
  }

  /// How much of its log is durable by every rule that counts, as far as it has heard.
  static int Durable(const Node& leader, int n) {
    int durable = leader.length;
    for (int kind = 0; kind < kRules; ++kind) {
      if ((leader.counts & Bit(kind)) == 0) {
        continue;
      }
      std::array<int, kNodes> held{};
      for (int m = 0; m < kNodes; ++m) {
        held[static_cast<size_t>(m)] = !IsMember(kind, m) ? 0
                                       : m == n           ? leader.length
                                                          : leader.confirmed[static_cast<size_t>(m)];
      }
      std::sort(held.begin(), held.end(), std::greater<>());
      durable = std::min(durable, held[static_cast<size_t>(RequiredBy(kind) - 1)]);
    }
    return durable;
  }

  /// The leader changes its rule by itself, while it serves: proposed, decided, and each durable by both rules.
  void ChangeRule(const State& state, int n, int durable) {
    const Node& node = state.nodes[static_cast<size_t>(n)];
    const int to = static_cast<int>(bounds_.changed_to);
    const int rule = Highest(node, kDecided);
    State next = state;
    Node& leader = next.nodes[static_cast<size_t>(n)];
    if (node.changes == 0) {
      if (state.changed != 0 || bounds_.changed_to == bounds_.rule || TermOf(rule) != node.leads || !IsMember(to, n) ||
          !Append(&leader, Entry(kProposed, MakeRule(node.leads, 1, to)))) {
        return;
      }
      next.changed = leader.changes = 1;
      leader.needs = leader.length;
      leader.counts =
          static_cast<std::uint8_t>(Holds(Guard::kChangeCountsTwice) ? Bit(KindOf(rule)) | Bit(to) : Bit(to));
      Reach(next, absl::StrCat("node ", n, " proposes to change its rule"));
    } else if (durable >= node.needs && node.changes == 1) {
      if (Append(&leader, Entry(kDecided, Highest(node, kProposed)))) {
        leader.needs = leader.length;
        leader.changes = 2;
        Reach(next, absl::StrCat("node ", n, " decides the change"));
      }
    } else if (durable >= node.needs) {
      leader.changes = 0;
      leader.counts = static_cast<std::uint8_t>(Bit(KindOf(rule)));
      Reach(next, absl::StrCat("node ", n, " goes by the changed rule alone"));
    }
  }

  void Clients(const State& state, int n) {
    const Node& node = state.nodes[static_cast<size_t>(n)];
    if (node.up == 0 || node.leads == 0) {
      return;
    }
    if (node.serves != 0 && state.written < bounds_.writes) {
      State next = state;
      if (Append(&next.nodes[static_cast<size_t>(n)], Entry(kWrite, state.written))) {
        ++next.written;
        Reach(next, absl::StrCat("node ", n, " writes ", state.written));
      }
    }
    const int safe = Durable(node, n);
    int durable = Holds(Guard::kCommitWaitsForStandby) ? safe : node.length;
    // Read or acknowledged: a client knows of it.
    for (int i = 0; node.serves != 0 && i < std::max<int>(durable, node.recovered); ++i) {
      std::uint8_t entry = node.log[static_cast<size_t>(i)];
      std::uint8_t bit = static_cast<std::uint8_t>(TypeOf(entry) == kWrite ? 1u << ValueOf(entry) : 0);
      if (TypeOf(entry) == kWrite && (state.acknowledged & bit) == 0) {
        State next = state;
        next.acknowledged = static_cast<std::uint8_t>(next.acknowledged | bit);
        Reach(next, absl::StrCat("node ", n, i < durable ? " acknowledges " : " lets a client read ", ValueOf(entry)));
      }
    }
    if (node.serves != 0) {
      ChangeRule(state, n, safe);
    }
    // The second phase of a rule write, and the start of service.
    bool confirmed = safe >= node.needs || (node.recovered > 0 && !Holds(Guard::kConfirmBeforeClients));
    if (node.serves == 0 && confirmed) {
      State next = state;
      Node& leader = next.nodes[static_cast<size_t>(n)];
      if (TermOf(Highest(leader, kDecided)) < leader.leads) {
        if (Append(&leader, Entry(kDecided, Highest(leader, kProposed)))) {
          leader.needs = leader.length;
          Reach(next, absl::StrCat("node ", n, " decides its rule of term ", leader.leads));
        }
      } else {
        leader.serves = 1;
        leader.counts = static_cast<std::uint8_t>(Bit(KindOf(Highest(leader, kDecided))));
        next.served = std::max(next.served, leader.leads);
        Reach(next, absl::StrCat("node ", n, " serves under term ", leader.leads));
      }
    }
  }

  void Replication(const State& state, int n) {
    const Node& standby = state.nodes[static_cast<size_t>(n)];
    if (standby.up == 0 || standby.leads != 0 || standby.follows == kNobody) {
      return;
    }
    const Node& leader = state.nodes[static_cast<size_t>(standby.follows)];
    if (leader.up == 0 || leader.leads == 0) {
      return;
    }
    int common = CommonPrefix(standby, leader);
    State next = state;
    Node& copy = next.nodes[static_cast<size_t>(n)];
    if (common < standby.length) {
      // pg_rewind: back to where the histories part.
      std::fill(copy.log.begin() + common, copy.log.end(), kEmpty);
      copy.length = static_cast<std::uint8_t>(common);
      Reach(next, absl::StrCat("node ", n, " is rewound against node ", standby.follows));
      return;
    }
    if (standby.length < leader.length) {
      copy.log[copy.length] = leader.log[copy.length];
      ++copy.length;
      // The report may be read at any later moment, also after the standby has let go.
      std::uint8_t& confirmed = next.nodes[static_cast<size_t>(standby.follows)].confirmed[static_cast<size_t>(n)];
      confirmed = std::max(confirmed, copy.length);
      Reach(next, absl::StrCat("node ", n, " takes an entry from node ", standby.follows));
    } else if (leader.confirmed[static_cast<size_t>(n)] < standby.length) {
      next.nodes[static_cast<size_t>(standby.follows)].confirmed[static_cast<size_t>(n)] = standby.length;
      Reach(next, absl::StrCat("node ", n, " reports what it has to node ", standby.follows));
    }
  }

  /// The term of the highest rule in its log, where that is decided and names the node itself as the leader; else 0.
  static int OwnRule(const State& state, int n) {
    const Node& node = state.nodes[static_cast<size_t>(n)];
    const int decided = Highest(node, kDecided);
    const int term = TermOf(decided);
    bool own = term == kFirstTerm ? n == 0 : state.coordinators[static_cast<size_t>(term)].chosen == n;
    return own && Highest(node, kProposed) <= decided ? term : 0;
  }

  void Failures(const State& state, int n) {
    const Node& node = state.nodes[static_cast<size_t>(n)];
    if (node.up != 0) {
      if (state.crashes < bounds_.crashes) {
        State next = state;
        Node& crashed = next.nodes[static_cast<size_t>(n)];
        ++next.crashes;
        crashed.StandDown();
        crashed.up = 0;
        if (!Holds(Guard::kPromiseIsOnDisk)) {
          crashed.promised = kFirstTerm;
        }
        Reach(next, absl::StrCat("node ", n, " crashes"));
      }
      return;
    }
    State next = state;
    Node& restarted = next.nodes[static_cast<size_t>(n)];
    restarted.up = 1;
    int own = OwnRule(state, n);
    if (own != 0 && (node.promised <= own || !Holds(Guard::kInPlaceNeedsPromise))) {
      // In place; it confirms its rule by a write of its own before it serves.
      restarted.leads = static_cast<std::uint8_t>(own);
      restarted.follows = kNobody;
      restarted.recovered = restarted.length;
      const int rule = Highest(node, kDecided);
      restarted.counts = static_cast<std::uint8_t>(Bit(KindOf(rule)));
      if (Append(&restarted, Entry(kDecided, rule))) {
        restarted.needs = restarted.length;
        Reach(next, absl::StrCat("node ", n, " restarts as the leader it was"));
      }
      next = state;
      next.nodes[static_cast<size_t>(n)].up = 1;
    }
    next.nodes[static_cast<size_t>(n)].leads = 0;
    Reach(next, absl::StrCat("node ", n, " restarts as a standby"));
  }

  void RecruitNode(const State& state, int term, int n) {
    const Node& node = state.nodes[static_cast<size_t>(n)];
    if (node.up == 0 || node.promised >= term) {
      return;
    }
    State next = state;
    Node& recruit = next.nodes[static_cast<size_t>(n)];
    recruit.promised = static_cast<std::uint8_t>(term);
    if (Holds(Guard::kRecruitDemotes)) {
      recruit.StandDown();
    }
    if (Holds(Guard::kRecruitCutsStream)) {
      recruit.follows = kNobody;
    }
    Coordinator& coordinator = next.coordinators[static_cast<size_t>(term)];
    if (coordinator.chosen != kNobody) {
      Reach(next, absl::StrCat("node ", n, " promises term ", term, ", too late to matter"));
      return;
    }
    coordinator.recruited = static_cast<std::uint8_t>(coordinator.recruited | 1u << n);
    coordinator.decision[static_cast<size_t>(n)] = static_cast<std::uint8_t>(Highest(recruit, kDecided));
    coordinator.proposal[static_cast<size_t>(n)] = static_cast<std::uint8_t>(Highest(recruit, kProposed));
    coordinator.length[static_cast<size_t>(n)] = recruit.length;
    Reach(next, absl::StrCat("node ", n, " promises term ", term));
  }

  /// Answers may have been lost: the choice is made among any of the recruits that are enough.
  void Choose(const State& state, int term) {
    const Coordinator& coordinator = state.coordinators[static_cast<size_t>(term)];
    if (coordinator.chosen != kNobody) {
      return;
    }
    std::array<bool, kNodes> possible{};
    for (unsigned heard = 1; heard < 1u << kNodes; ++heard) {
      bool enough =
          (heard & ~coordinator.recruited) == 0 && (!Holds(Guard::kQuorumOfRecruits) || IsQuorum(coordinator, heard));
      for (int n = 0; enough && n < kNodes; ++n) {
        possible[static_cast<size_t>(n)] |= (heard >> n & 1) != 0 &&
                                            (!Holds(Guard::kMostAdvanced) || IsBest(coordinator, heard, n)) &&
                                            IsMember(KindOf(std::max(coordinator.decision[static_cast<size_t>(n)],
                                                                     coordinator.proposal[static_cast<size_t>(n)])),
                                                     n);
      }
    }
    for (int n = 0; n < kNodes; ++n) {
      if (possible[static_cast<size_t>(n)]) {
        State next = state;
        next.coordinators[static_cast<size_t>(term)] = Coordinator{.chosen = static_cast<std::int8_t>(n)};
        Reach(next, absl::StrCat("the coordinator of term ", term, " chooses node ", n));
      }
    }
  }

  /// By the highest rule that the recruits show, decided and, where there is one, proposed after it.
  bool IsQuorum(const Coordinator& coordinator, unsigned heard) const {
    if (!Holds(Guard::kChangeIsMet)) {
      return quorums_[static_cast<size_t>(bounds_.rule)][heard];
    }
    std::pair<int, int> highest;
    for (size_t node = 0; node < kNodes; ++node) {
      if ((heard >> node & 1) != 0) {
        highest = std::max(highest, {coordinator.decision[node], coordinator.proposal[node]});
      }
    }
    return quorums_[static_cast<size_t>(KindOf(highest.first))][heard] &&
           (highest.second <= highest.first || quorums_[static_cast<size_t>(KindOf(highest.second))][heard]);
  }

  bool IsBest(const Coordinator& coordinator, unsigned heard, int n) const {
    auto rank = [&](int node) {
      auto i = static_cast<size_t>(node);
      return Holds(Guard::kRulesBeforeLsn) ? order_.RankOf(NumberOf(coordinator.decision[i]),
                                                           NumberOf(coordinator.proposal[i]), coordinator.length[i])
                                           : coordinator.length[i];
    };
    for (int other = 0; other < kNodes; ++other) {
      if ((heard >> other & 1) != 0 && rank(other) > rank(n)) {
        return false;
      }
    }
    return true;
  }

  void PromoteNode(const State& state, int term, int n) {
    const Node& node = state.nodes[static_cast<size_t>(n)];
    if (state.coordinators[static_cast<size_t>(term)].chosen != n || node.up == 0 || node.leads == term) {
      return;
    }
    bool promised = node.promised == term;
    const int decision = Highest(node, kDecided), proposal = Highest(node, kProposed);
    if ((Holds(Guard::kPromoteNeedsPromise) && !promised) || TermOf(proposal) >= term || node.leads > term) {
      return;  // the second condition: a promotion happens once
    }
    State next = state;
    Node& leader = next.nodes[static_cast<size_t>(n)];
    leader.leads = static_cast<std::uint8_t>(term);
    leader.follows = kNobody;
    leader.serves = leader.recovered = leader.changes = 0;
    leader.confirmed = {};
    // Of an unfinished change both rules count until it is finished, and with it the new one.
    const int last = std::max(decision, proposal);
    leader.counts = static_cast<std::uint8_t>(Bit(KindOf(decision)) | Bit(KindOf(last)));
    if (Append(&leader, Entry(kProposed, MakeRule(term, 0, KindOf(last))))) {
      leader.needs = leader.length;
      Reach(next, absl::StrCat("node ", n, " is promoted under term ", term));
    }
  }

  void Follow(const State& state, int term, int n) {
    int leader = state.coordinators[static_cast<size_t>(term)].chosen;
    const Node& node = state.nodes[static_cast<size_t>(n)];
    if (leader == kNobody || leader == n || node.up == 0 || node.follows == leader || node.leads >= term ||
        (Holds(Guard::kFollowNeedsPromise) && node.promised > term)) {
      return;
    }
    State next = state;
    Node& follower = next.nodes[static_cast<size_t>(n)];
    follower.follows = static_cast<std::int8_t>(leader);
    follower.StandDown();
    // Who follows a term has promised it.
    follower.promised = std::max(follower.promised, static_cast<std::uint8_t>(term));
    Reach(next, absl::StrCat("node ", n, " is told to follow node ", leader, " of term ", term));
  }

  const Bounds bounds_;
  const std::array<std::array<bool, 1 << kNodes>, kRules> quorums_;
  const Order order_;
  std::array<bool, 16> left_out_{};
  std::vector<State> states_;
  std::vector<std::pair<std::int64_t, std::string>> ways_;  ///< whence, and by which step
  std::unordered_map<size_t, char> seen_;
  std::int64_t current_ = 0;
  Exploration result_;
};

}  // namespace

std::string NameOf(Guard guard) {
  switch (guard) {
    case Guard::kPromiseIsOnDisk:
      return "a promise is on disk";
    case Guard::kQuorumOfRecruits:
      return "a quorum of recruits";
    case Guard::kMostAdvanced:
      return "the most advanced leads";
    case Guard::kRulesBeforeLsn:
      return "rules before LSN";
    case Guard::kRecruitCutsStream:
      return "a recruit takes nothing more";
    case Guard::kRecruitDemotes:
      return "a recruited leader stops";
    case Guard::kPromoteNeedsPromise:
      return "promotion needs the promise";
    case Guard::kFollowNeedsPromise:
      return "following needs the promise";
    case Guard::kCommitWaitsForStandby:
      return "a commit waits for a standby";
    case Guard::kConfirmBeforeClients:
      return "confirm before clients";
    case Guard::kInPlaceNeedsPromise:
      return "in place only without a promise";
    case Guard::kChangeCountsTwice:
      return "a change counts by both rules";
    case Guard::kChangeIsMet:
      return "a quorum of the rule that is met";
  }
  return "";
}

std::vector<Guard> AllGuards() {
  return {Guard::kPromiseIsOnDisk,      Guard::kQuorumOfRecruits,    Guard::kMostAdvanced,
          Guard::kRulesBeforeLsn,       Guard::kRecruitCutsStream,   Guard::kRecruitDemotes,
          Guard::kPromoteNeedsPromise,  Guard::kFollowNeedsPromise,  Guard::kCommitWaitsForStandby,
          Guard::kConfirmBeforeClients, Guard::kInPlaceNeedsPromise, Guard::kChangeCountsTwice,
          Guard::kChangeIsMet};
}

Exploration Explore(const Bounds& bounds, const std::vector<Guard>& left_out) {
  return Explorer(bounds, left_out).Run();
}

}  // namespace mg::model
