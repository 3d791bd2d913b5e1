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

/// Where a record ends. The time proves that the file is still the one that was meant: inodes are used again.
struct Position {
  ino_t inode = 0;
  off_t offset = 0;
  absl::Time time;  ///< of that record; InfinitePast: at a file's beginning
};

class SourceReader {
 public:
  explicit SourceReader(Source source) : source_(std::move(source)) {}

  /// Begin at the first record at or after `since`.
  void SeekTime(absl::Time since);
  /// Begin so that at least the last `lines` lines are read.
  void SeekTail(int lines);
  /// Begin behind a position. When its file is gone by rotation (or its number names another one now), begin with the
  /// first record after that time.
  void SeekPosition(const Position& position);

  /// The next record without taking it; none at the present end. The level is not filled.
  const Record* Peek();
  /// That record; Peek gave one.
  Record Take();

  /// Position behind the last record that Peek or Take gave.
  const Position& position() const { return next_end_; }
  /// Position after a seek, before the first Peek; the inode is 0 when there is no file.
  Position Here() const;
  const Source& source() const { return source_; }

 private:
  struct File {
    std::string name;
    ino_t inode = 0;
    off_t size = 0;
  };
  ino_t CurrentInode() const;
  std::vector<File> ListOnce() const;
  std::vector<File> List() const;
  UniqueFd Open(const File& file) const;
  bool OpenFile(const File& file, off_t offset);
  enum class Step { kEnd, kMore, kNext };
  Step NextFile();
  bool ReadLine(std::string* line);
  bool Fill();

  const Source source_;
  UniqueFd fd_;
  ino_t inode_ = 0;
  std::string buffer_;       ///< read, not yet split
  size_t used_ = 0;          ///< of the buffer
  off_t buffer_offset_ = 0;  ///< of buffer_[0] in the file
  std::optional<Record> next_;
  std::string partial_[2];  ///< of stdout and stderr: their parts may be mixed
  Position next_end_;
  bool started_ = false;
};

}  // namespace mg::logs
