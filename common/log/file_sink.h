/// The log's file. Why not spdlog's own: that throws when the disk is full, keeps half a record in its buffer then, and
/// stays closed for good when a rotation fails. Here a record that finds no room is counted and left out, and the first
/// one that finds some again tells how many were lost. Nothing is thrown. Any thread, by base_sink's lock.
#pragma once

#include <spdlog/sinks/base_sink.h>

#include <cstdint>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/fs/unique_fd.h"

namespace mg::log {

class FileSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  /// `rotate_bytes` 0: one file for ever. `lost_line` makes the record that says how many are missing, with its line
  /// break.
  FileSink(std::string path, std::uint64_t rotate_bytes, int rotate_keep, std::string (*lost_line)(std::uint64_t lost))
      : path_(std::move(path)), rotate_bytes_(rotate_bytes), rotate_keep_(rotate_keep), lost_line_(lost_line) {}

  /// The first opening. OK when there is only no room for the file: then it is made as soon as there is some.
  absl::Status Open();

 protected:
  void sink_it_(const spdlog::details::log_msg& record) override;
  void flush_() override {}

 private:
  int Reopen();
  int WriteWhole(absl::string_view line);
  void Rotate();
  void Lose(int error_number);
  std::string Renamed(int number) const;

  const std::string path_;
  const std::uint64_t rotate_bytes_;
  const int rotate_keep_;
  std::string (*const lost_line_)(std::uint64_t);
  UniqueFd file_;
  std::uint64_t size_ = 0;
  std::uint64_t lost_ = 0;
  bool torn_ = false;  ///< the file ends within a record
};

}  // namespace mg::log
