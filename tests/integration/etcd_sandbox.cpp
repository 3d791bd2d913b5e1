#include "tests/integration/etcd_sandbox.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "common/fs/fs.h"
#include "common/process/helper.h"
#include "tests/integration/pgctld_sandbox.h"

namespace mg::tests {

bool EtcdSandbox::Possible() { return FindProgram("etcd").ok(); }

EtcdSandbox::EtcdSandbox() : client_port_(FreePort()), peer_port_(FreePort()) {
  char name[] = "/tmp/mg-etcd-XXXXXX";
  directory_ = ::mkdtemp(name);
  Start();
}

EtcdSandbox::~EtcdSandbox() {
  process_.reset();
  EXPECT_TRUE(RemoveTree(directory_).ok());
}

std::string EtcdSandbox::address() const { return absl::StrCat("127.0.0.1:", client_port_); }

void EtcdSandbox::Start() {
  std::string client = absl::StrCat("http://", address());
  std::string peer = absl::StrCat("http://127.0.0.1:", peer_port_);
  std::vector<std::string> argv = {*FindProgram("etcd"),
                                   "--name=default",
                                   absl::StrCat("--data-dir=", directory_, "/data"),
                                   absl::StrCat("--listen-client-urls=", client),
                                   absl::StrCat("--advertise-client-urls=", client),
                                   absl::StrCat("--listen-peer-urls=", peer),
                                   absl::StrCat("--initial-advertise-peer-urls=", peer),
                                   absl::StrCat("--initial-cluster=default=", peer),
                                   "--log-outputs=stderr",
                                   "--heartbeat-interval=20",
                                   "--election-timeout=100"};
  process_ = std::make_unique<ChildProcess>(argv, directory_ + "/log");
}

void EtcdSandbox::Kill() { process_->Kill(); }

}  // namespace mg::tests
