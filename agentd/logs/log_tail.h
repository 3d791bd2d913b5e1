/// One reader's view of components' logs: a thread reads batches from disk into a short queue, and the reader takes
/// them when it can. A reader that follows gets an empty batch first, whose cursor says where it begins. Disk is the
/// buffer: a reader that pauses loses nothing; only one that follows and is stuck for
/// long skips ahead, and is told how many records it missed. Any thread.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "absl/status/statusor.h"
#include "agentd/logs/text_pool.h"
#include "common/logs/log_files.h"
#include "multigres/agent/v1/agent.pb.h"

namespace mg::logs {

class LogTail {
 public:
  struct Batch {
    multigres::agent::v1::TailLogsResponse message;  ///< without its text
    std::shared_ptr<const TextBuffer> text;          ///< the message's, to be sent without a copy; null: none
  };
  struct Options {
    Query query;
    std::optional<TextForm> text;                 ///< text chunks instead of records
    bool structured = false;                      ///< of records: message, fields and cursor, too
    absl::Duration patience = absl::Seconds(60);  ///< how long a following reader may be stuck before it skips ahead
  };
  enum class Take { kBatch, kNothingYet, kEnd };

  /// `wake` is called on the reading thread when there is something to take. INVALID_ARGUMENT for a bad query.
  static absl::StatusOr<std::unique_ptr<LogTail>> Open(Options options, std::function<void()> wake);
  /// Ends the reading and waits for its thread.
  ~LogTail();
  LogTail(const LogTail&) = delete;
  LogTail& operator=(const LogTail&) = delete;

  /// The next batch, or how the stream ended.
  Take Next(Batch* batch, absl::Status* end);
  /// Records left out since the last batch that is to be taken.
  std::int64_t dropped() const;

 private:
  LogTail(Options options, std::unique_ptr<Stream> stream, std::function<void()> wake);
  void Read();
  absl::StatusOr<size_t> ReadBatch(bool much, Batch* batch);
  bool WaitForRoom(std::unique_lock<std::mutex>& lock);

  const Options options_;
  const std::unique_ptr<Stream> stream_;
  const std::function<void()> wake_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Batch> queue_;
  std::int64_t dropped_ = 0;    ///< since the last batch that was queued
  std::string dropped_cursor_;  ///< behind the last of them
  bool stop_ = false;
  bool ended_ = false;
  absl::Status end_;
  const std::shared_ptr<TextPool> pool_;
  std::thread thread_;
};

/// Records as a message.
void FillBatch(const std::vector<Record>& records, bool structured, multigres::agent::v1::TailLogsResponse* batch);

}  // namespace mg::logs
