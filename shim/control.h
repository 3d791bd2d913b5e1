/// The control socket: lines of text in both directions. In: `signal <n> <tree>`, `stop <n>:<wait ms>:<tree> …`,
/// `rotate`; unknown words are ignored, so that a newer agent can talk to an older shim. Out: `hello 1 <generation>` to
/// each client, and `exited <code> <signal> <started ns> <ended ns> <generation>` at the end. One thread.
#pragma once

#include <string>
#include <vector>

#include "common/fs/unique_fd.h"

namespace mg::shim {

struct Step {
  int signal = 15;
  int wait_ms = 5000;
  bool tree = false;
};

struct Command {
  enum class Kind { kSignal, kStop, kRotate } kind = Kind::kSignal;
  std::vector<Step> steps;  ///< one for a signal
};

/// Parses one line; false: nothing that this shim knows.
bool ParseCommand(const std::string& line, Command* command);

class Control {
 public:
  /// Listens on <run_dir>/control.sock (0600). 0 or an errno.
  int Listen(const std::string& run_dir, long long generation);
  ~Control();

  int listen_fd() const { return listener_.get(); }
  void Accept();
  struct Client {
    UniqueFd fd;
    std::string input;
  };
  std::vector<Client>& clients() { return clients_; }
  /// Reads from a client; commands that came are appended. False when it is gone.
  bool Receive(Client* client, std::vector<Command>* commands);
  void Broadcast(const std::string& line);

 private:
  std::string path_;
  std::string hello_;
  UniqueFd listener_;
  std::vector<Client> clients_;
};

}  // namespace mg::shim
