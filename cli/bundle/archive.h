/// Puts files into a compressed archive, with secrets taken out on the way. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/bundle/secrets.h"

namespace mg::cli {

class Archive {
 public:
  /// `name`: the one directory in the archive. Works in a private directory below TMPDIR.
  static absl::StatusOr<Archive> Create(const std::string& name, Secrets secrets);
  Archive(Archive&& other) noexcept
      : name_(std::move(other.name_)),
        secrets_(std::move(other.secrets_)),
        stage_(std::exchange(other.stage_, "")),
        files_(std::move(other.files_)) {}
  Archive& operator=(Archive&&) = delete;
  ~Archive();  ///< removes the private directory

  absl::Status AddText(const std::string& path, absl::string_view text);
  /// The last `most` bytes of a file, from the begin of a line on. A file that is not there, or is none, is left out;
  /// one that cannot be read is an entry that says why.
  absl::Status AddFile(const std::string& path, const std::string& from, std::uint64_t most);

  /// Writes the archive (tar, gzip; mode 0600; replaced as a whole). Gives its size.
  absl::StatusOr<std::uint64_t> Write(const std::string& to) const;
  const std::vector<std::string>& files() const { return files_; }

 private:
  Archive(std::string name, Secrets secrets, std::string stage)
      : name_(std::move(name)), secrets_(std::move(secrets)), stage_(std::move(stage)) {}
  std::string name_;
  Secrets secrets_;
  std::string stage_;
  std::vector<std::string> files_;
};

}  // namespace mg::cli
