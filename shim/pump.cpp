#include "shim/pump.h"

#include <unistd.h>

#include <cerrno>

namespace mg::shim {

bool Pump(const UniqueFd& from, logs::CriWriter::Stream stream, logs::CriWriter* to) {
  char buffer[16384];
  for (int round = 0; round < 16; ++round) {
    ssize_t n = ::read(from.get(), buffer, sizeof buffer);
    if (n > 0) {
      to->Append(stream, buffer, static_cast<size_t>(n));
      continue;
    }
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n < 0 && errno == EAGAIN) {
      return true;
    }
    to->Flush(stream);
    return false;
  }
  return true;
}

}  // namespace mg::shim
