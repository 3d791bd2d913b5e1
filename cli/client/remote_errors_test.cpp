#include "cli/client/remote_errors.h"

#include "absl/strings/match.h"
#include "common/status/status.h"
#include "gtest/gtest.h"

namespace mg::cli {
namespace {

const RemoteSide kProd = {.name = "prod"};

TEST(ExplainRemote_, ConnectionThatNeverWas_IsToldWithTheContextAndItsAddress) {
  absl::Status status = ExplainRemote(absl::UnavailableError("failed to connect to all addresses; last error: "
                                                             "UNKNOWN: ipv4:127.0.0.1:9: Connection refused"),
                                      kProd);
  EXPECT_EQ(status.message(), "the Admin API of context prod cannot be reached: nothing listens at its address");
  EXPECT_EQ(DetailOf(status)->reason, "UNAVAILABLE");
  EXPECT_TRUE(absl::StrContains(ExplainRemote(absl::UnavailableError("Socket closed"), kProd).message(), "want TLS"));
  absl::Status with_tls = ExplainRemote(absl::UnavailableError("Socket closed"), {.name = "prod", .tls = true});
  EXPECT_TRUE(absl::StrContains(with_tls.message(), "it may speak no TLS")) << with_tls;
}

TEST(ExplainRemote_, ConnectionThatBroke_MayHaveLeftWhatGoesOn) {
  absl::Status status =
      ExplainRemote(absl::UnavailableError("Socket closed"), {.name = "h:1", .address = true, .connected = true});
  EXPECT_EQ(status.message(),
            "the answer did not arrive: the Admin API at h:1 ended during the call, and what was begun may go on");
  EXPECT_EQ(DetailOf(status)->reason, "ADMIN_API_UNAVAILABLE");
}

TEST(ExplainRemote_, HintOfAMachinesOwnCommands_SaysWhere) {
  absl::Status told = MakeError(absl::StatusCode::kUnavailable, "the topology's etcd does not answer",
                                {.reason = "TOPOLOGY_UNAVAILABLE", .hint = "see multigres status"});
  EXPECT_EQ(DetailOf(ExplainRemote(told, kProd))->hint, "on the machine where that cluster runs: see multigres status");
  absl::Status elsewhere = MakeError(absl::StatusCode::kNotFound, "cell 'x' not found",
                                     {.reason = "UNKNOWN_CELL", .hint = "'multigres topology cell list' shows them"});
  EXPECT_EQ(ExplainRemote(elsewhere, kProd), elsewhere);
}

}  // namespace
}  // namespace mg::cli
