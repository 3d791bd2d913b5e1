#include "common/status/status.h"

#include <cerrno>

#include "common/status/exit_code.h"
#include "gtest/gtest.h"

namespace mg {
namespace {

TEST(Status, DetailWithLineBreaks_WhenReadBack_IsTheSame) {
  absl::Status status = MakeError(
      absl::StatusCode::kUnavailable, "etcd did not start: port 2379 is taken",
      {.reason = "PORT_IN_USE", .hint = "stop it\nor choose another", .subject = "etcd", .log_tail = {"a", "b\nc"}});
  std::optional<ErrorDetail> detail = DetailOf(status);
  ASSERT_TRUE(detail.has_value());
  EXPECT_EQ(detail->reason, "PORT_IN_USE");
  EXPECT_EQ(detail->hint, "stop it\nor choose another");
  EXPECT_EQ(detail->subject, "etcd");
  EXPECT_EQ(detail->log_tail, (std::vector<std::string>{"a", "b\nc"}));
}

TEST(Status, WithContext_KeepsCodeAndDetail) {
  absl::Status status = WithContext(MakeError(absl::StatusCode::kNotFound, "gone", {.reason = "X"}), "cell zone1");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(status.message(), "cell zone1: gone");
  ASSERT_TRUE(DetailOf(status).has_value());
  EXPECT_EQ(DetailOf(status)->reason, "X");
  EXPECT_TRUE(WithContext(absl::OkStatus(), "x").ok());
}

TEST(Status, WithoutDetail_HasNone) { EXPECT_FALSE(DetailOf(absl::InternalError("x")).has_value()); }

TEST(Status, Errno_ChoosesTheCode) {
  EXPECT_EQ(ErrnoStatus(ENOENT, "open x").code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ErrnoStatus(EACCES, "open x").code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ErrnoStatus(ENOSPC, "write x").code(), absl::StatusCode::kResourceExhausted);
}

TEST(ExitCode, EveryCode_HasTheDocumentedStatus) {
  const int expected[] = {0, 130, 1, 2, 4, 3, 1, 5, 1, 4, 1, 1, 1, 1, 6, 1, 5};
  for (int code = 0; code <= 16; ++code) {
    EXPECT_EQ(ExitCodeOf(static_cast<absl::StatusCode>(code)), expected[code]) << "code " << code;
  }
}

}  // namespace
}  // namespace mg
