/// Holds back what a leader answers while its PostgreSQL may show a commit that a failover would take back.
///
/// A commit becomes visible to others when its wait for standbys ends, however it ends. Where one was cut short, the
/// standbys may not have it. So from the moment at which that is known, answers wait until the standbys have confirmed
/// all that is committed here; a leader that is cut off gets no such confirmation, and its sessions end with its right
/// to serve. On the pool's loop thread only, except Bar.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <set>
#include <thread>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/fs/unique_fd.h"

namespace mg::multipooler {

namespace asio = boost::asio;

class ReadGate {
 public:
  /// Returns OK when whatever was committed here before the call is durable by the rule; blocks, within a bound of its
  /// own, and is called on a thread of the gate. Empty: the gate never shuts.
  using Confirm = std::function<absl::Status()>;

  ReadGate(asio::io_context& loop, Confirm confirm) : loop_(loop), confirm_(std::move(confirm)), retry_(loop) {}
  ~ReadGate();  ///< waits for a Confirm under way; the loop must have ended
  ReadGate(const ReadGate&) = delete;
  ReadGate& operator=(const ReadGate&) = delete;

  /// A commit may be visible here that no standby has.
  void Suspect(absl::string_view why);
  /// A session uses this connection from now on. When its PostgreSQL's postmaster dies, those who wait for standbys let
  /// their commits be seen, without a word, before they end. (Known of Unix sockets, whose peer is the postmaster.)
  void Watch(int server_socket);
  /// After an answer was read, where another session has a commit under way: shuts when the postmaster has died.
  void LookAtPostmaster();
  /// Whether answers must wait.
  bool shut() const { return shut_ || barred_.load(std::memory_order_relaxed); }
  /// Waits until it is open, or until `timer`, which is the caller's and set here, is cancelled.
  asio::awaitable<void> Wait(asio::steady_timer& timer);

  /// Any thread, at once: this node does not lead (true), or leads (false). While it does not, the gate is shut.
  void Bar(bool barred) { barred_ = barred; }
  /// After Bar: goes on accordingly.
  void Barred();
  /// Nothing is begun any more.
  void Stop();

 private:
  void Begin();
  void Ended(std::uint64_t asked, const absl::Status& status);
  void WakeIfOpen();
  bool PostmasterHasDied() const;

  asio::io_context& loop_;
  const Confirm confirm_;
  std::atomic<bool> barred_{false};
  bool shut_ = false, running_ = false, stopping_ = false;
  std::uint64_t suspicions_ = 0;
  std::chrono::steady_clock::time_point since_;
  std::set<asio::steady_timer*> waiting_;
  asio::steady_timer retry_;
  pid_t postmaster_ = 0;
  UniqueFd postmaster_fd_;  ///< a pidfd; not valid: unknown, or its death has been dealt with
  std::thread thread_;
};

}  // namespace mg::multipooler
