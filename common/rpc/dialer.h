/// Channels to servers that may be on other machines: plaintext, or TLS with a client certificate.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace grpc {
class Channel;
class ChannelCredentials;
}  // namespace grpc

namespace mg::rpc {

/// PEM files of a client's TLS, as upstream's flags name them. All empty: plaintext.
struct ClientTls {
  std::string certificate, key;  ///< of the client; both or none
  std::string authority;         ///< whom to trust; empty: the machine's authorities
  /// Where those are, when gRPC cannot find them. Taken as it is: to look at each of them costs 35 ms, and nobody here
  /// has written that file.
  std::string machine_authorities;
  std::string server_name;  ///< expected in the server's certificate; empty: the host that is dialled
  bool require = false;     ///< refuse to speak plaintext

  bool any() const {
    return !certificate.empty() || !key.empty() || !authority.empty() || !machine_authorities.empty() ||
           !server_name.empty();
  }
};

/// Reads the files. nullptr: plaintext. INVALID_ARGUMENT for what does not go together, NOT_FOUND and the like for a
/// file that cannot be read.
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> LoadCredentials(const ClientTls& tls);

/// Makes channels, all secured alike. A value; any thread.
class Dialer {
 public:
  Dialer() = default;  ///< plaintext
  static absl::StatusOr<Dialer> Create(const ClientTls& tls);

  /// `host:port`, or `unix:/path`, which is always plaintext. Otherwise as DialPlain.
  std::shared_ptr<grpc::Channel> Dial(const std::string& target) const;

 private:
  std::shared_ptr<grpc::ChannelCredentials> credentials_;
  std::string server_name_;
};

}  // namespace mg::rpc
