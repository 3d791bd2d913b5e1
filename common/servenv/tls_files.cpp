#include "common/servenv/tls_files.h"

#include "absl/strings/str_cat.h"
#include "common/log/log.h"

namespace mg::servenv {

namespace ssl = boost::asio::ssl;

absl::Status TlsFiles::Load() {
  stamps_.Changed();
  return Read();
}

absl::Status TlsFiles::Read() {
  auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  boost::system::error_code error;
  auto failed = [&](const std::string& path) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", error.message()));
  };
  if (context->set_options(ssl::context::default_workarounds | ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1,
                           error);
      error) {
    return failed("TLS");
  }
  if (context->use_certificate_chain_file(certificate_, error); error) {
    return failed(certificate_);
  }
  // Refused where it is not the certificate's.
  if (context->use_private_key_file(key_, ssl::context::pem, error); error) {
    return failed(key_);
  }
  context_ = std::move(context);
  return absl::OkStatus();
}

std::shared_ptr<ssl::context> TlsFiles::Current() {
  if (stamps_.Changed()) {
    if (absl::Status status = Read(); status.ok()) {
      log::Info("the certificate was renewed", {{"file", certificate_}});
    } else {
      log::Warn("a renewed certificate cannot be used", {{"error", status.message()}});
    }
  }
  return context_;
}

}  // namespace mg::servenv
