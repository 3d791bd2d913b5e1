/// Who a caller is and whether it may. Any thread; asks nobody, never blocks.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "components/multiadmin/auth/audit.h"
#include "components/multiadmin/auth/rpc_rules.h"
#include "components/multiadmin/auth/token_store.h"

namespace mg::multiadmin {

/// What a call brings along.
struct Credentials {
  std::string authorization;                   ///< the header's value; empty: none
  std::vector<std::string> certificate_names;  ///< common and alternative names of a verified client certificate
  std::string peer;                            ///< its address, without the port
};

/// Who it is.
struct Caller {
  std::string name;
  Role role = multigres::admin::v1::ROLE_UNSPECIFIED;
  multigres::admin::v1::AuthMethod method = multigres::admin::v1::AUTH_METHOD_NONE;
  std::optional<absl::Time> expires;
  std::string peer;
};

/// Counts failed attempts by address: a burst is let through, then one a second.
class FailureLimit {
 public:
  /// Notes a failure; false: too many of late.
  bool Allow(const std::string& peer, absl::Time now);

 private:
  struct Bucket {
    double tokens;
    absl::Time at;
  };
  std::mutex mutex_;
  std::map<std::string, Bucket> buckets_;
};

class Gate {
 public:
  struct Options {
    bool ask = true;                                     ///< false: everybody is admin (--auth=none)
    std::map<std::string, Role> certificate_roles = {};  ///< by exact name
  };
  /// `tokens` may be null when nobody is asked. Both must outlive this.
  Gate(Options options, TokenStore* tokens, Audit* audit);

  /// Who calls. UNAUTHENTICATED; RESOURCE_EXHAUSTED: too many failed attempts from there (who has a good token is let
  /// in all the same: guessing 256 bits is no threat, a flood of failures is).
  absl::StatusOr<Caller> Recognise(const Credentials& credentials);
  /// Who calls, if it may. PERMISSION_DENIED besides. `request` is asked for the request's text when a refusal
  /// of somebody who is known is written to the audit log, and not otherwise: what strangers send is not read.
  absl::StatusOr<Caller> Admit(const RpcRule& rule, const Credentials& credentials,
                               const std::function<std::string()>& request = {});
  /// For pages: whoever is known may read them.
  absl::Status AdmitPage(const std::string& what, Role role, const Credentials& credentials);
  bool asks() const { return options_.ask; }

 private:
  const Options options_;
  TokenStore* const tokens_;
  Audit* const audit_;
  FailureLimit failures_;
};

}  // namespace mg::multiadmin
