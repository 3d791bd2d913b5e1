/// multigres-shim RUN_DIR: runs what <run dir>/launch says, keeps its output, records how it ended, and ends with it.
/// Descriptor 3 is the launcher's pipe: one line says how the start went; descriptor 4 is the run directory's lock,
/// held. See common/shim_protocol/shim.h for the files.
#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#include <cstdio>

#include "shim/shim.h"

int main(int argc, char** argv) {
  if (argc != 2 || argv[1][0] != '/') {
    std::fprintf(stderr, "usage: multigres-shim RUN_DIR (it is started by multigres-agent)\n");
    return 2;
  }
  // Started by hand, the low descriptors may be free: nothing else may take their numbers.
  int spare = 0;
  do {
    spare = ::open("/dev/null", O_RDWR);
  } while (spare >= 0 && spare < mg::shim::kReadyFd);
  if (spare > mg::shim::kReadyFd) {
    ::close(spare);
  }
  // After a burst of output the memory goes back: what an idle shim holds counts a thousandfold.
  ::mallopt(M_MMAP_THRESHOLD, 32 << 10);
  ::mallopt(M_TRIM_THRESHOLD, 32 << 10);
  static mg::shim::Shim shim(argv[1]);
  return shim.Run();
}
