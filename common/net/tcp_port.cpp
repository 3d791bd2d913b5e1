#include "common/net/tcp_port.h"

#include <dirent.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cctype>
#include <memory>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/fs/fs.h"
#include "common/fs/unique_fd.h"

namespace mg::net {

namespace {

constexpr char kListenState[] = "0A";

/// Addresses as /proc/net/tcp{,6} prints them: words of 32 bits in host order.
bool CoversLoopback(absl::string_view address) {
  return address == "0100007F" || address == "00000000" || address == "00000000000000000000000000000000" ||
         address == "0000000000000000FFFF00000100007F";
}

/// Inodes of the sockets that listen on the port, from one of the two tables.
void CollectListeners(const std::string& table, int port, std::set<std::string>* inodes) {
  absl::StatusOr<std::string> text = ReadFile(table);
  if (!text.ok()) {
    return;
  }
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    std::vector<absl::string_view> fields = absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (fields.size() < 10 || fields[3] != kListenState) {
      continue;
    }
    std::pair<absl::string_view, absl::string_view> local = absl::StrSplit(fields[1], absl::MaxSplits(':', 1));
    int number = 0;
    if (absl::SimpleHexAtoi(local.second, &number) && number == port && CoversLoopback(local.first)) {
      inodes->insert(std::string(fields[9]));
    }
  }
}

struct DirCloser {
  void operator()(DIR* dir) const { closedir(dir); }
};
using Directory = std::unique_ptr<DIR, DirCloser>;

bool HasSocket(const std::string& pid, const std::set<std::string>& inodes) {
  std::string fds = absl::StrCat("/proc/", pid, "/fd");
  Directory directory(opendir(fds.c_str()));
  if (directory == nullptr) {
    return false;
  }
  while (dirent* entry = readdir(directory.get())) {
    char target[64];
    ssize_t size = readlinkat(dirfd(directory.get()), entry->d_name, target, sizeof(target));
    absl::string_view link(target, size > 0 ? static_cast<size_t>(size) : 0);
    if (absl::ConsumePrefix(&link, "socket:[") && absl::ConsumeSuffix(&link, "]") &&
        inodes.count(std::string(link)) != 0) {
      return true;
    }
  }
  return false;
}

}  // namespace

bool IsPortFree(int port) {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) {
    return false;
  }
  int on = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
}

std::optional<PortHolder> HolderOf(int port) {
  std::set<std::string> inodes;
  CollectListeners("/proc/net/tcp", port, &inodes);
  CollectListeners("/proc/net/tcp6", port, &inodes);
  if (inodes.empty()) {
    return std::nullopt;
  }
  Directory proc(opendir("/proc"));
  while (dirent* entry = proc == nullptr ? nullptr : readdir(proc.get())) {
    std::string pid = entry->d_name;
    if (isdigit(static_cast<unsigned char>(pid[0])) == 0 || !HasSocket(pid, inodes)) {
      continue;
    }
    PortHolder holder;
    (void)absl::SimpleAtoi(pid, &holder.pid);
    holder.name = ReadFile(absl::StrCat("/proc/", pid, "/comm")).value_or("");
    holder.name = std::string(absl::StripSuffix(holder.name, "\n"));
    return holder;
  }
  return PortHolder{};
}

std::string DescribeHolder(const std::optional<PortHolder>& holder) {
  if (!holder) {
    return "a process that does not listen on it";
  }
  return holder->pid == 0 ? "a process of another user" : absl::StrCat(holder->name, " (pid ", holder->pid, ")");
}

}  // namespace mg::net
