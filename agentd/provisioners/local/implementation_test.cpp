#include "agentd/provisioners/local/implementation.h"

#include <gtest/gtest.h>

#include "agentd/store/component_name.h"
#include "common/status/status.h"

namespace mg::local {
namespace {

MachineFacts Debian() {
  MachineFacts facts;
  facts.etcd = "/usr/bin/etcd";
  facts.etcd_version = "3.4.23";
  facts.postgres_major = 15;
  for (const char* kind :
       {store::kMultiadmin, store::kPgctld, store::kMultigateway, store::kMultipooler, store::kMultiorch}) {
    facts.builtin[kind] = std::string("/opt/libexec/multigres/") + kind;
  }
  return facts;
}

MachineFacts WithUpstream() {
  MachineFacts facts = Debian();
  facts.postgres_major = 17;
  facts.pgbackrest_version = "2.57.0";
  for (const auto& [kind, path] : facts.builtin) {
    facts.upstream[kind] = "/usr/local/bin/" + kind;
  }
  return facts;
}

TEST(ChooseImplementations_, OnPlainDebian_TakesBuiltinComponents) {
  absl::StatusOr<Implementations> chosen = ChooseImplementations({}, Debian());
  ASSERT_TRUE(chosen.ok()) << chosen.status();
  EXPECT_EQ(chosen->at(store::kEtcd).word, "debian");
  EXPECT_EQ(chosen->at(store::kMultipooler).word, "builtin");
  EXPECT_EQ(chosen->at(store::kMultipooler).program, "/opt/libexec/multigres/multipooler");
}

TEST(ChooseImplementations_, WhenUpstreamHasAllItNeeds_TakesUpstream) {
  absl::StatusOr<Implementations> chosen = ChooseImplementations({}, WithUpstream());
  ASSERT_TRUE(chosen.ok()) << chosen.status();
  EXPECT_EQ(chosen->at(store::kMultigateway).word, "upstream");
  EXPECT_EQ(chosen->at(store::kPgctld).program, "/usr/local/bin/pgctld");
}

TEST(ChooseImplementations_, WhenSomethingUpstreamNeedsIsMissing_TakesBuiltin) {
  for (int missing = 0; missing < 3; ++missing) {
    MachineFacts facts = WithUpstream();
    if (missing == 0) facts.postgres_major = 16;
    if (missing == 1) facts.pgbackrest_version = "2.56.9";
    if (missing == 2) facts.root = true;
    absl::StatusOr<Implementations> chosen = ChooseImplementations({}, facts);
    ASSERT_TRUE(chosen.ok());
    EXPECT_EQ(chosen->at(store::kMultigateway).word, "builtin") << missing;
    EXPECT_EQ(chosen->at(store::kPgctld).word, "builtin") << missing;
  }
}

TEST(ChooseImplementations_, WhenOneOfTheThreeIsMissing_AllThreeAreBuiltinAndTheOthersMayDiffer) {
  MachineFacts facts = WithUpstream();
  facts.upstream.erase(store::kMultiorch);
  absl::StatusOr<Implementations> chosen = ChooseImplementations({}, facts);
  ASSERT_TRUE(chosen.ok());
  EXPECT_EQ(chosen->at(store::kMultigateway).word, "builtin");
  EXPECT_EQ(chosen->at(store::kMultiadmin).word, "upstream");
}

TEST(ChooseImplementations_, WhenTheFileMixesTheThree_IsInvalid) {
  absl::Status status = ChooseImplementations({{store::kMultigateway, "/x/multigateway"}}, Debian()).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
}

TEST(ChooseImplementations_, WhenAPathNamesOurOwnProgram_ItIsBuiltin) {
  std::string path = "/opt/libexec/multigres/multigateway";
  absl::StatusOr<Implementations> chosen = ChooseImplementations({{store::kMultigateway, path}}, Debian());
  ASSERT_TRUE(chosen.ok()) << chosen.status();
  EXPECT_EQ(chosen->at(store::kMultigateway).word, path);
  EXPECT_TRUE(chosen->at(store::kMultigateway).is_builtin);
}

TEST(ChooseImplementations_, WhenAProgramIsMissing_SaysHowToGetIt) {
  MachineFacts facts = Debian();
  facts.etcd.clear();
  std::optional<ErrorDetail> detail = DetailOf(ChooseImplementations({}, facts).status());
  ASSERT_TRUE(detail);
  EXPECT_EQ(detail->reason, "PROGRAM_MISSING");
  EXPECT_NE(detail->hint.find("apt-get install"), std::string::npos);
  facts = Debian();
  facts.postgres_major = 0;
  EXPECT_EQ(DetailOf(ChooseImplementations({}, facts).status())->reason, "PROGRAM_MISSING");
}

TEST(VersionAtLeast_, ComparesNumbersNotText) {
  EXPECT_TRUE(VersionAtLeast("2.57.0", "2.57"));
  EXPECT_TRUE(VersionAtLeast("2.100", "2.57"));
  EXPECT_FALSE(VersionAtLeast("2.6", "2.57"));
  EXPECT_TRUE(VersionAtLeast("3", "2.57"));
}

}  // namespace
}  // namespace mg::local
