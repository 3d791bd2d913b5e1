#include "components/multipooler/manager/rpc_error.h"

#include <grpcpp/support/status.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "common/rpc/rpc.h"
#include "common/rpc/trailers.h"
#include "common/status/status.h"
#include "google/rpc/status.pb.h"
#include "gtest/gtest.h"
#include "mtrpc.pb.h"

namespace mg::multipooler {
namespace {

TEST(ToRpcError_, OfAnErrorWithAReason_CarriesUpstreamsDetailFirstAndOurs) {
  absl::Status failed = MakeError(absl::StatusCode::kDataLoss, "damaged backup: B",
                                  {.reason = "BACKUP_DAMAGED", .hint = "restore another one", .log_tail = {"a", "b"}});
  grpc::Status wire = ToRpcError(failed);
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(wire.error_details()));
  ASSERT_EQ(details.details_size(), 2);
  EXPECT_TRUE(details.details(0).Is<mtrpc::RPCError>());
  absl::Status told = rpc::FromGrpc(wire);
  EXPECT_EQ(told.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(told.message(), "damaged backup: B");
  ASSERT_TRUE(DetailOf(told).has_value());
  EXPECT_EQ(DetailOf(told)->reason, "BACKUP_DAMAGED");
  EXPECT_EQ(DetailOf(told)->log_tail.size(), 2U);
}

TEST(ToRpcError_, OfAnErrorWithoutOne_CarriesUpstreamsOnly) {
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(ToRpcError(absl::AbortedError("x")).error_details()));
  EXPECT_EQ(details.details_size(), 1);
}

TEST(ToRpcError_, OfAnErrorOfAnyLength_GetsThroughWithItsCodeAndReason) {
  for (std::size_t length : {900U, 4000U, 100'000U}) {
    for (const char* letter : {"m", "\xC3\xA9"}) {
      std::string message;
      while (message.size() < length) {
        message += letter;
      }
      grpc::Status wire = ToRpcError(MakeError(absl::StatusCode::kUnavailable, message,
                                               {.reason = "X",
                                                .hint = std::string(5000, 'h'),
                                                .log_tail = std::vector<std::string>(100, std::string(100, 'l'))}));
      EXPECT_LT(rpc::TrailerBytes(wire), 7500U) << length;
      absl::Status told = rpc::FromGrpc(wire);
      EXPECT_EQ(told.code(), absl::StatusCode::kUnavailable);
      EXPECT_EQ(DetailOf(told).value_or(ErrorDetail{}).reason, "X");
      EXPECT_TRUE(told.message() == message || absl::EndsWith(told.message(), " … (shortened)")) << told.message();
      EXPECT_GE(told.message().size(), std::min<std::size_t>(length, 500));
      google::rpc::Status details;
      mtrpc::RPCError upstream;
      ASSERT_TRUE(details.ParseFromString(wire.error_details()) && details.details(0).UnpackTo(&upstream));
      EXPECT_EQ(upstream.message(), told.message());
    }
  }
}

}  // namespace
}  // namespace mg::multipooler
