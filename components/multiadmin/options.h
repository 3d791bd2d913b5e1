/// multiadmin's own flags: authentication, audit and the provisioner. Values after Parse; main thread only.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/flags/flags.h"
#include "components/multiadmin/auth/role.h"

namespace mg::multiadmin {

struct Options {
  std::string auth = "token";
  std::string token_file, audit_dir;
  std::vector<std::string> certificate_roles;
  std::string provisioner;          ///< `unix:/path` or `host:port` of the Provisioner API; empty: there is none
  std::string provisioner_cluster;  ///< name of this cluster there

  void AddTo(flags::FlagSet* flags);
  /// INVALID_ARGUMENT for an unknown word.
  absl::StatusOr<std::map<std::string, Role>> CertificateRoles() const;
};

}  // namespace mg::multiadmin
