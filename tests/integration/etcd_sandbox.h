/// A real etcd with a directory and ports of its own, which can be killed and started again. One thread.
#pragma once

#include <memory>
#include <string>

#include "tests/integration/child_process.h"

namespace mg::tests {

class EtcdSandbox {
 public:
  EtcdSandbox();  ///< starts it; not yet ready
  ~EtcdSandbox();
  EtcdSandbox(const EtcdSandbox&) = delete;
  EtcdSandbox& operator=(const EtcdSandbox&) = delete;

  static bool Possible();

  /// With the same data and ports as before.
  void Start();
  /// As a crash would.
  void Kill();
  void Signal(int signal) { process_->Signal(signal); }

  const std::string& directory() const { return directory_; }
  std::string address() const;  ///< host:port for clients

 private:
  std::string directory_;
  int client_port_, peer_port_;
  std::unique_ptr<ChildProcess> process_;
};

}  // namespace mg::tests
