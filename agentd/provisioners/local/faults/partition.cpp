#include "agentd/provisioners/local/faults/partition.h"

#include <map>

#include "common/status/status.h"

namespace mg::local {

bool MustCut(const ProcessSocket& socket, const Sides& sides) {
  if (sides.open_ports.contains(socket.local.port)) {
    return false;
  }
  if (socket.listening || socket.peer.port == 0) {
    return true;
  }
  return !sides.same_side_ports.contains(socket.peer.port) && !sides.own_sockets.contains(socket.peer);
}

Partition::Partition(const multigres::state::v1::FaultRecord& record)
    : targets_(record.targets()), same_side_(record.same_side()), other_side_(record.other_side()) {
  for (const auto& port : record.open_ports()) {
    sides_.open_ports.insert(port.port());
  }
  for (const auto& port : record.same_side_ports()) {
    sides_.same_side_ports.insert(port.port());
  }
}

absl::Status Partition::Cut() {
  const std::vector<pid_t> targets = TreeOf(targets_.Alive());
  SocketFinder looking;
  for (const std::vector<pid_t>& side : {targets, TreeOf(same_side_.Alive())}) {
    for (pid_t pid : side) {
      MG_ASSIGN_OR_RETURN(std::vector<ProcessSocket> sockets, looking.Find(pid));
      for (const ProcessSocket& socket : sockets) {
        sides_.own_sockets.insert(socket.local);
      }
    }
  }
  for (pid_t pid : targets) {
    MG_RETURN_IF_ERROR(CutNew(pid));
  }
  return CutFarEnds();
}

absl::Status Partition::CutNew(pid_t pid) {
  MG_ASSIGN_OR_RETURN(std::vector<ProcessSocket> sockets, near_finder_.Find(pid));
  for (ProcessSocket& socket : sockets) {
    if (!MustCut(socket, sides_)) {
      continue;
    }
    MG_RETURN_IF_ERROR(Deafen(socket));
    if (socket.peer.port != 0) {
      far_ends_.emplace(socket.peer, socket.local);
    } else if (!socket.listening) {
      pending_.push_back(std::move(socket));
    }
  }
  return absl::OkStatus();
}

absl::Status Partition::CutFarEnds() {
  if (far_ends_.empty()) {
    return absl::OkStatus();
  }
  // The other end of a new connection may not be accepted yet, and that of one to a stranger never appears here: each
  // is looked for once.
  for (pid_t pid : TreeOf(other_side_.Alive())) {
    MG_ASSIGN_OR_RETURN(std::vector<ProcessSocket> sockets, far_finder_.Find(pid, /*again=*/true));
    for (const ProcessSocket& socket : sockets) {
      if (!socket.listening && far_ends_.contains({socket.local, socket.peer})) {
        MG_RETURN_IF_ERROR(Deafen(socket));
      }
    }
  }
  far_ends_.clear();
  return absl::OkStatus();
}

absl::Status Partition::Follow() {
  for (pid_t pid : TreeOf(targets_.Alive())) {
    MG_RETURN_IF_ERROR(CutNew(pid));
  }
  if (pending_.empty()) {
    return CutFarEnds();
  }
  const std::map<int, int> connecting = ConnectingPorts();
  std::vector<ProcessSocket> still;
  for (ProcessSocket& socket : pending_) {
    Inspect(&socket);
    auto to = connecting.find(socket.local.port);
    if (socket.peer.port == 0 && to != connecting.end()) {
      socket.peer = {.address = socket.local.address, .port = to->second};
    }
    if (socket.peer.port == 0 && !socket.listening) {
      still.push_back(std::move(socket));
    } else if (!MustCut(socket, sides_)) {
      MG_RETURN_IF_ERROR(Undeafen(socket));
    } else if (socket.peer.port != 0) {
      far_ends_.emplace(socket.peer, socket.local);
    }
  }
  pending_ = std::move(still);
  return CutFarEnds();
}

absl::Status Partition::Mend() {
  absl::Status first = absl::OkStatus();
  pending_.clear();
  SocketFinder finder;
  for (Roots* roots : {&targets_, &same_side_, &other_side_}) {
    for (pid_t pid : TreeOf(roots->Alive())) {
      absl::StatusOr<std::vector<ProcessSocket>> sockets = finder.Find(pid, /*again=*/true);
      first.Update(sockets.status());
      if (!sockets.ok()) {
        continue;
      }
      for (const ProcessSocket& socket : *sockets) {
        first.Update(Undeafen(socket));
      }
    }
  }
  return first;
}

}  // namespace mg::local
