/// One gateway connection: hand-off, a server connection, the relay, and what becomes of the connection afterwards. On
/// the pool's loop thread only.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "common/pgwire/scanner.h"
#include "common/relay/pump.h"
#include "components/multipooler/pool/read_gate.h"
#include "components/multipooler/pool/server_connection.h"
#include "components/multipooler/pool/session_state.h"

namespace mg::multipooler {

class Session;

/// What a session needs of the pool.
class SessionHost {
 public:
  virtual ~SessionHost() = default;
  virtual asio::io_context& loop() = 0;
  virtual relay::Scratch& scratch() = 0;
  /// Empty, for whoever builds what to write; like the scratch done with before anybody else runs.
  virtual std::string& output() = 0;
  /// Empty: the mode is served now; else the refusal.
  virtual std::string RefuseMode(bool read_only) const = 0;
  /// A connection for the session, from the pool or new; may wait in the queue.
  virtual asio::awaitable<LoginResult> Acquire(pgwire::Handoff handoff) = 0;
  /// Takes it back; `clean`: it may be used again.
  virtual void Release(std::unique_ptr<ServerConnection> connection, bool clean) = 0;
  virtual ReadGate& gate() = 0;
  /// The sessions that PostgreSQL owes an answer, where reads must be current; the one that waits longest first.
  virtual std::list<Session*>& in_flight() = 0;
  virtual asio::awaitable<void> Cancel(std::uint32_t pid, std::uint32_t secret) = 0;
  /// A session has come to rest whose state is not known: it will be asked for soon.
  virtual void AwaitsLearning() = 0;
  /// A gateway wants to hear what its sessions hold that rest.
  virtual void Listens(const std::string& gateway, LocalSocket socket) = 0;
  virtual void TellRest(const std::string& gateway, const pgwire::RestNote& note) = 0;
  virtual void DatabasesChange() = 0;  ///< a statement that does is on its way
  virtual void RolesChanged() = 0;     ///< one that did is done
};

class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(SessionHost* host, LocalSocket client);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  asio::awaitable<void> Run();
  /// Ends it with an error at once; used when the mode that it was begun under is over.
  void End(const std::string& code, const std::string& message);

  /// From now on it is handed back to its gateway at the first moment at which it is at rest. One that holds what no
  /// other node can have is told that it ends. Asked again and again until it has gone.
  void Drain();
  /// Hands it back to its gateway if it is at rest and others can have its state. `ask`: that state may still be asked
  /// for; else only when it is known. False: nothing was done.
  bool Leave(bool ask);
  /// At rest for a while, and its state is not known.
  bool MayLearn(Clock::time_point now) const;
  /// At rest, its state not known: maybe soon.
  bool AwaitsLearning() const;
  /// Asks PostgreSQL for the session's state, so that the session can go on elsewhere when its connection is lost. What
  /// the client says meanwhile is passed on afterwards.
  asio::awaitable<void> Learn();
  /// Tells its gateway what it holds, if that is known and the gateway is this one.
  void TellRest(const std::string& gateway);
  /// What it does at this moment, for whoever waits for the end of a drain.
  enum class Activity {
    kGone,         ///< no server connection, or it has been handed back
    kResting,      ///< nothing under way
    kTransaction,  ///< a transaction is open
    kStatement,    ///< outside of one, a statement is under way, or is being handed back
  };
  Activity activity() const;

  bool read_only() const { return read_only_; }
  /// For a cancel: the session's own secret, so that a late cancel does not meet the connection's next user.
  bool Is(std::uint32_t pid, std::uint32_t secret) const {
    return server_ != nullptr && server_->pid == pid && secret_ == secret;
  }
  const ServerConnection* server() const { return server_.get(); }

 private:
  asio::awaitable<bool> ReadHandoff(pgwire::Handoff* handoff);
  asio::awaitable<std::string> Login(pgwire::Handoff handoff);
  asio::awaitable<void> Relay();
  asio::awaitable<void> FromServer();
  asio::awaitable<void> AwaitReader();
  asio::awaitable<bool> Reset();
  // session_park.cpp
  asio::awaitable<void> ParkOrGoOn();
  asio::awaitable<bool> AskState(SessionState* state);
  asio::awaitable<void> PassOnKept();
  asio::awaitable<void> SayMarker();
  void Park();
  bool AtRest() const;
  bool MayPark() const;
  std::string Obstacle() const;
  bool HoldsLastWords(char type, absl::string_view message);
  asio::awaitable<void> HandBack();
  asio::awaitable<bool> Restore(std::string encoded, bool* lost);
  absl::string_view TakeFromClient(absl::string_view read, bool* last);
  absl::string_view TakeFromServer(absl::string_view read, bool* last);
  pgwire::Scanner::Verdict InspectClient(char type, absl::string_view message);
  pgwire::Scanner::Verdict InspectServer(char type, absl::string_view message, std::string* out);
  // session_gate.cpp
  struct Gate {
    Session* session;
    bool shut() const { return session->MustWait(); }
    asio::awaitable<bool> Open() const { return session->AwaitOpen(); }
  };
  bool MustWait() const;
  bool OthersHaveSpoken() const;
  asio::awaitable<bool> AwaitOpen();
  void NoteAsked();
  void NoteAnswered(char type);
  void NoteServerEnd(const boost::system::error_code& error);
  void NoteNothingOwed();
  /// PostgreSQL owes an answer on which others' reads may depend.
  bool asked() const { return in_flight_.empty(); }
  /// The server owes nothing, and both directions are between two messages.
  bool Quiet() const;

  SessionHost* host_;
  LocalSocket client_;
  std::unique_ptr<ServerConnection> server_;
  std::uint32_t secret_ = 0;
  bool read_only_ = false;
  std::string from_client_;  ///< the hand-off, and what was read behind it
  pgwire::Scanner client_scanner_, server_scanner_;
  int expected_ready_ = 0;                         ///< ReadyForQuery messages that are still to come
  bool terminated_ = false;                        ///< the client said Terminate
  bool tainted_ = false;                           ///< left something that DISCARD ALL does not undo
  bool roles_changed_ = false;                     ///< tell the host at the next ReadyForQuery outside of a transaction
  absl::Time reads_since_ = absl::InfinitePast();  ///< last change of a setting by which statements are read
  bool sync_cut_short_ = false;
  bool resetting_ = false;
  bool reset_failed_ = false;
  bool ended_ = false;
  bool unsynced_ = false;               ///< messages of the extended protocol without their Sync
  bool unnamed_parsed_ = false;         ///< an unnamed statement that was not executed yet
  bool own_sequences_ = false;          ///< see StatementMarks
  std::string park_token_;              ///< empty: its gateway cannot take it back
  std::string gateway_;                 ///< see Handoff
  std::uint32_t tag_ = 0;               ///< see Handoff
  std::uint64_t heard_ = 0, said_ = 0;  ///< bytes from the client that the server has had, and for it: see RestNote
  bool parking_ = false;                ///< its state is being asked for; what the client says is kept
  bool leaving_ = false;                ///< and then it is handed back
  bool passing_on_ = false;             ///< what was kept is being written to the server
  bool parked_ = false;                 ///< handed back
  /// The replay of its state, as it began or as PostgreSQL told; none: the client has said something since.
  std::optional<std::string> known_;
  bool learnt_ = false;            ///< asked for since the client last said something
  Clock::time_point rested_;       ///< since when it rests
  std::string last_words_;         ///< PostgreSQL's, to a session at rest: the client hears them when it is not parked
  bool told_ = false;              ///< the client has been told that its session ends
  bool sent_away_ = false;         ///< by an administrator: not to be taken elsewhere
  SessionState* state_ = nullptr;  ///< while it is being asked for
  bool state_failed_ = false;
  std::string kept_;    ///< from the client, since then
  std::string replay_;  ///< once handed back
  bool writing_to_client_ = false, writing_to_server_ = false;
  bool reader_done_ = false;
  // See ReadGate.
  std::list<Session*> in_flight_;  ///< itself; empty while it is in the host's list, which is while an answer is owed
  std::list<Session*>::iterator place_;  ///< there
  Clock::time_point asked_;              ///< since when it is
  bool answered_ = false;                ///< what was read last has the end of a statement's answer
  bool mute_ = false;                    ///< its warnings may not be sent
  bool client_left_ = false;             ///< nothing is read from the client any more
  bool client_gone_ = false;             ///< nothing is written to it either
  bool holding_ = false;                 ///< an answer waits
  bool client_at_boundary_ = true;       ///< between two messages, as the client knows them while an answer waits
  asio::steady_timer open_;              ///< while an answer waits
  asio::steady_timer reader_end_;        ///< never ends by itself: cancelled when the reader is done
  asio::steady_timer state_end_;         ///< never ends by itself: cancelled at the answer's end
};

}  // namespace mg::multipooler
