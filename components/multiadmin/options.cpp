#include "components/multiadmin/options.h"

#include "absl/strings/str_cat.h"

namespace mg::multiadmin {

void Options::AddTo(flags::FlagSet* flags) {
  flags->Add("auth", &auth, "token: callers show a token or a client certificate; none: everybody is admin");
  flags->Add("auth-token-file", &token_file, "a private file with a token that acts as admin (mgt_...)");
  flags->Add("auth-certificate-roles", &certificate_roles,
             "name=role for client certificates, by common or alternative name; needs --grpc-ca");
  flags->Add("audit-log-dir", &audit_dir, "directory of the audit log; empty: part of the log");
  flags->Add("provisioner", &provisioner,
             "where the Provisioner API is, unix:/path or host:port; empty: no databases on demand");
  flags->Add("provisioner-cluster", &provisioner_cluster, "name of this cluster there");
}

absl::StatusOr<std::map<std::string, Role>> Options::CertificateRoles() const {
  std::map<std::string, Role> roles;
  for (const std::string& entry : certificate_roles) {
    size_t equals = entry.rfind('=');
    Role role =
        equals == std::string::npos ? multigres::admin::v1::ROLE_UNSPECIFIED : ParseRole(entry.substr(equals + 1));
    if (equals == 0 || role == multigres::admin::v1::ROLE_UNSPECIFIED) {
      return absl::InvalidArgumentError(
          absl::StrCat("--auth-certificate-roles: '", entry, "' is not name=viewer, name=operator or name=admin"));
    }
    roles[entry.substr(0, equals)] = role;
  }
  return roles;
}

}  // namespace mg::multiadmin
