#include "common/topology/source_plan.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace mg::topology {
namespace {

/// The directory that holds both; each has a slash at its end.
std::string CommonDirectory(const std::string& a, const std::string& b) {
  auto differs = std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first;
  std::string same(a.begin(), differs);
  std::size_t slash = same.rfind('/');
  return slash == std::string::npos ? "/" : same.substr(0, slash + 1);
}

/// Its parent directory, so that the next cell beside it needs no other watch; but not a whole etcd for one cell.
std::string FirstDirectory(const std::string& root) {
  std::string own = JoinPath(root, "");
  std::string parent = own.substr(0, own.rfind('/', own.size() - 2) + 1);
  return parent.size() > 1 ? parent : own;
}

}  // namespace

std::string JoinPath(absl::string_view root, absl::string_view relative) {
  while (absl::ConsumeSuffix(&root, "/")) {
  }
  return absl::StrCat(root, "/", relative);
}

std::vector<std::string> SortedAddresses(std::vector<std::string> addresses) {
  std::sort(addresses.begin(), addresses.end());
  return addresses;
}

bool SourcePlan::Put(const std::string& cell, const Addresses& addresses, const std::string& root) {
  auto [known, fresh] = cells_.try_emplace(cell, addresses, root);
  if (!fresh && known->second == std::make_pair(addresses, root)) {
    return false;
  }
  bool changed = !fresh && Erase(cell);
  cells_[cell] = {addresses, root};
  etcds_[addresses].roots[cell] = root;
  auto place = wanted_.find(addresses);
  if (place == wanted_.end()) {
    if (wanted_.size() >= limit_) {
      ++left_out_;
      return changed;
    }
    wanted_[addresses] = FirstDirectory(root);
    return true;
  }
  std::string wider = CommonDirectory(place->second, JoinPath(root, ""));
  changed |= wider != place->second;
  place->second = std::move(wider);
  return changed;
}

bool SourcePlan::Erase(const std::string& cell) {
  auto known = cells_.find(cell);
  if (known == cells_.end()) {
    return false;
  }
  Addresses addresses = std::move(known->second.first);
  cells_.erase(known);
  auto etcd = etcds_.find(addresses);
  etcd->second.roots.erase(cell);
  bool followed = wanted_.contains(addresses);
  left_out_ -= followed ? 0 : 1;
  if (!etcd->second.roots.empty()) {
    return false;
  }
  etcds_.erase(etcd);
  if (!followed) {
    return false;
  }
  wanted_.erase(addresses);
  // Its place is for one that had none.
  auto next = std::find_if(etcds_.begin(), etcds_.end(), [this](const auto& e) { return !wanted_.contains(e.first); });
  if (next != etcds_.end()) {
    std::string directory = FirstDirectory(next->second.roots.begin()->second);
    for (const auto& [name, root] : next->second.roots) {
      directory = CommonDirectory(directory, JoinPath(root, ""));
    }
    wanted_[next->first] = std::move(directory);
    left_out_ -= next->second.roots.size();
  }
  return true;
}

std::vector<std::string> SourcePlan::cells() const {
  std::vector<std::string> names;
  names.reserve(cells_.size());
  for (const auto& [name, place] : cells_) {
    names.push_back(name);
  }
  return names;
}

}  // namespace mg::topology
