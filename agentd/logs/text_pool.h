/// Large buffers that are used again and again by one reader of logs, so that no memory is asked of the system, zeroed
/// and given back for each. Any thread.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "common/logs/text_buffer.h"

namespace mg::logs {

class TextPool : public std::enable_shared_from_this<TextPool> {
 public:
  /// An empty buffer, which comes back when nobody holds it any more.
  std::shared_ptr<TextBuffer> Take();
  /// Gives back to the system what is not in use, but for a small one: there is little to read.
  void Shrink();

 private:
  void Give(std::unique_ptr<TextBuffer> buffer);

  std::mutex mutex_;
  std::vector<std::unique_ptr<TextBuffer>> free_;
};

}  // namespace mg::logs
