/// TailLogs' messages as gRPC sends them, without a copy of their text. Private to agentd/rpc. Any thread.
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include "agentd/logs/log_tail.h"

namespace mg::rpc {

/// The batch as bytes of a TailLogsResponse. The text stays alive until gRPC has sent it.
grpc::ByteBuffer EncodeLogs(const logs::LogTail::Batch& batch);

}  // namespace mg::rpc
