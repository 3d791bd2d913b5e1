#include "cli/bundle/archive.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/fs/fs.h"
#include "common/fs/unique_fd.h"
#include "common/process/helper.h"
#include "common/status/status.h"

namespace mg::cli {

absl::StatusOr<Archive> Archive::Create(const std::string& name, Secrets secrets) {
  char stage[] = "/tmp/multigres-bundle.XXXXXX";
  if (::mkdtemp(stage) == nullptr) {
    return ErrnoStatus(errno, "make a directory in /tmp");
  }
  Archive archive(name, std::move(secrets), stage);
  MG_RETURN_IF_ERROR(MakeDirectories(JoinPath(stage, name), 0700));
  return archive;
}

Archive::~Archive() {
  if (!stage_.empty()) {
    (void)RemoveTree(stage_);
  }
}

absl::Status Archive::AddText(const std::string& path, absl::string_view text) {
  std::string full = JoinPath(JoinPath(stage_, name_), path);
  MG_RETURN_IF_ERROR(MakeDirectories(DirName(full), 0700));
  MG_RETURN_IF_ERROR(WriteFileAtomically(full, secrets_.Remove(text), 0600));
  files_.push_back(path);
  return absl::OkStatus();
}

absl::Status Archive::AddFile(const std::string& path, const std::string& from, std::uint64_t most) {
  struct stat info {};
  if (::stat(from.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return absl::OkStatus();
  }
  UniqueFd fd(::open(from.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) {
    return AddText(path, absl::StrCat("could not be read: ", std::string(ErrnoStatus(errno, from).message()), "\n"));
  }
  std::uint64_t size = static_cast<std::uint64_t>(info.st_size);
  std::uint64_t begin = size > most ? size - most : 0;
  std::string text(size - begin, '\0');
  size_t done = 0;
  while (done < text.size()) {
    ssize_t n = ::pread(fd.get(), text.data() + done, text.size() - done, static_cast<off_t>(begin + done));
    if (n < 0 && errno != EINTR) {
      return AddText(path, absl::StrCat("could not be read: ", std::string(ErrnoStatus(errno, from).message()), "\n"));
    }
    if (n == 0) {
      break;  // shorter by now: it was rotated
    }
    done += n > 0 ? static_cast<size_t>(n) : 0;
  }
  text.resize(done);
  if (begin > 0) {
    size_t line = text.find('\n');
    text = absl::StrCat("(", begin, " bytes before this are left out)\n",
                        line == std::string::npos ? text : text.substr(line + 1));
  }
  return AddText(path, text);
}

absl::StatusOr<std::uint64_t> Archive::Write(const std::string& to) const {
  std::string packed = JoinPath(stage_, "packed.tar.gz");
  MG_RETURN_IF_ERROR(RunHelperOk({.argv = {"tar", "--create", "--gzip", "--file", packed, "--directory", stage_,
                                           "--sort=name", "--owner=0", "--group=0", "--numeric-owner", name_},
                                  .timeout = absl::Minutes(5)})
                         .status());
  MG_ASSIGN_OR_RETURN(std::string bytes, ReadFile(packed));
  MG_RETURN_IF_ERROR(WithContext(WriteFileAtomically(to, bytes, 0600), "write the archive"));
  return bytes.size();
}

}  // namespace mg::cli
