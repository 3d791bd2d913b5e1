/// The probe client of a fault: writes through every gateway, one row after the other, as long as it lives, and keeps
/// what came back. Each row has a value of its own, so that in the end every acknowledged one can be looked for. It is
/// an ordinary client of the database, over the PostgreSQL protocol. One thread per gateway; Start, Mark and Finish are
/// for one thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "multigres/provisioner/v1/provisioner.pb.h"
#include "multigres/state/v1/state.pb.h"

namespace mg::local {

class Probe {
 public:
  /// `password` of the record's role.
  Probe(const multigres::state::v1::FaultRecord& record, std::string password);
  ~Probe();
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;

  /// Makes its table and waits until a write went through every gateway. An error names the gateway that took none.
  absl::Status Start(absl::Time deadline);
  /// Whether every gateway acknowledged a write that was begun at or after `since`.
  bool AllWroteSince(absl::Time since) const;
  /// Ends the writing, reads back what was acknowledged (from the first gateway that gives it within `each`), removes
  /// the table, and fills in what was seen after `fault`.
  void Finish(absl::Time fault, absl::Duration each, multigres::provisioner::v1::FaultReport* report);

 private:
  struct Write {
    absl::Time begun, ended;
    std::int64_t value = 0;
    bool acknowledged = false;
    std::string sqlstate, message;  ///< of an error
  };
  struct Gateway {
    std::string name;
    int port = 0;
    std::vector<Write> writes;
    std::thread thread;
  };
  void Run(Gateway* gateway);
  void Describe(const Gateway& gateway, absl::Time fault, multigres::provisioner::v1::GatewayReport* report) const;
  absl::Status ReadBack(absl::Duration each, int* lost) const;
  absl::Status Once(int port, const std::string& sql, absl::Time deadline) const;
  void StopThreads();

  const std::string user_, database_, password_;
  std::vector<std::unique_ptr<Gateway>> gateways_;
  std::atomic<std::int64_t> next_ = 1;
  mutable std::mutex mutex_;  ///< of all gateways' writes
  int ending_;                ///< descriptor that is readable once the threads should end
};

}  // namespace mg::local
