/// A small model of how a shard of three nodes changes its leader, and an explorer of everything that can happen in it:
/// every order of recruiting, promising, promoting, writing rules, acknowledging, crashing, restarting and losing
/// messages, and of changing the cohort or the policy meanwhile, within bounds. The quorum and the choice of a leader
/// are judged by common/consensus itself; the nodes are a dozen lines each. What a client has read counts like what was
/// acknowledged: it must not vanish. After manager-rpcs section 10 and docs/consistency.md. Not thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mg::model {

/// What a node or a coordinator must do for the protocol to hold; each can be left out on purpose.
enum class Guard {
  kPromiseIsOnDisk,        ///< a promise outlives a crash
  kQuorumOfRecruits,       ///< no leader without a recruitment quorum
  kMostAdvanced,           ///< the leader is the recruit with the highest position
  kRulesBeforeLsn,         ///< positions compare by rule first, then by LSN
  kRecruitCutsStream,      ///< a recruited standby takes nothing more from the old leader
  kRecruitDemotes,         ///< a recruited leader stops writing
  kPromoteNeedsPromise,    ///< a promotion under another term than the promised one is refused
  kFollowNeedsPromise,     ///< a node does not follow a leader of a term below its promise
  kCommitWaitsForStandby,  ///< an acknowledged write is on two nodes
  kConfirmBeforeClients,   ///< who restarts as the leader that it was serves when its rule is confirmed
  kInPlaceNeedsPromise,    ///< and does not do so after a promise to a higher term
  kChangeCountsTwice,      ///< until a changed rule is decided, what counts satisfies the old one and the new one
  kChangeIsMet,            ///< a quorum is one of the highest rule that the recruits show, too
};
std::string NameOf(Guard guard);
std::vector<Guard> AllGuards();

/// Who takes part, and how many of them must have a write.
enum class Rule : std::uint8_t {
  kTwoOfThree,
  kTwoOfTwo,    ///< node 2 is no member; it streams
  kOneOfThree,  ///< the leader by itself
};

struct Bounds {
  int last_term = 3;  ///< coordinators of terms 2 to this
  int writes = 2;     ///< by clients
  int crashes = 1;
  int unreplicated = 0;                 ///< writes that only the first leader has when all begins
  Rule rule = Rule::kTwoOfThree;        ///< in the beginning
  Rule changed_to = Rule::kTwoOfThree;  ///< a leader may change it to that, once
  std::int64_t states = 20'000'000;
};

struct Exploration {
  std::int64_t states = 0;          ///< different ones
  bool exhausted = false;           ///< nothing was left out within the bounds
  std::vector<std::string> broken;  ///< the steps to a lost write; empty: there is none
};

/// Breadth first, so that `broken` is a shortest way. Ends at the first lost write.
Exploration Explore(const Bounds& bounds, const std::vector<Guard>& left_out);

}  // namespace mg::model
