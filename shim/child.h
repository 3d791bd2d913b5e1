/// Starting the component: between fork and exec, and what is known of it afterwards. One thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "common/fs/unique_fd.h"
#include "common/shim_record/record.h"

namespace mg::shim {

struct Child {
  pid_t pid = 0;
  UniqueFd out, err;  ///< read ends of its stdout and stderr, non-blocking
};

/// Spawns what the launch record says: own process group, stdin from /dev/null, user changed when `uid` is given.
/// Empty: it has exec'd; else why not ("<what>: <strerror>"), and nothing runs; `error_number` is then the errno.
/// It begins its life in the control group, where one is given.
std::string StartChild(const Record& launch, const std::string& run_dir, const std::string& group, Child* child,
                       int* error_number);

std::string BootIdOfThisBoot();
/// Wall clock in nanoseconds.
std::int64_t NowNanoseconds();
/// A clock that nobody sets, in nanoseconds.
std::int64_t MonotonicNanoseconds();

}  // namespace mg::shim
