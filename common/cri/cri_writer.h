/// Writes a component's output as CRI log lines (`<RFC 3339 time with nanoseconds> <stream> <F|P> <text>`) into a
/// directory, with rotation by size and count. For the shim: depends on nothing but the C library and std::string, one
/// thread, never blocks on a full disk: then the newest lines stay in a bounded memory, older ones are counted, and a
/// record says how many were lost.
#pragma once

#include <cstdint>
#include <string>

namespace mg::logs {

class CriWriter {
 public:
  enum class Stream { kStdout, kStderr };

  CriWriter(std::string directory, std::uint64_t max_bytes, int max_files);
  ~CriWriter();
  CriWriter(const CriWriter&) = delete;
  CriWriter& operator=(const CriWriter&) = delete;

  /// Opens current.log for appending. 0, or an errno.
  int Open();
  /// Takes raw output as it was read; lines may be split anywhere. Lines over 16 KiB are written in partial records.
  void Append(Stream stream, const char* data, size_t size);
  /// Writes what has no line end yet; at the stream's end.
  void Flush(Stream stream);
  /// Tries again to write what a full disk kept in memory; true when nothing is left there.
  bool Retry();
  bool stalled() const { return !waiting_.empty() || lost_ > 0; }
  /// Starts a new file now.
  void Rotate();

 private:
  void Record(std::string* out, Stream stream, bool complete, const char* text, size_t size);
  void Write(const std::string& lines);
  bool WriteAll(const char* data, size_t size);
  void RemoveOldFiles();

  const std::string directory_;
  const std::uint64_t max_bytes_;
  const int max_files_;
  int fd_ = -1;
  std::uint64_t size_ = 0;
  std::string pending_[2];
  std::string waiting_;     ///< formatted lines that a full disk refused
  std::uint64_t lost_ = 0;  ///< lines that were dropped from waiting_
};

}  // namespace mg::logs
