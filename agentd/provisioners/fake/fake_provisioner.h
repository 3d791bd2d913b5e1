/// A provisioner for tests: clusters are names in memory, and what a name begins with says how it behaves. Any thread.
///
///   name starts with   what its bring-up does
///   ----------------   ----------------------------------------------------------------------
///   slow               goes on until it is cancelled or its deadline comes
///   broken             fails with a full ErrorDetail
///   unfit              does not pass the preflight
///   none               is not known: NOT_FOUND
///   anything else      is up at once; a second time nothing is to be done
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "agentd/provisioners/contract.h"

namespace mg::provisioners {

class FakeProvisioner : public Provisioner {
 public:
  /// `admin_address` is what AdminAddress gives for every cluster; empty: UNAVAILABLE. `log_directory` holds the logs
  /// of component `etcd`.
  explicit FakeProvisioner(std::string admin_address = "", std::string log_directory = "");

  std::string flavour() const override { return "fake"; }
  absl::StatusOr<v1::ValidateClusterResponse> Validate(const v1::ValidateClusterRequest& request) override;
  absl::StatusOr<v1::PlanClusterResponse> Plan(const v1::PlanClusterRequest& request) override;
  absl::StatusOr<bool> Bootstrap(const v1::BootstrapClusterRequest& request, OperationContext& context) override;
  absl::StatusOr<bool> ProvisionDatabase(const v1::ProvisionDatabaseRequest& request,
                                         OperationContext& context) override;
  absl::Status DeprovisionDatabase(const v1::DeprovisionDatabaseRequest& request, OperationContext& context) override;
  absl::StatusOr<bool> ProvisionComponent(const v1::ProvisionComponentRequest& request,
                                          OperationContext& context) override;
  absl::StatusOr<bool> DeprovisionComponent(const v1::DeprovisionComponentRequest& request,
                                            OperationContext& context) override;
  absl::StatusOr<bool> Teardown(const v1::TeardownClusterRequest& request, OperationContext& context) override;
  absl::StatusOr<v1::ListClusterDataResponse> ListData(const v1::ListClusterDataRequest& request) override;
  absl::StatusOr<v1::ClusterStatus> Status(const v1::GetClusterStatusRequest& request, absl::Time deadline) override;
  std::vector<ClusterInfo> Clusters() override;
  absl::StatusOr<ClusterInfo> Resolve(const v1::ClusterSelector& cluster) override;
  absl::StatusOr<ClusterInfo> Register(const v1::ClusterSelector& cluster, int cells) override;
  absl::StatusOr<std::vector<LogSource>> LogSources(const v1::ClusterSelector& cluster) override;
  absl::StatusOr<Connection> GetConnection(const v1::ClusterSelector& cluster, const std::string& cell,
                                           const std::string& database, bool read_only) override;
  absl::StatusOr<std::string> AdminAddress(const v1::ClusterSelector& cluster) override;
  absl::StatusOr<std::string> AdminToken(const v1::ClusterSelector& cluster) override;
  absl::Status Recover() override;
  absl::StatusOr<std::vector<v1::ComponentSpec>> Specs(const v1::ClusterSelector& cluster) override;
  absl::StatusOr<int> Signal(const v1::ClusterSelector& cluster, const std::string& component, int signal,
                             bool whole_tree) override;

  /// What was called, in order: "validate default", "bootstrap default" …
  std::vector<std::string> calls() const;
  /// The last selector that AdminAddress was asked with.
  v1::ClusterSelector admin_selector() const;

 private:
  void Note(const std::string& call, const v1::ClusterSelector& cluster);
  void Tell(const std::string& cluster, const std::string& component, const std::string& type);

  const std::string admin_address_, log_directory_;
  mutable std::mutex mutex_;
  std::vector<std::string> calls_;
  std::map<std::string, bool> running_;  ///< by name
  v1::ClusterSelector admin_selector_;
};

}  // namespace mg::provisioners
