/// What the handlers of the pooler's services have in common. For their .cpp files.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"

namespace mg::multipooler {

/// The caller's deadline, but `limit` from now at the latest.
inline absl::Time Within(const grpc::ServerContext* context, absl::Duration limit) {
  return std::min(absl::FromChrono(context->deadline()), absl::Now() + limit);
}

/// Whether nobody waits for the answer any more.
inline std::function<bool()> Left(const grpc::ServerContext* context) {
  return [context] { return context->IsCancelled(); };
}

/// `encode` makes the error that goes on the wire.
template <typename T, typename Encode>
grpc::Status Answer(absl::StatusOr<T> result, T* response, Encode encode) {
  if (!result.ok()) {
    return encode(result.status());
  }
  *response = *std::move(result);
  return grpc::Status::OK;
}

}  // namespace mg::multipooler
