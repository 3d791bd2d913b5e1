/// Reads one source's files in order: rotated ones by their names, then current.log, following over rotation by inode.
/// One thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/fs/unique_fd.h"
#include "common/logs/log_files.h"

namespace mg::logs {

class SourceReader {
 public:
  explicit SourceReader(Source source) : source_(std::move(source)) {}

  /// Begin at the first record at or after `since`.
  void SeekTime(absl::Time since);
  /// Begin so that at least the last `lines` lines are read.
  void SeekTail(int lines);
  /// Begin behind a position; what is gone by rotation is left out.
  void SeekPosition(ino_t inode, off_t offset);

  /// The next record without taking it; none at the present end. The level is not filled.
  const Record* Peek();
  void Take();

  /// Position behind the last record that was taken: inode and offset.
  std::pair<ino_t, off_t> position() const { return taken_; }
  const Source& source() const { return source_; }

 private:
  struct File {
    std::string name;
    ino_t inode = 0;
    off_t size = 0;
  };
  std::vector<File> List() const;
  bool OpenFile(const File& file, off_t offset);
  bool NextFile();
  bool ReadLine(std::string* line);
  bool Fill();

  const Source source_;
  UniqueFd fd_;
  ino_t inode_ = 0;
  std::string buffer_;       ///< read, not yet split
  size_t used_ = 0;          ///< of the buffer
  off_t buffer_offset_ = 0;  ///< of buffer_[0] in the file
  std::optional<Record> next_;
  std::string partial_;
  std::pair<ino_t, off_t> taken_ = {0, 0}, next_end_ = {0, 0};
  bool started_ = false;
};

}  // namespace mg::logs
