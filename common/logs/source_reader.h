/// Reads one source's files in order: rotated ones by their names, then current.log, following over rotation and
/// compression by the number of the file that the writer wrote. One thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/logs/cri.h"
#include "common/logs/log_file.h"
#include "common/logs/log_files.h"

namespace mg::logs {

/// Where a record ends. The time proves that the file is still the one that was meant: inodes are used again.
struct Position {
  ino_t inode = 0;
  off_t offset = 0;
  std::int64_t nanos = kNoTime;  ///< of that record; kNoTime: at a file's beginning
};

/// A record as it lies in the reader's buffer; the parts of a line are joined. Valid until the reader's next Peek.
struct Line {
  std::int64_t nanos = kNoTime;
  absl::string_view stamp;
  bool is_stderr = false;
  absl::string_view text;
};

class SourceReader {
 public:
  explicit SourceReader(Source source) : source_(std::move(source)) {}

  /// Begin at the first record at or after `since`.
  void SeekTime(std::int64_t since);
  /// Begin so that at least the last `lines` lines are read. True: there are no more than these.
  bool SeekTail(int lines);
  /// Begin behind a position. When its file is gone by rotation (or its number names another one now), begin with the
  /// first record after that time.
  void SeekPosition(const Position& position);

  /// The next record without taking it; none at the present end.
  const Line* Peek();
  /// Goes on behind the record that Peek gave; that one stays valid until the next Peek.
  void Take() { have_ = false; }

  /// Position behind the last record that Peek gave.
  const Position& position() const { return end_; }
  /// Position after a seek, before the first Peek; the inode is 0 when there is no file.
  Position Here();
  const Source& source() const { return source_; }
  /// True once, after files were removed before they were read: how many records they had is not known.
  bool TakeGap() { return std::exchange(gap_, false); }

 private:
  struct File {
    std::string name;
    ino_t inode = 0;
  };
  ino_t CurrentInode() const;
  std::vector<File> ListOnce();
  std::vector<File> List();
  LogFile Open(const File& file);
  bool Begin(LogFile file, off_t offset);
  bool Seek(LogFile file, off_t offset);
  size_t Find(const std::vector<File>& files) const;
  enum class Step { kEnd, kMore, kNext };
  Step NextFile();
  /// The next line end, or false at the present end.
  bool FindLine(absl::string_view* line);
  bool Fill();

  const Source source_;
  LogFile file_;
  std::string file_name_, name_;             ///< of the file when it was opened; of the one that Open gave last
  std::map<std::string, ino_t> compressed_;  ///< what the index of each says, which never changes
  std::unique_ptr<char[]> buffer_;           ///< none while there is nothing to read
  size_t capacity_ = 0, begin_ = 0, end_of_buffer_ = 0;  ///< [begin, end) is read and not yet used
  off_t buffer_offset_ = 0;                              ///< of buffer_[0] in the file
  bool have_ = false;
  CriClock clock_;
  Line line_;
  std::string partial_[2];  ///< of stdout and stderr: their parts may be mixed
  std::string joined_;
  Position end_;
  bool started_ = false;
  bool gap_ = false;
};

}  // namespace mg::logs
