#include "common/servenv/tls_files.h"

#include "absl/strings/str_cat.h"
#include "common/log/log.h"

namespace mg::servenv {
namespace {

namespace ssl = boost::asio::ssl;

bool Same(const timespec& a, const timespec& b) { return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec; }

timespec ChangedAt(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 ? status.st_mtim : timespec{};
}

}  // namespace

TlsFiles::Stamp TlsFiles::Look() const { return {.certificate = ChangedAt(certificate_), .key = ChangedAt(key_)}; }

absl::Status TlsFiles::Load() {
  const Stamp stamp = Look();
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
  read_ = stamp;
  return absl::OkStatus();
}

std::shared_ptr<ssl::context> TlsFiles::Current() {
  const Stamp now = Look();
  auto same = [&](const Stamp& then) { return Same(now.certificate, then.certificate) && Same(now.key, then.key); };
  if (!same(read_) && !same(refused_)) {
    if (absl::Status status = Load(); status.ok()) {
      log::Info("the certificate was renewed", {{"file", certificate_}});
    } else {
      refused_ = now;
      log::Warn("a renewed certificate cannot be used", {{"error", status.message()}});
    }
  }
  return context_;
}

}  // namespace mg::servenv
