/// One session's traffic, read beside the relay: which statement each answer belongs to, how long it took, how many
/// rows it had. Nothing of the traffic is held back or changed, and what is not the protocol only ends the reading. Of
/// each message the head is looked at, and what tells statements apart. One thread.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "components/multigateway/stats/consolidator.h"
#include "components/multigateway/stats/query_stats.h"

namespace mg::multigateway::stats {

/// Splits one direction into messages. Gives `take(type, body)` for the types that are wanted; of a long body only the
/// beginning.
class MessageWalker {
 public:
  MessageWalker(absl::string_view wanted, size_t most) : most_(most) {
    for (char type : wanted) {
      wanted_[static_cast<unsigned char>(type)] = true;
    }
  }
  /// False: this is not the protocol.
  template <typename Take>
  bool Feed(absl::string_view data, Take take);

 private:
  std::array<bool, 256> wanted_ = {};  ///< by type
  const size_t most_;                  ///< bytes of a body that are kept when it comes in parts
  std::uint64_t left_ = 0;             ///< of the body that is passing
  char taking_ = 0;                    ///< its type, when it is wanted
  std::string held_;                   ///< a head, or a wanted body, that came in part
};

class SessionStats {
 public:
  SessionStats(QueryStats* queries, Consolidator* consolidator);
  SessionStats(const SessionStats&) = delete;
  SessionStats& operator=(const SessionStats&) = delete;

  /// What the client said, and what it was answered, in the order of each.
  void FromClient(absl::string_view data);
  void FromServer(absl::string_view data);

 private:
  struct Prepared {
    StatementPtr statement;
    Consolidator::Reference reference;  ///< null for the unnamed statement
  };
  /// What an answer is awaited for.
  struct Awaited {
    enum class Kind { kQuery, kParse, kExecute, kSync };
    Kind kind;
    StatementPtr statement;
    std::string name;  ///< kParse: of the statement
    absl::Time asked;
    std::uint64_t rows = 0;
    bool failed = false;
  };

  void ClientMessage(char type, absl::string_view body);
  void ServerMessage(char type, absl::string_view body);
  void Await(Awaited awaited);
  Awaited* Front();
  void Pop();
  void Count(const Awaited& awaited);
  void SkipToSync();
  Backslashes HowToRead(absl::string_view sql);
  void ForgetBySql(absl::string_view sql);
  void Forget(const std::string& name);

  QueryStats* const queries_;
  Consolidator* const consolidator_;
  MessageWalker client_, server_;
  bool broken_ = false;
  Backslashes backslashes_ = Backslashes::kUnknown;  ///< what the server said last
  bool changes_backslashes_ = false;                 ///< the session has to do with the setting at all
  absl::Time now_, answered_;                        ///< of what is read; of the last answer's end
  std::vector<Awaited> awaited_;
  size_t first_ = 0;  ///< of awaited_
  absl::flat_hash_map<std::string, Prepared> prepared_;
  absl::flat_hash_map<std::string, StatementPtr> portals_;  ///< but for the unnamed one, which nearly all use
  StatementPtr unnamed_portal_;
};

}  // namespace mg::multigateway::stats
