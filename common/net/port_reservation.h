/// A promise between agents not to choose the same port, for the time between the choice and the moment the chosen
/// component listens. It is an abstract Unix socket with the port in its name: as machine-wide as the port itself, and
/// gone with its holder.
#pragma once

#include <optional>

#include "common/fs/unique_fd.h"

namespace mg::net {

class PortReservation {
 public:
  /// Nothing when somebody else holds it.
  static std::optional<PortReservation> TryAcquire(int port);

 private:
  explicit PortReservation(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace mg::net
