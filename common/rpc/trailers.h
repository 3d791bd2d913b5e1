/// How much an error may say on the wire. A peer takes 8 KiB of headers unless it was told otherwise, and refuses the
/// call of a longer status altogether, code and all. Pure; any thread.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "absl/strings/string_view.h"

namespace grpc {
class Status;
}

namespace mg::rpc {

/// The most bytes of the texts of a status that may be long.
struct TextRoom {
  size_t message = 0;
  size_t log_tail = 0;
};

/// `text` in valid UTF-8; when it has more than `room` bytes, its beginning and a mark that says so.
std::string Shorten(absl::string_view text, size_t room);

/// What `make` makes of the most room with which the status still gets through.
grpc::Status FitIntoTrailers(const std::function<grpc::Status(const TextRoom&)>& make);

/// Bytes of its message and details as they are sent: in percent encoding, and in base64.
size_t TrailerBytes(const grpc::Status& status);

}  // namespace mg::rpc
