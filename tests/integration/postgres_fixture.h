/// A real PostgreSQL for one test program: own data directory and socket directory under /tmp, no TCP, gone at the end.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/pgsql/connection.h"

namespace mg::testing {

struct PostgresOptions {
  std::string password;               ///< of the superuser, by SCRAM; empty: nobody is asked for one
  std::vector<std::string> settings;  ///< name=value
};

class PostgresFixture {
 public:
  /// nullptr when this machine has no PostgreSQL.
  static std::unique_ptr<PostgresFixture> Start(const PostgresOptions& options = {});
  ~PostgresFixture();

  /// As the superuser; fails the test and returns nullptr when it cannot.
  std::unique_ptr<pgsql::Connection> Connect() const;
  pgsql::ConnectOptions options() const;
  const std::string& directory() const { return directory_; }
  const std::string& binaries() const { return binaries_; }

 private:
  explicit PostgresFixture(std::string directory);
  std::string directory_;
  std::string binaries_;
  std::string run_as_;
  std::string password_;
  bool running_ = false;
};

}  // namespace mg::testing
