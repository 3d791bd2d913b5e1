#include "agentd/logs/log_tail.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/text/utf8.h"

namespace mg::logs {
namespace {

constexpr size_t kBatchRecords = 256;
constexpr size_t kQueuedBatches = 4;

}  // namespace

void FillBatch(const std::vector<Record>& records, bool text, LogTail::Batch* batch) {
  for (const Record& record : records) {
    if (text) {
      // Bytes as they are: what a component wrote need not be UTF-8.
      absl::StrAppend(batch->mutable_text(), absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", record.time, absl::UTCTimeZone()),
                      " ", record.source, " ", record.text, "\n");
      continue;
    }
    auto* out = batch->add_records();
    timespec time = absl::ToTimespec(record.time);
    out->mutable_time()->set_seconds(time.tv_sec);
    out->mutable_time()->set_nanos(static_cast<int>(time.tv_nsec));
    out->set_component(record.source);
    out->set_stream(record.stream);
    out->set_text(text::ToValidUtf8(record.text));
    out->set_level(record.level);
  }
}

absl::StatusOr<std::unique_ptr<LogTail>> LogTail::Open(Options options, std::function<void()> wake) {
  absl::StatusOr<std::unique_ptr<Stream>> stream = Stream::Open(options.query);
  if (!stream.ok()) {
    return stream.status();
  }
  return std::unique_ptr<LogTail>(new LogTail(std::move(options), *std::move(stream), std::move(wake)));
}

LogTail::LogTail(Options options, std::unique_ptr<Stream> stream, std::function<void()> wake)
    : options_(std::move(options)), stream_(std::move(stream)), wake_(std::move(wake)), thread_(&LogTail::Read, this) {}

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
    batch->Swap(&queue_.front());
    queue_.pop_front();
    changed_.notify_all();
    return Take::kBatch;
  }
  if (dropped_ > 0) {
    batch->set_dropped(std::exchange(dropped_, 0));
    batch->set_cursor(dropped_cursor_);
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
  auto room = [&] { return stop_ || queue_.size() < kQueuedBatches; };
  if (!options_.query.follow) {
    changed_.wait(lock, room);
    return true;
  }
  // Once it skips, it goes on to skip until the reader moves.
  return changed_.wait_for(lock, absl::ToChronoNanoseconds(dropped_ > 0 ? absl::ZeroDuration() : options_.patience),
                           room);
}

void LogTail::Read() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stop_) {
    lock.unlock();
    absl::StatusOr<std::vector<Record>> records = stream_->Next(kBatchRecords);
    lock.lock();
    if (!records.ok() || records->empty()) {
      ended_ = true;
      end_ = records.status();
      break;
    }
    if (!WaitForRoom(lock)) {
      dropped_ += static_cast<std::int64_t>(records->size());
      dropped_cursor_ = stream_->cursor();
      continue;
    }
    if (stop_) {
      break;
    }
    Batch batch;
    batch.set_dropped(std::exchange(dropped_, 0));
    batch.set_cursor(stream_->cursor());
    FillBatch(*records, options_.text, &batch);
    queue_.push_back(std::move(batch));
    lock.unlock();
    wake_();
    lock.lock();
  }
  lock.unlock();
  wake_();
}

}  // namespace mg::logs
