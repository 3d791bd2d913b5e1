#include <google/protobuf/any.pb.h>
#include <grpcpp/support/status.h>
#include <gtest/gtest.h>

#include "common/rpc/rpc.h"
#include "common/status/status.h"
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

}  // namespace
}  // namespace mg::rpc
