/// A network partition between processes of one machine, made of deaf sockets (process_socket.h). Cut off are the
/// targets: no packet passes between their TCP sockets and those of the other side, in either direction, and nobody can
/// connect to them. What the targets have with their own side stays, and so do the open ports. Unix sockets are no
/// network. A connection that a target opens while the partition stands is found within a few milliseconds and cut
/// then. One thread.
#pragma once

#include <set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "agentd/provisioners/local/faults/process_socket.h"
#include "agentd/provisioners/local/faults/process_tree.h"
#include "multigres/state/v1/state.pb.h"

namespace mg::local {

/// What decides whether a socket of a target is cut. Values.
struct Sides {
  std::set<int> open_ports;         ///< listening ports that stay open
  std::set<int> same_side_ports;    ///< listening ports on the targets' side
  std::set<SocketEnd> own_sockets;  ///< local ends of the sockets on the targets' side
};

/// Pure.
bool MustCut(const ProcessSocket& socket, const Sides& sides);

class Partition {
 public:
  explicit Partition(const multigres::state::v1::FaultRecord& record);
  /// Cuts everything that there is. PERMISSION_DENIED when this user may not reach into a process.
  absl::Status Cut();
  /// Cuts what was opened since; call it often.
  absl::Status Follow();
  /// Takes every filter off all sockets of the record's processes, whoever put them there.
  absl::Status Mend();

 private:
  /// Cuts what must be of a process' new sockets, and notes the other ends.
  absl::Status CutNew(pid_t pid);
  absl::Status CutFarEnds();

  Sides sides_;
  Roots targets_, same_side_, other_side_;
  SocketFinder near_finder_, far_finder_;
  std::vector<ProcessSocket> pending_;  ///< of targets, not connected yet: deaf until it is known to whom they do
  /// Connections, as seen from over there (local, peer), whose far sockets are still to be cut. A local end alone would
  /// name every connection that a server has accepted.
  std::set<std::pair<SocketEnd, SocketEnd>> far_ends_;
};

}  // namespace mg::local
