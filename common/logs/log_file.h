/// One file of a log directory as text, whether it is plain or compressed. A compressed one (`<time>.log.zst`) is a row
/// of zstd frames, each of a fixed amount of text, and behind them, in a skippable frame, an index: so that any place
/// is reached by unpacking one frame, and `zstd -d` reads the file, too. One thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/fs/unique_fd.h"

namespace mg::logs {

inline constexpr char kCurrentLog[] = "current.log";
inline constexpr char kCompressedSuffix[] = ".zst";
inline constexpr size_t kFrameText = 256 << 10;  ///< text in each frame but the last

/// `20261123T160000.123456789Z.log`, with or without the suffix of compressed ones.
bool IsRotatedLog(const std::string& name);
bool IsCompressedLog(const std::string& name);

struct CompressedIndex {
  struct Frame {
    std::uint32_t compressed = 0, text = 0;  ///< sizes
  };
  std::vector<Frame> frames;
  ino_t inode = 0;  ///< of the plain file: positions in it stay valid
  std::uint64_t text_size() const;
};

/// The skippable frame that ends a compressed file.
std::string EncodeIndex(const CompressedIndex& index);
/// Of an open file; nothing when it is cut off or damaged.
std::optional<CompressedIndex> ReadIndex(int fd);

class LogFile {
 public:
  LogFile() = default;
  /// Invalid when the file cannot be opened or its index is damaged.
  static LogFile Open(const std::string& path);

  bool valid() const { return fd_.valid(); }
  /// Of the file that the writer wrote.
  ino_t inode() const { return inode_; }
  /// Of the text now; -1 when it cannot be told.
  off_t Size() const;
  /// As pread, in the text. A frame that cannot be unpacked is read as one line that says so, and empty ones.
  ssize_t Read(char* out, size_t size, off_t offset);

 private:
  void Unpack(size_t frame);

  UniqueFd fd_;
  ino_t inode_ = 0;
  std::optional<CompressedIndex> index_;
  std::vector<off_t> starts_;  ///< of each frame in the file
  size_t unpacked_ = static_cast<size_t>(-1);
  std::string text_;  ///< of that frame
};

}  // namespace mg::logs
