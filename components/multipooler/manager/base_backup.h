/// Copies a running server's data directory for a new standby. Blocking.
#pragma once

#include <atomic>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "components/multipooler/manager/config.h"

namespace mg::multipooler {

/// Takes a base backup from `host:port` into the data directory, ready to start as a standby of that server. The
/// directory appears only when it is complete; one that is there is put aside first (see AsideDirectory). `cancelled`
/// ends it.
absl::Status TakeBaseBackup(const Config& config, const std::string& host, int port, absl::Time deadline,
                            const std::atomic<bool>& cancelled);

/// The two halves of it: the copy is made beside the data directory, which may be in use meanwhile; then it takes its
/// place, for which PostgreSQL must be stopped.
absl::Status CopyData(const Config& config, const std::string& host, int port, absl::Time deadline,
                      const std::atomic<bool>& cancelled);
absl::Status PutCopyInPlace(const Config& config);

/// Where a data directory that could not be rewound is kept until its replacement streams.
std::string AsideDirectory(const Config& config);

/// Writes standby.signal, and settings of a standby of `host:port`, into the data directory of a stopped server.
absl::Status PrepareStandby(const Config& config, const std::string& data_directory, const std::string& host, int port);

}  // namespace mg::multipooler
