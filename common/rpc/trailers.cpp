#include "common/rpc/trailers.h"

#include <grpcpp/support/status.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/text/utf8.h"

namespace mg::rpc {
namespace {

/// Of the 8 KiB; the rest is for names, other trailers, and those of a proxy.
constexpr size_t kMostTrailerBytes = 7400;
constexpr char kShortened[] = " … (shortened)";
/// The message comes before a log's last lines. The last row is small enough for all that `make` may copy it to.
constexpr TextRoom kRooms[] = {{3000, 3000}, {3000, 1000}, {2000, 2000}, {2000, 1000}, {1000, 1000},
                               {1000, 0},    {600, 0},     {300, 0},     {150, 0}};

}  // namespace

std::string Shorten(absl::string_view text, size_t room) {
  std::string valid = text::ToValidUtf8(text);
  if (valid.size() <= room) {
    return valid;
  }
  size_t cut = room > sizeof kShortened ? room - sizeof kShortened + 1 : 0;
  while (cut > 0 && (static_cast<unsigned char>(valid[cut]) & 0xC0) == 0x80) {
    --cut;  // not within a character
  }
  return absl::StrCat(valid.substr(0, cut), kShortened);
}

size_t TrailerBytes(const grpc::Status& status) {
  const std::string& message = status.error_message();
  const auto plain = static_cast<size_t>(
      std::count_if(message.begin(), message.end(), [](char c) { return c >= ' ' && c <= '~' && c != '%'; }));
  return plain + 3 * (message.size() - plain) + (status.error_details().size() + 2) / 3 * 4;
}

grpc::Status FitIntoTrailers(const std::function<grpc::Status(const TextRoom&)>& make) {
  grpc::Status status;
  for (const TextRoom& room : kRooms) {
    status = make(room);
    if (TrailerBytes(status) <= kMostTrailerBytes) {
      break;
    }
  }
  return status;
}

}  // namespace mg::rpc
