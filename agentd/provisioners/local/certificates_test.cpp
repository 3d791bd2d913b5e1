#include "agentd/provisioners/local/certificates.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include "common/fs/fs.h"
#include "common/process/helper.h"

namespace mg::local {
namespace {

TEST(EnsureCertificates_, MakesAChainThatVerifiesAndKeepsIt) {
  std::string dir = "/tmp/mg-certs-XXXXXX";
  ASSERT_NE(mkdtemp(dir.data()), nullptr);
  ASSERT_TRUE(EnsureCertificates(dir).ok());
  std::string first = *ReadFile(dir + "/pgbackrest.crt");
  ASSERT_TRUE(EnsureCertificates(dir).ok());
  EXPECT_EQ(*ReadFile(dir + "/pgbackrest.crt"), first);
  EXPECT_EQ(ReadFile(dir + "/ca.key")->rfind("-----BEGIN RSA PRIVATE KEY-----", 0), 0u);
  if (FindProgram("openssl").ok()) {
    absl::StatusOr<HelperResult> result =
        RunHelperOk({.argv = {"openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", dir + "/ca.crt",
                              dir + "/pgbackrest.crt"}});
    EXPECT_TRUE(result.ok()) << result.status();
  }
  EXPECT_TRUE(RemoveTree(dir).ok());
}

}  // namespace
}  // namespace mg::local
