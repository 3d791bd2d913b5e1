/// From the component's pipes into its log files. One thread.
#pragma once

#include "common/cri/cri_writer.h"
#include "common/fs/unique_fd.h"

namespace mg::shim {

/// Reads what is there now, at most about 256 KiB so that control messages are not starved. False at the end of the
/// stream; the last incomplete line is then written.
bool Pump(const UniqueFd& from, logs::CriWriter::Stream stream, logs::CriWriter* to);

}  // namespace mg::shim
