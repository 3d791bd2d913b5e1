/// Which etcds have to be followed for a set of cells, and below which directory of each: many cells usually share one
/// etcd, so that what following costs does not grow with the cells. Not thread-safe.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace mg::topology {

/// Joins as a POSIX path: no doubled and no trailing slashes.
std::string JoinPath(absl::string_view root, absl::string_view relative);
/// The same for the same addresses in any order.
std::vector<std::string> SortedAddresses(std::vector<std::string> addresses);

class SourcePlan {
 public:
  using Addresses = std::vector<std::string>;  ///< as SortedAddresses gives them

  /// Cells may name any addresses, and each etcd costs a connection and a thread: at most `limit` are followed, those
  /// that came first.
  explicit SourcePlan(std::size_t limit) : limit_(limit) {}

  /// A cell is there, or has other addresses or another root. True: wanted() has changed.
  bool Put(const std::string& cell, const Addresses& addresses, const std::string& root);
  /// A cell is gone. True: wanted() has changed.
  bool Erase(const std::string& cell);

  /// The directory to follow, with a slash at its end, by etcd. Grows, and never shrinks while the etcd has a cell.
  const std::map<Addresses, std::string>& wanted() const { return wanted_; }
  /// The names of all cells.
  std::vector<std::string> cells() const;
  /// Cells whose etcd is not followed, because there are too many.
  std::size_t left_out() const { return left_out_; }

 private:
  struct Etcd {
    std::map<std::string, std::string> roots;  ///< by cell
  };

  const std::size_t limit_;
  std::size_t left_out_ = 0;
  std::map<std::string, std::pair<Addresses, std::string>> cells_;  ///< addresses and root
  std::map<Addresses, Etcd> etcds_;
  std::map<Addresses, std::string> wanted_;
};

}  // namespace mg::topology
