/// From the component's pipes into its log files. One thread, one object in a process.
#pragma once

#include <cstdint>

#include "common/cri/cri_writer.h"
#include "common/fs/unique_fd.h"

namespace mg::shim {

class Pump {
 public:
  void SetLog(logs::CriWriter* to) { to_ = to; }

  /// Reads what is there now, at most about 1 MiB so that control messages are not starved. False at the end of the
  /// stream; the last incomplete line is then written. Where small writes come fast it pauses for half a millisecond.
  bool Read(const UniqueFd& from, logs::CriWriter::Stream stream);

  /// Output came since the last Tidy.
  bool used() const { return used_; }
  /// Gives back the memory that the output needed.
  void Tidy();

 private:
  logs::CriWriter* to_ = nullptr;
  bool used_ = false;
  bool large_[2] = {false, false};
  std::int64_t last_ = 0;  ///< monotonic nanoseconds
};

}  // namespace mg::shim
