/// Who may call what: one row for every RPC of the Admin API. The gate, docs/admin-api.md, WhoAmI and the tests of
/// every role with every RPC are made from this table; an RPC without a row is answered to nobody. Pure; any thread.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "components/multiadmin/auth/role.h"

namespace mg::multiadmin {

struct RpcRule {
  absl::string_view method;                  ///< /package.Service/Method
  Role role;                                 ///< the least that may call it
  absl::string_view does;                    ///< one line, for the documentation
  absl::Duration limit = absl::Seconds(30);  ///< how long it may take at most, whatever the caller would wait

  /// Its end may be far away.
  bool takes_long() const { return limit > absl::Seconds(30); }
  /// What changes something is written to the audit log; what only reads is not.
  bool audited() const { return role != multigres::admin::v1::ROLE_VIEWER; }
};

/// In the order of the documentation.
const std::vector<RpcRule>& RpcRules();
/// nullptr: there is no such RPC.
const RpcRule* FindRule(absl::string_view method);
/// docs/admin-api.md.
std::string RulesAsMarkdown();

}  // namespace mg::multiadmin
