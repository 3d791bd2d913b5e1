/// A fault that is recorded on disk: made, kept up, undone. The record is there before the fault is, and goes after it,
/// so that whoever finds one can undo it. Undoing twice does no harm. One thread.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agentd/provisioners/local/faults/partition.h"
#include "multigres/state/v1/state.pb.h"

namespace mg::local {

using multigres::state::v1::FaultRecord;

absl::Status WriteFaultRecord(const std::string& file, const FaultRecord& record);
/// NOT_FOUND: no fault is in force.
absl::StatusOr<FaultRecord> ReadFaultRecord(const std::string& file);

class Fault {
 public:
  explicit Fault(FaultRecord record);

  /// Does it. A kill is all done then. For a disk it returns when the disk is full or `until` has come.
  absl::Status Make(absl::Time until);
  /// Keeps it up; returns when to call it again.
  absl::StatusOr<absl::Time> KeepUp();
  /// Takes back whatever of it is in force.
  absl::Status Undo();

 private:
  absl::Status SignalTargets(int signal);

  const FaultRecord record_;
  Roots targets_;
  Partition partition_;
  bool stopped_ = false;  ///< of a slow one: its processes are in the stopped part of the period
};

}  // namespace mg::local
