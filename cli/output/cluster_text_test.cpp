#include "cli/output/cluster_text.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/text/text.h"
#include "gtest/gtest.h"

namespace mg::cli {
namespace {

multigres::provisioner::v1::ClusterStatus ThreeCells() {
  multigres::provisioner::v1::ClusterStatus status;
  status.set_cluster("default");
  status.set_state("running");
  for (int cell = 1; cell <= 3; ++cell) {
    const std::string name = absl::StrCat("multigateway/zone", cell);
    auto& component = *status.add_components();
    component.set_name(name);
    component.set_state("running");
    component.set_pid(123456);
    component.set_ready(true);
    component.set_uptime_seconds(21);
    component.set_implementation("builtin");
    for (const char* port : {"grpc", "http", "postgres", "postgres_replica"}) {
      (*component.mutable_ports())[port] = 15100 + component.ports_size();
    }
    for (const char* kind : {"postgres-rw", "postgres-ro"}) {
      auto& endpoint = *status.add_endpoints();
      endpoint.set_kind(kind);
      endpoint.set_name(name);
      endpoint.set_url("postgresql://postgres@127.0.0.1:15432/postgres");
    }
  }
  return status;
}

std::string At(int width) { return ClusterText(ThreeCells(), {.out_is_tty = true, .width = width}); }

TEST(ClusterText, StaysInItsLinesAndMarksWhatHasNoRoom) {
  for (int width : {60, 72, 80, 100, 140}) {
    for (absl::string_view line : absl::StrSplit(At(width), '\n')) {
      EXPECT_LE(text::DisplayWidth(line), width) << line;
    }
  }
  // The ports before the implementation; what is not there is marked.
  EXPECT_TRUE(absl::StrContains(At(80), "RESTARTS  PORTS …\n")) << At(80);
  EXPECT_TRUE(absl::StrContains(At(80), "15100 15101 15102 15103\n")) << At(80);
  EXPECT_TRUE(absl::StrContains(At(140), "IMPLEMENTATION\n")) << At(140);
}

TEST(ClusterText, NeverCutsAUrl) {
  for (int width : {40, 50, 60, 80}) {
    EXPECT_TRUE(absl::StrContains(At(width), "postgresql://postgres@127.0.0.1:15432/postgres")) << At(width);
  }
  EXPECT_TRUE(absl::StrContains(At(80), "  postgres-ro  multigateway/zone3\n")) << At(80);
}

TEST(ClusterText, Piped_HasEverything) {
  const std::string text = ClusterText(ThreeCells(), {});
  EXPECT_TRUE(absl::StrContains(text, "postgres_replica:15103")) << text;
  EXPECT_TRUE(absl::StrContains(text, "IMPLEMENTATION")) << text;
}

}  // namespace
}  // namespace mg::cli
