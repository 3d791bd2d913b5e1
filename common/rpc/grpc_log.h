/// What gRPC says by itself, past the errors that calls return.
#pragma once

namespace mg::rpc {

/// Into the process' log from now on: its errors as warnings, all else as debugging.
void LogGrpcsWords();

}  // namespace mg::rpc
