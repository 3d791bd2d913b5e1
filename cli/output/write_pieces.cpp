#include "cli/output/write_pieces.h"

#include <poll.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>

namespace mg::cli {
namespace {

constexpr size_t kMostAtOnce = 64;

}  // namespace

int WritePieces(int fd, const std::vector<absl::string_view>& pieces) {
  size_t piece = 0, written = 0;  // written: of that piece
  for (;;) {
    iovec parts[kMostAtOnce];
    int count = 0;
    for (size_t i = piece; i < pieces.size() && count < static_cast<int>(kMostAtOnce); ++i) {
      absl::string_view rest = pieces[i].substr(i == piece ? written : 0);
      if (!rest.empty()) {
        parts[count++] = {const_cast<char*>(rest.data()), rest.size()};
      }
    }
    if (count == 0) {
      return 0;
    }
    ssize_t n = ::writev(fd, parts, count);
    if (n < 0 && errno == EAGAIN) {
      pollfd wait = {fd, POLLOUT, 0};
      ::poll(&wait, 1, -1);
      continue;
    }
    if (n < 0 && errno != EINTR) {
      return errno;
    }
    for (auto left = static_cast<size_t>(std::max<ssize_t>(n, 0)); piece < pieces.size();) {
      size_t take = std::min(left, pieces[piece].size() - written);
      written += take;
      left -= take;
      if (written < pieces[piece].size()) {
        break;
      }
      ++piece;
      written = 0;
    }
  }
}

}  // namespace mg::cli
