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
constexpr int kTerms = 4;  ///< terms 0 to 3
constexpr int kMaxWrites = 8;
constexpr std::int8_t kNobody = -1;

/// An entry of a log: a proposed rule, a decided rule, or a client's write.
enum : std::uint8_t { kEmpty = 0, kProposed = 0x10, kDecided = 0x20, kWrite = 0x40 };

struct Node {
  // On disk.
  std::array<std::uint8_t, kMaxLog> log{};
  std::uint8_t length = 0;
  std::uint8_t promised = 0;
  std::int8_t follows = kNobody;
  // In memory.
  std::uint8_t up = 1;
  std::uint8_t leads = 0;      ///< term that it leads under; 0: a standby
  std::uint8_t serves = 0;     ///< its rule is decided and durable
  std::uint8_t confirmed = 0;  ///< entries that a standby has reported as flushed
  std::uint8_t needs = 0;      ///< length that must be confirmed before it serves
  std::uint8_t recovered = 0;  ///< length of what a restart as the leader made visible at once
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

  std::string Key() const { return std::string(reinterpret_cast<const char*>(this), sizeof *this); }
};
static_assert(std::has_unique_object_representations_v<State>, "the key is made of the bytes");

int Highest(const Node& node, std::uint8_t kind) {
  int highest = 0;
  for (int i = 0; i < node.length; ++i) {
    if ((node.log[static_cast<size_t>(i)] & 0xf0) == kind) {
      highest = std::max(highest, node.log[static_cast<size_t>(i)] & 0x0f);
    }
  }
  return highest;
}

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
std::array<bool, 1 << kNodes> Quorums() {
  clustermetadata::ShardRule rule;
  *rule.mutable_rule_number() = consensus::MakeRuleNumber(1, 0);
  rule.mutable_durability_policy()->set_policy_name("AT_LEAST_2");
  rule.mutable_durability_policy()->set_quorum_type(clustermetadata::QUORUM_TYPE_AT_LEAST_N);
  rule.mutable_durability_policy()->set_required_count(2);
  for (int node = 0; node < kNodes; ++node) {
    *rule.add_cohort_members() = IdOf(node);
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

clustermetadata::PoolerPosition PositionOf(int decision, int proposal, int length) {
  clustermetadata::PoolerPosition position;
  *position.mutable_position()->mutable_decision()->mutable_rule_number() = consensus::MakeRuleNumber(decision, 0);
  if (proposal > decision) {
    *position.mutable_position()->mutable_proposal()->mutable_rule_number() = consensus::MakeRuleNumber(proposal, 0);
  }
  position.set_lsn(consensus::FormatLsn(static_cast<std::uint64_t>(length)));
  return position;
}

/// All positions in their order, as the code compares them; a table, since the explorer asks millions of times.
class Order {
 public:
  Order() {
    std::vector<std::pair<clustermetadata::PoolerPosition, int>> all;
    for (int decision = 0; decision < kTerms; ++decision) {
      for (int proposal = 0; proposal < kTerms; ++proposal) {
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
    return (decision * kTerms + proposal) * (kMaxLog + 1) + length;
  }
  std::array<int, kTerms * kTerms*(kMaxLog + 1)> ranks_{};
};

class Explorer {
 public:
  Explorer(const Bounds& bounds, const std::vector<Guard>& left_out) : bounds_(bounds), quorums_(Quorums()) {
    for (Guard guard : left_out) {
      left_out_[static_cast<size_t>(guard)] = true;
    }
  }

  Exploration Run() {
    State first;
    for (int n = 0; n < kNodes; ++n) {
      Node& node = first.nodes[static_cast<size_t>(n)];
      node.log[0] = kDecided | kFirstTerm;
      node.length = 1;
      node.promised = kFirstTerm;
      node.follows = n == 0 ? kNobody : 0;
    }
    first.nodes[0].leads = kFirstTerm;
    first.nodes[0].serves = 1;
    first.nodes[0].confirmed = 1;
    for (int i = 0; i < bounds_.unreplicated; ++i) {
      Append(&first.nodes[0], static_cast<std::uint8_t>(kWrite | (kMaxWrites - 1 - i)));
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
      if (std::uint8_t entry = leader->log[static_cast<size_t>(i)]; (entry & 0xf0) == kWrite) {
        has = static_cast<std::uint8_t>(has | 1u << (entry & 0x0f));
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

  void Clients(const State& state, int n) {
    const Node& node = state.nodes[static_cast<size_t>(n)];
    if (node.up == 0 || node.leads == 0) {
      return;
    }
    if (node.serves != 0 && state.written < bounds_.writes) {
      State next = state;
      if (Append(&next.nodes[static_cast<size_t>(n)], static_cast<std::uint8_t>(kWrite | state.written))) {
        ++next.written;
        Reach(next, absl::StrCat("node ", n, " writes ", state.written));
      }
    }
    int durable = Holds(Guard::kCommitWaitsForStandby) ? node.confirmed : node.length;
    // Read or acknowledged: a client knows of it.
    for (int i = 0; node.serves != 0 && i < std::max<int>(durable, node.recovered); ++i) {
      std::uint8_t entry = node.log[static_cast<size_t>(i)];
      std::uint8_t bit = static_cast<std::uint8_t>(1u << (entry & 0x0f));
      if ((entry & 0xf0) == kWrite && (state.acknowledged & bit) == 0) {
        State next = state;
        next.acknowledged = static_cast<std::uint8_t>(next.acknowledged | bit);
        Reach(next, absl::StrCat("node ", n, i < durable ? " acknowledges " : " lets a client read ", entry & 0x0f));
      }
    }
    // The second phase of a rule write, and the start of service.
    bool confirmed = node.confirmed >= node.needs || (node.recovered > 0 && !Holds(Guard::kConfirmBeforeClients));
    if (node.serves == 0 && confirmed) {
      State next = state;
      Node& leader = next.nodes[static_cast<size_t>(n)];
      if (Highest(leader, kDecided) < leader.leads) {
        if (Append(&leader, static_cast<std::uint8_t>(kDecided | leader.leads))) {
          leader.needs = leader.length;
          Reach(next, absl::StrCat("node ", n, " decides its rule of term ", leader.leads));
        }
      } else {
        leader.serves = 1;
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
      Node& primary = next.nodes[static_cast<size_t>(standby.follows)];
      // The report may be read at any later moment, also after the standby has let go.
      primary.confirmed = std::max(primary.confirmed, copy.length);
      Reach(next, absl::StrCat("node ", n, " takes an entry from node ", standby.follows));
    } else if (leader.confirmed < standby.length) {
      next.nodes[static_cast<size_t>(standby.follows)].confirmed = standby.length;
      Reach(next, absl::StrCat("node ", n, " reports what it has to node ", standby.follows));
    }
  }

  /// The term of the highest rule in its log, where that is decided and names the node itself as the leader; else 0.
  static int OwnRule(const State& state, int n) {
    const Node& node = state.nodes[static_cast<size_t>(n)];
    int decided = Highest(node, kDecided);
    bool own = decided == kFirstTerm ? n == 0 : state.coordinators[static_cast<size_t>(decided)].chosen == n;
    return own && Highest(node, kProposed) <= decided ? decided : 0;
  }

  void Failures(const State& state, int n) {
    const Node& node = state.nodes[static_cast<size_t>(n)];
    if (node.up != 0) {
      if (state.crashes < bounds_.crashes) {
        State next = state;
        Node& crashed = next.nodes[static_cast<size_t>(n)];
        ++next.crashes;
        crashed.up = 0;
        crashed.serves = 0;
        crashed.confirmed = crashed.needs = crashed.recovered = 0;
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
      if (Append(&restarted, static_cast<std::uint8_t>(kDecided | own))) {
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
      recruit.leads = recruit.serves = recruit.confirmed = recruit.needs = recruit.recovered = 0;
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
    for (unsigned heard = 1; heard < quorums_.size(); ++heard) {
      bool enough = (heard & ~coordinator.recruited) == 0 && (!Holds(Guard::kQuorumOfRecruits) || quorums_[heard]);
      for (int n = 0; enough && n < kNodes; ++n) {
        possible[static_cast<size_t>(n)] |=
            (heard >> n & 1) != 0 && (!Holds(Guard::kMostAdvanced) || IsBest(coordinator, heard, n));
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

  bool IsBest(const Coordinator& coordinator, unsigned heard, int n) const {
    auto rank = [&](int node) {
      auto i = static_cast<size_t>(node);
      return Holds(Guard::kRulesBeforeLsn)
                 ? order_.RankOf(coordinator.decision[i], coordinator.proposal[i], coordinator.length[i])
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
    if ((Holds(Guard::kPromoteNeedsPromise) && !promised) || Highest(node, kProposed) >= term || node.leads > term) {
      return;  // the second condition: a promotion happens once
    }
    State next = state;
    Node& leader = next.nodes[static_cast<size_t>(n)];
    leader.leads = static_cast<std::uint8_t>(term);
    leader.follows = kNobody;
    leader.serves = leader.confirmed = leader.recovered = 0;
    if (Append(&leader, static_cast<std::uint8_t>(kProposed | term))) {
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
    follower.leads = follower.serves = follower.confirmed = follower.needs = follower.recovered = 0;
    // Who follows a term has promised it.
    follower.promised = std::max(follower.promised, static_cast<std::uint8_t>(term));
    Reach(next, absl::StrCat("node ", n, " is told to follow node ", leader, " of term ", term));
  }

  const Bounds bounds_;
  const std::array<bool, 1 << kNodes> quorums_;
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
  }
  return "";
}

std::vector<Guard> AllGuards() {
  return {Guard::kPromiseIsOnDisk,      Guard::kQuorumOfRecruits,   Guard::kMostAdvanced,
          Guard::kRulesBeforeLsn,       Guard::kRecruitCutsStream,  Guard::kRecruitDemotes,
          Guard::kPromoteNeedsPromise,  Guard::kFollowNeedsPromise, Guard::kCommitWaitsForStandby,
          Guard::kConfirmBeforeClients, Guard::kInPlaceNeedsPromise};
}

Exploration Explore(const Bounds& bounds, const std::vector<Guard>& left_out) {
  return Explorer(bounds, left_out).Run();
}

}  // namespace mg::model
