/// The name of a component as people say it: `kind/cell`, with `/database` behind it for a database that is not the
/// cluster's default one; `etcd` and `multiadmin` stand alone. The only parser of such names. Values; any thread.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace mg::store {

inline constexpr char kEtcd[] = "etcd";
inline constexpr char kMultiadmin[] = "multiadmin";
inline constexpr char kPgctld[] = "pgctld";
inline constexpr char kPostgres[] = "postgres";
inline constexpr char kMultipooler[] = "multipooler";
inline constexpr char kMultiorch[] = "multiorch";
inline constexpr char kMultigateway[] = "multigateway";

/// All kinds, in the order in which they are shown.
const std::vector<std::string>& AllKinds();
/// There is one per cell.
bool IsPerCell(const std::string& kind);

struct ComponentName {
  std::string kind;
  std::string cell;      ///< empty for etcd and multiadmin
  std::string database;  ///< empty: the default one

  bool operator==(const ComponentName&) const = default;
  /// What follows the kind: `zone1`, `zone1/shop`; empty for etcd and multiadmin. It names a place where there is one
  /// of each kind.
  std::string Place() const;
  std::string ToString() const;
  /// INVALID_ARGUMENT says what a name looks like; an unknown kind is NOT_FOUND and lists the kinds.
  static absl::StatusOr<ComponentName> Parse(const std::string& text);
};

/// Every component of a cluster with these cells: etcd, multiadmin, then cell by cell.
std::vector<ComponentName> ComponentsOf(const std::vector<std::string>& cells);

}  // namespace mg::store
