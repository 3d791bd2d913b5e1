/// Places in a log file: by time, from the end. One thread; blocking.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "common/logs/log_file.h"

namespace mg::logs {

/// Offset of the first line at or after `since`, by bisection: lines of a file are in the order of time. Lines that
/// have no time count as what follows them.
off_t FindTime(LogFile& file, off_t size, std::int64_t since);

/// Offset of the last `*lines` records, with all their parts; the number found is subtracted.
off_t FindTail(LogFile& file, off_t size, int* lines);

/// Time of the line that ends exactly at `at`; kNoTime when none does.
std::int64_t TimeBefore(LogFile& file, off_t at);

}  // namespace mg::logs
