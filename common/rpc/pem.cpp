#include "common/rpc/pem.h"

#include <boost/asio/ssl/context.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status/status.h"

namespace mg::rpc {

namespace ssl = boost::asio::ssl;

absl::Status CheckPem(const PemText& certificate, const PemText& key, const PemText& authority) {
  ssl::context context(ssl::context::tls);
  boost::system::error_code error;
  auto failed = [&](const PemText& file, const char* what) {
    return MakeError(
        absl::StatusCode::kInvalidArgument, absl::StrCat(file.path, what, ": ", error.message()),
        {.reason = "BAD_FILE", .hint = "give files in PEM form: a certificate, and the key that it is for"});
  };
  if (!certificate.text.empty()) {
    if (context.use_certificate_chain(boost::asio::buffer(certificate.text), error); error) {
      return failed(certificate, " has no certificate that can be used");
    }
    if (context.use_private_key(boost::asio::buffer(key.text), ssl::context::pem, error); error) {
      return failed(key, absl::StrContains(error.message(), "mismatch") ? " is the key of another certificate"
                                                                        : " has no key that can be used");
    }
  }
  if (!authority.text.empty()) {
    if (context.add_certificate_authority(boost::asio::buffer(authority.text), error); error) {
      return failed(authority, " has no authority's certificate that can be used");
    }
  }
  return absl::OkStatus();
}

}  // namespace mg::rpc
