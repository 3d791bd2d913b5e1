#include "cli/output/write_pieces.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <thread>

#include "common/fs/unique_fd.h"

namespace mg::cli {
namespace {

TEST(WritePieces, WhenTheReaderIsSlowerAndTheDescriptorDoesNotBlock_AllOfItComesInOrder) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  UniqueFd reader(ends[0]), writer(ends[1]);
  ASSERT_EQ(::fcntl(reader.get(), F_SETFL, 0), 0);
  std::string expected, got;
  std::vector<std::string> texts;
  for (size_t i = 0; i < 1000; ++i) {
    texts.push_back(i % 7 == 0 ? "" : std::string(i, static_cast<char>('a' + i % 26)));
    expected += texts.back();
  }
  std::thread reading([&] {
    char buffer[1000];
    for (ssize_t n = 0; (n = ::read(reader.get(), buffer, sizeof buffer)) > 0;) {
      got.append(buffer, static_cast<size_t>(n));
    }
  });
  EXPECT_EQ(WritePieces(writer.get(), {texts.begin(), texts.end()}), 0);
  writer.Reset();
  reading.join();
  EXPECT_EQ(got, expected);
}

TEST(WritePieces, WhenThereIsNoRoom_SaysSo) {
  UniqueFd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  ASSERT_TRUE(full.valid());
  EXPECT_EQ(WritePieces(full.get(), {"a", "b"}), ENOSPC);
  EXPECT_EQ(WritePieces(full.get(), {"", ""}), 0);
}

}  // namespace
}  // namespace mg::cli
