#include "components/multipooler/manager/rpc_error.h"

#include <grpcpp/support/status.h>

#include <string>

#include "common/rpc/rpc.h"
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

}  // namespace
}  // namespace mg::multipooler
