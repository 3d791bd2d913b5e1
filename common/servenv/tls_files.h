/// A certificate and its key in files, which may be renewed while a server runs.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "common/servenv/file_stamps.h"

namespace mg::servenv {

/// For one thread, but that what Current gave may be used by any. TLS 1.2 is the least.
class TlsFiles {
 public:
  /// PEM files.
  TlsFiles(std::string certificate, std::string key)
      : certificate_(std::move(certificate)), key_(std::move(key)), stamps_({certificate_, key_}) {}

  /// Reads both; what is wrong with them.
  absl::Status Load();
  /// What the files hold now. Files that cannot be used, as in the midst of a renewal, leave it as it was. Not before a
  /// Load that went well.
  std::shared_ptr<boost::asio::ssl::context> Current();

 private:
  absl::Status Read();

  const std::string certificate_, key_;
  FileStamps stamps_;
  std::shared_ptr<boost::asio::ssl::context> context_;
};

}  // namespace mg::servenv
