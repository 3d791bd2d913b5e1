#include "agentd/logs/log_tail.h"

#include <chrono>
#include <utility>

#include "agentd/logs/structure.h"
#include "common/status/status.h"
#include "common/text/utf8.h"

namespace mg::logs {
namespace {

constexpr size_t kBatchRecords = 256;
constexpr size_t kBatchBytes = 64 << 10;
/// Where there is much to read: fewer messages, fewer changes between threads.
constexpr size_t kLargeBatchBytes = 256 << 10;
constexpr size_t kQueuedBatches = 4;

}  // namespace

void FillBatch(const std::vector<Record>& records, bool structured, multigres::agent::v1::TailLogsResponse* batch) {
  for (const Record& record : records) {
    auto* out = batch->add_records();
    timespec time = absl::ToTimespec(record.time);
    out->mutable_time()->set_seconds(time.tv_sec);
    out->mutable_time()->set_nanos(static_cast<int>(time.tv_nsec));
    out->set_component(record.source);
    out->set_stream(record.stream);
    out->set_text(text::ToValidUtf8(record.text));
    out->set_level(std::string(LevelName(record.level)));
    if (structured) {
      FillStructure(record.text, out);
      out->set_cursor(record.cursor);
    }
  }
}

absl::StatusOr<std::unique_ptr<LogTail>> LogTail::Open(Options options, std::function<void()> wake) {
  options.query.cursors = options.structured;
  absl::StatusOr<std::unique_ptr<Stream>> stream = Stream::Open(options.query);
  if (!stream.ok()) {
    return stream.status();
  }
  return std::unique_ptr<LogTail>(new LogTail(std::move(options), *std::move(stream), std::move(wake)));
}

LogTail::LogTail(Options options, std::unique_ptr<Stream> stream, std::function<void()> wake)
    : options_(std::move(options)),
      stream_(std::move(stream)),
      wake_(std::move(wake)),
      pool_(std::make_shared<TextPool>()),
      thread_(&LogTail::Read, this) {}

LogTail::~LogTail() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
    changed_.notify_all();
  }
  stream_->Cancel();
  thread_.join();
}

LogTail::Take LogTail::Next(Batch* batch, absl::Status* end) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!queue_.empty()) {
    *batch = std::move(queue_.front());
    queue_.pop_front();
    if (queue_.size() <= kQueuedBatches / 2) {
      changed_.notify_all();
    }
    return Take::kBatch;
  }
  if (dropped_ > 0) {
    batch->message.set_dropped(std::exchange(dropped_, 0));
    batch->message.set_cursor(dropped_cursor_);
    return Take::kBatch;
  }
  if (ended_) {
    *end = end_;
    return Take::kEnd;
  }
  return Take::kNothingYet;
}

std::int64_t LogTail::dropped() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return dropped_;
}

/// False: the reader was stuck for too long.
bool LogTail::WaitForRoom(std::unique_lock<std::mutex>& lock) {
  if (queue_.size() < kQueuedBatches) {
    return true;
  }
  // Half of them at once, so that the two threads do not wake each other for each.
  auto room = [&] { return stop_ || queue_.size() <= kQueuedBatches / 2; };
  if (!options_.query.follow) {
    changed_.wait(lock, room);
    return true;
  }
  // Once it skips, it goes on to skip until the reader moves.
  return changed_.wait_for(lock, absl::ToChronoNanoseconds(dropped_ > 0 ? absl::ZeroDuration() : options_.patience),
                           room);
}

/// Fills the batch; the number of its records, 0 at the end.
absl::StatusOr<size_t> LogTail::ReadBatch(bool much, Batch* batch) {
  if (options_.text.has_value()) {
    // Bytes as they are: what a component wrote need not be UTF-8.
    std::shared_ptr<TextBuffer> text = pool_->Take();
    MG_ASSIGN_OR_RETURN(size_t count,
                        stream_->NextText(*options_.text, much ? kLargeBatchBytes : kBatchBytes, text.get()));
    if (text->size() < kBatchBytes) {
      pool_->Shrink();
    }
    batch->text = std::move(text);
    return count;
  }
  MG_ASSIGN_OR_RETURN(std::vector<Record> records, stream_->Next(kBatchRecords));
  FillBatch(records, options_.structured, &batch->message);
  return records.size();
}

void LogTail::Read() {
  std::unique_lock<std::mutex> lock(mutex_);
  if (options_.query.follow) {
    queue_.emplace_back().message.set_cursor(stream_->cursor());
  }
  bool much = false;
  while (!stop_) {
    lock.unlock();
    wake_();
    Batch batch;
    absl::StatusOr<size_t> count = ReadBatch(much, &batch);
    much = batch.text != nullptr && batch.text->size() >= kBatchBytes;
    bool gap = stream_->TakeGap();
    batch.message.set_cursor(stream_->cursor());
    lock.lock();
    if (!count.ok() || *count == 0) {
      ended_ = true;
      end_ = count.status();
      break;
    }
    if (!WaitForRoom(lock)) {
      dropped_ += static_cast<std::int64_t>(*count);
      dropped_cursor_ = batch.message.cursor();
      continue;
    }
    if (stop_) {
      break;
    }
    std::int64_t dropped = std::exchange(dropped_, 0);
    batch.message.set_dropped(gap && dropped == 0 ? -1 : dropped);
    queue_.push_back(std::move(batch));
  }
  lock.unlock();
  wake_();
}

}  // namespace mg::logs
