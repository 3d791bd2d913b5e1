#include <google/protobuf/any.pb.h>
#include <grpcpp/support/status.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "common/rpc/rpc.h"
#include "common/rpc/trailers.h"
#include "common/status/status.h"
#include "common/text/utf8.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace mg::rpc {
namespace {

absl::Status Sample() {
  return MakeError(
      absl::StatusCode::kFailedPrecondition, "port 15432 is in use",
      {.reason = "PORT_IN_USE", .hint = "stop it", .subject = "multigateway/zone1", .log_tail = {"a", "b"}});
}

TEST(StatusCodec, WhenThereIsADetail_BothWaysKeepIt) {
  absl::Status back = FromGrpc(ToGrpc(Sample()));
  EXPECT_EQ(back.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(back.message(), "port 15432 is in use");
  auto detail = DetailOf(back);
  ASSERT_TRUE(detail.has_value());
  EXPECT_EQ(detail->reason, "PORT_IN_USE");
  EXPECT_EQ(detail->hint, "stop it");
  EXPECT_EQ(detail->subject, "multigateway/zone1");
  EXPECT_EQ(detail->log_tail, (std::vector<std::string>{"a", "b"}));
}

TEST(StatusCodec, WhenEncoded_IsTheStandardErrorModel) {
  google::rpc::Status wire;
  ASSERT_TRUE(wire.ParseFromString(ToGrpc(Sample()).error_details()));
  EXPECT_EQ(wire.code(), 9);
  ASSERT_EQ(wire.details_size(), 1);
  EXPECT_EQ(wire.details(0).type_url(), "type.googleapis.com/google.rpc.ErrorInfo");
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(wire.details(0).UnpackTo(&info));
  EXPECT_EQ(info.domain(), "multigres.dev");
}

TEST(StatusCodec, WhenThereIsNoDetail_CodesAndMessagesGoThrough) {
  EXPECT_TRUE(FromGrpc(ToGrpc(absl::OkStatus())).ok());
  for (int code = 1; code <= 16; ++code) {
    absl::Status status(static_cast<absl::StatusCode>(code), "m");
    EXPECT_EQ(FromGrpc(ToGrpc(status)), status);
    EXPECT_EQ(DecodeStatus(EncodeStatus(status)), status);
  }
  EXPECT_TRUE(DecodeStatus(EncodeStatus(absl::OkStatus())).ok());
}

TEST(StatusCodec, WhenBytes_KeepsTheDetail) {
  absl::Status back = DecodeStatus(EncodeStatus(Sample()));
  EXPECT_EQ(back.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(DetailOf(back)->log_tail.size(), 2u);
}

TEST(StatusCodec, WhenTheDetailIsLargeOrNotUtf8_FitsIntoHeaders) {
  ErrorDetail detail = {.reason = "X", .hint = std::string(5000, 'h')};
  detail.log_tail.assign(100, std::string(200, 'l'));
  detail.log_tail.push_back("last \xFF line");
  grpc::Status wire = ToGrpc(MakeError(absl::StatusCode::kInternal, std::string(9000, 'm'), detail));
  EXPECT_LT(wire.error_message().size() + wire.error_details().size() * 4 / 3, 8000u);
  auto back = DetailOf(FromGrpc(wire));
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->log_tail.back(), "last \xEF\xBF\xBD line");
}

TEST(StatusCodec, WhenTheMessageIsOfAnyLength_CodeReasonAndItsBeginningGetThrough) {
  const ErrorDetail detail = {.reason = "X",
                              .hint = std::string(100'000, 'h'),
                              .subject = std::string(100'000, 's'),
                              .log_tail = std::vector<std::string>(100, std::string(200, 'l'))};
  for (const char* letter : {"m", "\xC3\xA9", "\xFF", "%"}) {
    for (int length : {10, 900, 1500, 2990, 4000, 100'000}) {
      std::string message;
      for (int i = 0; i < length; ++i) {
        message += letter;
      }
      const std::string valid = text::ToValidUtf8(message);
      for (const ErrorDetail& more : {ErrorDetail{}, ErrorDetail{.reason = "X", .hint = "h"}, detail}) {
        grpc::Status wire = ToGrpc(MakeError(absl::StatusCode::kInternal, message, more));
        EXPECT_LT(TrailerBytes(wire), 7500u) << letter << length;
        absl::Status back = FromGrpc(wire);
        EXPECT_EQ(back.code(), absl::StatusCode::kInternal);
        EXPECT_EQ(DetailOf(back).value_or(ErrorDetail{}).reason, more.reason);
        EXPECT_EQ(text::ToValidUtf8(back.message()), back.message());
        if (back.message() != valid) {
          absl::string_view begin = back.message();
          EXPECT_TRUE(absl::ConsumeSuffix(&begin, " … (shortened)")) << back.message();
          EXPECT_TRUE(absl::StartsWith(valid, begin));
          EXPECT_GT(begin.size(), 500u);
        }
        EXPECT_TRUE(back.message() == valid || valid.size() > 1000) << letter << length;
      }
    }
  }
  EXPECT_EQ(FromGrpc(ToGrpc(absl::InternalError(std::string(2990, 'm')))).message().size(), 2990u);
}

}  // namespace
}  // namespace mg::rpc
