#include "agentd/provisioners/local/connection.h"

#include "common/status/status.h"
#include "gtest/gtest.h"

namespace mg::local {
namespace {

const std::vector<std::string> kManaged = {"postgres", "shop"};

TEST(CheckDatabase, TakesTheClustersAndPostgresqlsOwn) {
  const std::vector<std::string> own = {"postgres", "template1", "reports"};
  EXPECT_TRUE(CheckDatabase("shop", kManaged, own).ok());
  EXPECT_TRUE(CheckDatabase("reports", kManaged, own).ok());
}

TEST(CheckDatabase, RefusesWhatIsNowhere_WithTheNameThatWasMeant) {
  absl::Status refused = CheckDatabase("shp", kManaged, std::vector<std::string>{"postgres"});
  EXPECT_TRUE(absl::IsNotFound(refused));
  EXPECT_EQ(DetailOf(refused)->reason, "UNKNOWN_DATABASE");
  EXPECT_EQ(DetailOf(refused)->hint, "did you mean 'shop'?");
}

TEST(CheckDatabase, WhenPostgresqlCannotBeAsked_LetsItPass) {
  EXPECT_TRUE(CheckDatabase("reports", kManaged, absl::UnavailableError("stopped")).ok());
}

}  // namespace
}  // namespace mg::local
