/// The processes of components that a fault concerns, followed over their replacement. Any thread; reads /proc.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "common/process/process_id.h"
#include "multigres/state/v1/state.pb.h"

namespace mg::local {

/// These processes and all that descend from them, parents first. Those that are gone are left out.
std::vector<pid_t> TreeOf(const std::vector<pid_t>& roots);

/// The roots of components' process trees: as recorded, or what has taken their place by their run directories.
/// One thread.
class Roots {
 public:
  explicit Roots(const google::protobuf::RepeatedPtrField<multigres::state::v1::FaultProcess>& processes);
  /// Those that live now. A component whose recorded process has ended is looked up again.
  std::vector<pid_t> Alive();

 private:
  struct Root {
    ProcessId id;
    std::string run_dir;
  };
  std::vector<Root> roots_;
};

}  // namespace mg::local
