#include "common/status/status.h"

#include <cerrno>

#include "absl/strings/match.h"
#include "common/status/error_codes.h"
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
  EXPECT_EQ(ErrnoStatus(EMFILE, "open x").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ExitCodeOf(ErrnoStatus(EMFILE, "open x")), kExitFailed);
}

TEST(Status, ErrnoOfAFullDisk_HasItsReason) {
  for (int error : {ENOSPC, EDQUOT}) {
    absl::Status status = WithContext(ErrnoStatus(error, "write x"), "cluster a");
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(ErrorCodeOf(status).reason, "DISK_FULL");
    EXPECT_EQ(ExitCodeOf(status), kExitUnhealthy);
  }
}

TEST(ExitCode, EveryCode_HasTheDocumentedStatus) {
  const int expected[] = {0, 130, 1, 2, 4, 3, 1, 5, 1, 4, 1, 1, 1, 1, 6, 1, 5};
  for (int code = 0; code <= 16; ++code) {
    EXPECT_EQ(ExitCodeOf(static_cast<absl::StatusCode>(code)), expected[code]) << "code " << code;
  }
}

TEST(ErrorCodes, EveryOne_IsInOrder_AndSaysWhyAndWhatToDo) {
  const ErrorCode* before = nullptr;
  for (const ErrorCode& code : ErrorCodes()) {
    EXPECT_TRUE(before == nullptr || before->reason < code.reason) << code.reason;
    before = &code;
    EXPECT_NE(code.code, absl::StatusCode::kOk) << code.reason;
    for (absl::string_view sentence : {code.why, code.next}) {
      EXPECT_GE(sentence.size(), 8U) << code.reason;
      EXPECT_NE(sentence.back(), '.') << code.reason;
      bool capital = sentence[0] >= 'A' && sentence[0] <= 'Z' && sentence[1] >= 'a';
      EXPECT_TRUE(!capital || absl::StartsWith(sentence, "PostgreSQL")) << code.reason << ": " << sentence;
    }
  }
}

TEST(ErrorCodes, EveryOne_IsFoundByItsReason_AndDecidesTheExitStatus) {
  for (const ErrorCode& code : ErrorCodes()) {
    absl::Status status = MakeError(absl::StatusCode::kInternal, "x", {.reason = std::string(code.reason)});
    EXPECT_EQ(ErrorCodeOf(status).reason, code.reason);
    EXPECT_EQ(ExitCodeOf(status), ExitCodeOf(code.code)) << code.reason;
  }
}

TEST(ErrorCodes, EveryCanonicalCode_HasAnEntryOfItsOwn) {
  for (int number = 1; number <= 16; ++number) {
    auto code = static_cast<absl::StatusCode>(number);
    EXPECT_EQ(ErrorCodeOf(absl::Status(code, "x")).reason, absl::StatusCodeToString(code));
    EXPECT_EQ(ExitCodeOf(absl::Status(code, "x")), ExitCodeOf(code));
    EXPECT_EQ(ErrorCodeOf(MakeError(code, "x", {.reason = "OF_A_LATER_VERSION"})).reason,
              absl::StatusCodeToString(code));
  }
  EXPECT_EQ(ExitCodeOf(absl::OkStatus()), kExitOk);
}

}  // namespace
}  // namespace mg
