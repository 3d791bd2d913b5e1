/// The etcd client against a real etcd: conditional writes, prefix reads, watches, and an etcd that goes and comes.
#include "common/etcd/etcd_client.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/integration/etcd_sandbox.h"

namespace mg::etcd {
namespace {

absl::Time Soon() { return absl::Now() + absl::Seconds(20); }

/// What a watch told, and a wait for it.
class Recorder {
 public:
  std::unique_ptr<Client::Watch> Follow(Client* client, const std::string& prefix) {
    return client->WatchPrefix(
        prefix, [this](const RangeResult& all) { Snapshot(all); }, [this](const WatchEvent& event) { Event(event); },
        [this](const absl::Status&) {
          std::lock_guard lock(mutex_);
          ++lost_;
          changed_.notify_all();
        });
  }

  /// The state as `key=value` pairs, once it is `wanted`; what it is instead after a bound.
  std::string Await(const std::string& wanted) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(20), [&] { return State() == wanted; });
    return State();
  }
  bool AwaitLost() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), [this] { return lost_ > 0; });
  }
  int snapshots() {
    std::lock_guard lock(mutex_);
    return snapshots_;
  }

 private:
  void Snapshot(const RangeResult& all) {
    std::lock_guard lock(mutex_);
    ++snapshots_;
    state_.clear();
    for (const KeyValue& entry : all.entries) {
      state_[entry.key] = entry.value;
    }
    changed_.notify_all();
  }
  void Event(const WatchEvent& event) {
    std::lock_guard lock(mutex_);
    if (event.deleted) {
      state_.erase(event.entry.key);
    } else {
      state_[event.entry.key] = event.entry.value;
    }
    changed_.notify_all();
  }
  std::string State() const {
    std::string text;
    for (const auto& [key, value] : state_) {
      absl::StrAppend(&text, text.empty() ? "" : " ", key, "=", value);
    }
    return text;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::string> state_;
  int snapshots_ = 0, lost_ = 0;
};

class EtcdClientTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!tests::EtcdSandbox::Possible()) {
      GTEST_SKIP() << "no etcd";
    }
    etcd_ = std::make_unique<tests::EtcdSandbox>();
    client_ = Client::Create({etcd_->address()});
  }

  std::unique_ptr<tests::EtcdSandbox> etcd_;
  std::unique_ptr<Client> client_;
};

TEST_F(EtcdClientTest, ConditionalWrites) {
  EXPECT_TRUE(absl::IsNotFound(client_->Get("/a", Soon()).status()));
  auto created = client_->Create("/a", "1", Soon());
  ASSERT_TRUE(created.ok()) << created.status();
  EXPECT_TRUE(absl::IsAlreadyExists(client_->Create("/a", "2", Soon()).status()));
  auto read = client_->Get("/a", Soon());
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->value, "1");
  EXPECT_EQ(read->mod_revision, *created);

  auto replaced = client_->PutIf("/a", "2", *created, Soon());
  ASSERT_TRUE(replaced.ok()) << replaced.status();
  EXPECT_GT(*replaced, *created);
  EXPECT_TRUE(absl::IsAborted(client_->PutIf("/a", "3", *created, Soon()).status()));
  EXPECT_TRUE(absl::IsAborted(client_->PutIf("/absent", "3", *created, Soon()).status()));
  EXPECT_EQ(client_->Get("/a", Soon())->value, "2");

  EXPECT_TRUE(absl::IsAborted(client_->DeleteIf("/a", *created, Soon())));
  EXPECT_TRUE(client_->DeleteIf("/a", *replaced, Soon()).ok());
  EXPECT_TRUE(absl::IsNotFound(client_->DeleteIf("/a", *replaced, Soon())));
  EXPECT_TRUE(absl::IsNotFound(client_->Delete("/a", Soon())));
  EXPECT_TRUE(client_->Put("/a", "", Soon()).ok());
  EXPECT_EQ(client_->Get("/a", Soon())->value, "");
  EXPECT_TRUE(client_->Delete("/a", Soon()).ok());
}

TEST_F(EtcdClientTest, OfManyWhoCreate_OneSucceeds) {
  constexpr int kWriters = 8;
  std::atomic<int> won = 0, lost = 0;
  std::vector<std::thread> writers;
  for (int i = 0; i < kWriters; ++i) {
    writers.emplace_back([&, i] {
      absl::Status status = client_->Create("/claim", absl::StrCat(i), Soon()).status();
      won += status.ok() ? 1 : 0;
      lost += absl::IsAlreadyExists(status) ? 1 : 0;
    });
  }
  for (std::thread& writer : writers) {
    writer.join();
  }
  EXPECT_EQ(won, 1);
  EXPECT_EQ(lost, kWriters - 1);
}

TEST_F(EtcdClientTest, PrefixReads) {
  for (const char* key : {"/p/b", "/p/a", "/p/a/x", "/q", std::string("/p\xff").c_str(), "/p0"}) {
    ASSERT_TRUE(client_->Put(key, absl::StrCat("of ", key), Soon()).ok());
  }
  auto all = client_->GetPrefix("/p/", /*keys_only=*/false, Soon());
  ASSERT_TRUE(all.ok()) << all.status();
  ASSERT_EQ(all->entries.size(), 3u);
  EXPECT_EQ(all->entries[0].key, "/p/a");
  EXPECT_EQ(all->entries[0].value, "of /p/a");
  EXPECT_EQ(all->entries[1].key, "/p/a/x");
  EXPECT_EQ(all->entries[2].key, "/p/b");
  EXPECT_GT(all->revision, 0);
  auto keys = client_->GetPrefix("/p/", /*keys_only=*/true, Soon());
  ASSERT_TRUE(keys.ok());
  ASSERT_EQ(keys->entries.size(), 3u);
  EXPECT_EQ(keys->entries[0].value, "");
  EXPECT_TRUE(client_->GetPrefix("/nothing/", false, Soon())->entries.empty());
}

TEST_F(EtcdClientTest, WatchTellsTheStateAndEachChange) {
  ASSERT_TRUE(client_->Put("/w/1", "a", Soon()).ok());
  Recorder recorder;
  auto watch = recorder.Follow(client_.get(), "/w/");
  EXPECT_EQ(recorder.Await("/w/1=a"), "/w/1=a");
  ASSERT_TRUE(client_->Put("/w/2", "b", Soon()).ok());
  ASSERT_TRUE(client_->Put("/x", "elsewhere", Soon()).ok());
  EXPECT_EQ(recorder.Await("/w/1=a /w/2=b"), "/w/1=a /w/2=b");
  ASSERT_TRUE(client_->Delete("/w/1", Soon()).ok());
  EXPECT_EQ(recorder.Await("/w/2=b"), "/w/2=b");
  EXPECT_EQ(recorder.snapshots(), 1);
  watch.reset();
}

TEST_F(EtcdClientTest, AfterARestart_CallsAndWatchesGoOn) {
  ASSERT_TRUE(client_->Put("/w/1", "a", Soon()).ok());
  Recorder recorder;
  auto watch = recorder.Follow(client_.get(), "/w/");
  EXPECT_EQ(recorder.Await("/w/1=a"), "/w/1=a");

  etcd_->Kill();
  EXPECT_TRUE(recorder.AwaitLost());
  absl::Time before = absl::Now();
  absl::Status away = client_->Put("/w/2", "lost", before + absl::Milliseconds(300)).status();
  EXPECT_TRUE(absl::IsUnavailable(away) || absl::IsDeadlineExceeded(away)) << away;
  EXPECT_LT(absl::Now() - before, absl::Seconds(5));

  etcd_->Start();
  // The same client; its call waits for etcd within its deadline.
  ASSERT_TRUE(client_->Put("/w/3", "c", Soon()).ok());
  EXPECT_EQ(recorder.Await("/w/1=a /w/3=c"), "/w/1=a /w/3=c");
  EXPECT_GE(recorder.snapshots(), 2);
}

TEST_F(EtcdClientTest, WithoutEtcd_AWatchEndsAtOnceWhenItGoes) {
  etcd_->Kill();
  Recorder recorder;
  auto watch = recorder.Follow(client_.get(), "/w/");
  absl::Time before = absl::Now();
  watch.reset();
  EXPECT_LT(absl::Now() - before, absl::Seconds(5));
  EXPECT_EQ(recorder.snapshots(), 0);
}

TEST_F(EtcdClientTest, SeveralEndpoints_OneIsEnough) {
  auto client = Client::Create({"127.0.0.1:1", etcd_->address()});
  ASSERT_TRUE(client->Put("/a", "1", Soon()).ok());
  EXPECT_EQ(client->Get("/a", Soon())->value, "1");
}

}  // namespace
}  // namespace mg::etcd
