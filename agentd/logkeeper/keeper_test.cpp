#include "agentd/logkeeper/keeper.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/inotify.h>

#include <cstdlib>
#include <filesystem>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/cri/cri_writer.h"
#include "common/fs/fs.h"
#include "common/logs/log_file.h"
#include "common/logs/log_files.h"

namespace mg::logs {
namespace {

class KeeperTest : public testing::Test {
 protected:
  KeeperTest() {
    char name[] = "/tmp/mg-keeper-XXXXXX";
    root_ = ::mkdtemp(name);
  }
  ~KeeperTest() override { (void)RemoveTree(root_); }

  /// Lines of a component, in files of about 20 kB.
  void Write(const std::string& component, int count) {
    std::string directory = JoinPath(root_, component);
    ASSERT_TRUE(MakeDirectories(directory, 0700).ok());
    CriWriter out(directory, 20000, 1000);
    ASSERT_EQ(out.Open(), 0);
    for (int i = 0; i < count; ++i) {
      std::string line = absl::StrCat("line ", written_[component]++, "\n");
      out.Append(CriWriter::Stream::kStdout, line.data(), line.size());
    }
  }
  /// Numbers of files: those that are written to, plain and compressed.
  std::vector<int> Count() const {
    std::vector<int> count(3, 0);
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root_)) {
      std::string name = entry.path().filename();
      ++count[name == kCurrentLog ? 0 : IsCompressedLog(name) ? 2 : 1] -= entry.is_regular_file() ? 0 : 1;
    }
    return count;
  }
  std::uint64_t Bytes() const {
    std::uint64_t sum = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root_)) {
      sum += entry.is_regular_file() ? entry.file_size() : 0;
    }
    return sum;
  }
  std::vector<std::string> Texts(const std::string& component) const {
    std::vector<std::string> texts;
    auto stream = Stream::Open({.sources = {{.name = component, .directory = JoinPath(root_, component)}}});
    for (;;) {
      std::vector<Record> batch = *(*stream)->Next(1000);
      if (batch.empty()) {
        return texts;
      }
      for (const Record& record : batch) {
        texts.push_back(record.text);
      }
    }
  }
  /// Of what the keeper does to a component's files.
  UniqueFd Watch(const std::string& component) const {
    UniqueFd watch(::inotify_init1(IN_CLOEXEC));
    ::inotify_add_watch(watch.get(), JoinPath(root_, component).c_str(), IN_DELETE | IN_MOVED_TO);
    return watch;
  }
  void WaitUntilAllIsCompressed(const UniqueFd& watch) const {
    absl::Time limit = absl::Now() + absl::Seconds(20);
    while ((Count()[1] > 0 || Count()[2] == 0) && absl::Now() < limit) {
      pollfd fd{watch.get(), POLLIN, 0};
      ASSERT_EQ(::poll(&fd, 1, 20000), 1);
      char events[4096];
      ASSERT_GT(::read(watch.get(), events, sizeof events), 0);
    }
    EXPECT_EQ(Count()[1], 0);
  }
  std::string root_;
  std::map<std::string, int> written_;
  std::atomic<bool> stop_ = false;
};

TEST_F(KeeperTest, RotatedFilesOfAllComponents_AreCompressedAndNoLineIsLost) {
  Write("etcd", 3000);
  Write("multipooler/zone1", 3000);
  EXPECT_EQ(KeepLogs(root_, 0, stop_), "");
  std::vector<int> count = Count();
  EXPECT_EQ(count[0], 2);
  EXPECT_EQ(count[1], 0);
  EXPECT_GT(count[2], 10);
  for (const char* component : {"etcd", "multipooler/zone1"}) {
    std::vector<std::string> texts = Texts(component);
    ASSERT_EQ(texts.size(), 3000u);
    for (int i = 0; i < 3000; ++i) {
      ASSERT_EQ(texts[static_cast<size_t>(i)], absl::StrCat("line ", i));
    }
  }
}

TEST_F(KeeperTest, MoreThanAClusterMayHave_GoesOldestFirstOverAllComponents) {
  Write("etcd", 3000);
  Write("multiorch/zone1", 3000);
  std::uint64_t all = Bytes();
  EXPECT_EQ(KeepLogs(root_, all / 3, stop_), "");
  EXPECT_LE(Bytes(), all / 3);
  // etcd wrote first: its old files went first.
  EXPECT_LT(Texts("etcd").size(), Texts("multiorch/zone1").size());
  EXPECT_EQ(Texts("etcd").back(), "line 2999");
  EXPECT_EQ(Texts("multiorch/zone1").back(), "line 2999");
  // What is written to is never removed, however small the bound.
  EXPECT_EQ(KeepLogs(root_, 1, stop_), "");
  EXPECT_EQ(Count(), (std::vector<int>{2, 0, 0}));
  EXPECT_EQ(Texts("etcd").back(), "line 2999");
}

TEST_F(KeeperTest, WhenAFileIsRotated_TheThreadCompressesIt) {
  Write("etcd", 10);
  UniqueFd watch = Watch("etcd");
  Keeper keeper([this] { return std::vector<Keeper::Place>{{.root = root_}}; });
  Write("etcd", 1000);
  WaitUntilAllIsCompressed(watch);
  EXPECT_EQ(Texts("etcd").size(), 1010u);
}

TEST_F(KeeperTest, WhenItLooksInTheMidstOfARotation_TheFileIsCompressedAfterIt) {
  Write("etcd", 10);
  UniqueFd watch = Watch("etcd");
  absl::Mutex mutex;
  int looks = 0;
  Keeper keeper([&] {
    absl::MutexLock lock(&mutex);
    ++looks;
    return std::vector<Keeper::Place>{{.root = root_}};
  });
  auto looked = [&](int more_than, absl::Duration limit) {
    absl::MutexLock lock(&mutex);
    auto enough = [&] { return looks > more_than; };
    return mutex.AwaitWithTimeout(absl::Condition(&enough), limit);
  };
  ASSERT_TRUE(looked(0, absl::Seconds(20)));
  ASSERT_EQ(::rename(JoinPath(root_, "etcd/current.log").c_str(),
                     JoinPath(root_, "etcd/20261123T160000.123456789Z.log").c_str()),
            0);
  // One that the rename wakes looks once more, finds nothing to do yet, and sleeps again.
  looked(2, absl::Milliseconds(300));
  Write("etcd", 1);
  WaitUntilAllIsCompressed(watch);
}

}  // namespace
}  // namespace mg::logs
