/// Writes a component's output as CRI log lines (`<RFC 3339 time with nanoseconds> <stream> <F|P> <text>`) into a
/// directory, with rotation by size and count. For the shim: depends on nothing but the C library and std::string, one
/// thread, never blocks on a full disk: then the newest lines stay in a bounded memory, older ones are counted, and a
/// record says how many were lost.
#pragma once

#include <cstdint>
#include <ctime>
#include <string>
#include <vector>

namespace mg::logs {

/// Wall-clock times as text, each later than the one before it (unless the clock is put back by more than a second).
/// The date is made once a second, since every line needs one.
class Stamper {
 public:
  static constexpr size_t kSize = 30;
  /// `2026-11-23T16:00:00.123456789Z`, not terminated; valid until the next call.
  const char* Now();
  /// A nanosecond later: for the next of lines that were read at once.
  const char* Next();

 private:
  const char* Set(std::int64_t nanos);

  std::int64_t nanos_ = 0;  ///< of text_
  std::int64_t second_ = -1;
  char text_[kSize + 1] = {};
};

class CriWriter {
 public:
  enum class Stream { kStdout, kStderr };

  CriWriter(std::string directory, std::uint64_t max_bytes, int max_files);
  ~CriWriter();
  CriWriter(const CriWriter&) = delete;
  CriWriter& operator=(const CriWriter&) = delete;

  /// Opens current.log for appending, and ends the line that a killed writer may have left half written. 0, or an
  /// errno.
  int Open();
  /// Takes raw output as it was read; lines may be split anywhere. Lines over 16 KiB are written in partial records.
  void Append(Stream stream, const char* data, size_t size);
  /// Writes what has no line end yet; at the stream's end.
  void Flush(Stream stream);
  /// Tries again to write what a full disk kept in memory; true when nothing is left there.
  bool Retry();
  bool stalled() const { return !waiting_.empty() || lost_ > 0; }
  /// Starts a new file now; an empty one goes on.
  void Rotate();
  /// Gives back the memory that a burst of output needed.
  void Tidy();

 private:
  static constexpr size_t kMaxLine = 16384;
  static constexpr size_t kHead = Stamper::kSize + 10;  // the time and ` stdout F `
  static constexpr size_t kBatch = 128 << 10;

  void Put(Stream stream, bool complete, const char* stamp, const char* text, size_t size);
  void FlushBatch();
  void Write(const char* lines, size_t size);
  size_t WriteLines(const char* data, size_t size);
  void KeepWaiting(const char* lines, size_t size);
  std::vector<std::string> RotatedFiles() const;
  std::string NewName(const std::vector<std::string>& rotated);

  const std::string directory_;
  const std::uint64_t max_bytes_;
  const int max_files_;
  int fd_ = -1;
  int error_ = 0;  ///< why the last write failed
  std::uint64_t size_ = 0;
  std::string pending_[2];
  std::string waiting_;        ///< formatted lines that a full disk refused
  std::uint64_t lost_ = 0;     ///< lines that were dropped from waiting_
  std::int64_t retry_at_ = 0;  ///< monotonic ns; until then a full disk is not asked again
  Stamper stamper_;
  size_t batched_ = 0;
  /// Records that are written at once. Its pages are touched as far as it is filled.
  alignas(4096) char batch_[kBatch];
};

}  // namespace mg::logs
