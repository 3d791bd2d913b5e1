/// One pooler's ManagerHealthStream: an owned thread that keeps the stream up and hands on each snapshot. Facts:
/// manager-rpcs section 6.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "common/rpc/dialer.h"
#include "multipoolermanagerdata.pb.h"

namespace mg::multiorch {

class HealthStream {
 public:
  /// `snapshot` for each message; `lost` when the stream ends (again at each failed try). Both come from the stream's
  /// thread, one at a time.
  HealthStream(std::string address, rpc::Dialer dialer, absl::Duration interval,
               std::function<void(const multipoolermanagerdata::StatusResponse&)> snapshot, std::function<void()> lost);
  ~HealthStream();  ///< ends the stream and waits for the thread
  /// Tries at once, when it was waiting for the next try.
  void Retry();
  /// Gives up a stream, or a try, that has brought nothing for so long: its connection may have been cut without a
  /// word, and TCP itself finds out after minutes. It is tried anew.
  void EndIfSilent(absl::Duration limit);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mg::multiorch
