#include "agentd/rpc/worker_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <latch>
#include <set>

namespace mg::rpc {
namespace {

TEST(WorkerPool, WhenTasksBlock_RunsUpToTheBoundAtOnce) {
  constexpr int kMost = 3;
  std::latch all_run(kMost);
  std::atomic<int> done = 0;
  {
    WorkerPool pool(kMost);
    for (int i = 0; i < kMost; ++i) {
      pool.Run([&] {
        all_run.arrive_and_wait();  // each waits for the others: they do run at once
        ++done;
      });
    }
    for (int i = 0; i < 20; ++i) {
      pool.Run([&] { ++done; });
    }
  }
  EXPECT_EQ(done, kMost + 20) << "the end waits for what is queued";
}

TEST(WorkerPool, WhenTasksComeOneByOne_NeverMoreThreadsThanTheBound) {
  std::mutex mutex;
  std::set<std::thread::id> threads;
  {
    WorkerPool pool(2);
    for (int i = 0; i < 100; ++i) {
      pool.Run([&] {
        std::lock_guard<std::mutex> lock(mutex);
        threads.insert(std::this_thread::get_id());
      });
    }
  }
  EXPECT_LE(threads.size(), 2u);
}

TEST(WorkerPool, WhenATaskAddsATask_ThatRunsToo) {
  std::latch ran(1);
  WorkerPool pool(1);
  pool.Run([&] { pool.Run([&] { ran.count_down(); }); });
  ran.wait();
}

}  // namespace
}  // namespace mg::rpc
