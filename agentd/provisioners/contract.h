/// The Provisioner contract inside the agent: provisioner.proto as a C++ interface. Its messages are the values of
/// both, so that every flavour, in this process or behind a socket, means the same thing by them. Every call may come
/// from any thread and blocks until it is done; long ones obey the OperationContext.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "multigres/provisioner/v1/provisioner.pb.h"

namespace mg::provisioners {

namespace v1 = multigres::provisioner::v1;

/// Cancellation of one operation: set once, observable by a blocking wait (a descriptor that becomes readable) or a
/// look.
class CancelToken {
 public:
  CancelToken();
  ~CancelToken();
  CancelToken(const CancelToken&) = delete;
  CancelToken& operator=(const CancelToken&) = delete;
  void Cancel();
  bool cancelled() const;
  int fd() const;  ///< readable once cancelled; for poll
  /// Waits until `deadline` or the cancellation; true when cancelled.
  bool WaitUntil(absl::Time deadline) const;

 private:
  int fd_ = -1;
  std::atomic<bool> cancelled_ = false;
};

/// What a long call gets: where its news goes, when it must be over, and whether it was called off.
struct OperationContext {
  std::string operation_id;
  absl::Time deadline;
  CancelToken* cancel = nullptr;                      ///< never null in the agent
  std::function<void(const v1::StepProgress&)> step;  ///< any thread, calls are serialised by the receiver
  std::function<void(const std::string&)> message;
  std::function<void(const v1::FaultReport&)> fault;  ///< what an injected fault did
};

class Provisioner {
 public:
  virtual ~Provisioner() = default;
  virtual std::string flavour() const = 0;

  virtual absl::StatusOr<v1::ValidateClusterResponse> Validate(const v1::ValidateClusterRequest& request) = 0;
  virtual absl::StatusOr<v1::PlanClusterResponse> Plan(const v1::PlanClusterRequest& request) = 0;
  /// True in the result: nothing had to be done.
  virtual absl::StatusOr<bool> Bootstrap(const v1::BootstrapClusterRequest& request, OperationContext& context) = 0;
  virtual absl::StatusOr<bool> ProvisionDatabase(const v1::ProvisionDatabaseRequest& request,
                                                 OperationContext& context) = 0;
  virtual absl::Status DeprovisionDatabase(const v1::DeprovisionDatabaseRequest& request,
                                           OperationContext& context) = 0;
  /// What DeprovisionDatabase would take away. UNIMPLEMENTED by a flavour of one database.
  virtual absl::StatusOr<v1::ListDatabaseDataResponse> ListDatabaseData(const v1::ListDatabaseDataRequest& request);
  /// Bootstrap, then ProvisionDatabase of the default database. A flavour that can do parts of both at once does.
  virtual absl::StatusOr<bool> BringUp(const v1::BootstrapClusterRequest& request, OperationContext& context);
  virtual absl::StatusOr<bool> ProvisionComponent(const v1::ProvisionComponentRequest& request,
                                                  OperationContext& context) = 0;
  virtual absl::StatusOr<bool> DeprovisionComponent(const v1::DeprovisionComponentRequest& request,
                                                    OperationContext& context) = 0;
  virtual absl::StatusOr<bool> Teardown(const v1::TeardownClusterRequest& request, OperationContext& context) = 0;
  virtual absl::StatusOr<v1::ListClusterDataResponse> ListData(const v1::ListClusterDataRequest& request) = 0;
  /// Probes everything now; whole call bounded by `deadline`.
  virtual absl::StatusOr<v1::ClusterStatus> Status(const v1::GetClusterStatusRequest& request, absl::Time deadline) = 0;

  // What the agent needs beyond the wire contract.
  struct ClusterInfo {
    std::string name, cluster_id, root_dir, config_file;
    int cells = 0;
    absl::Time started_at = absl::InfinitePast();
  };
  struct LogSource {
    std::string component, directory;
  };
  struct Connection {
    std::string host, user, database, passfile, psql;
    int port = 0;
  };
  virtual std::vector<ClusterInfo> Clusters() = 0;
  virtual absl::StatusOr<ClusterInfo> Resolve(const v1::ClusterSelector& cluster) = 0;
  virtual absl::StatusOr<ClusterInfo> Register(const v1::ClusterSelector& cluster, int cells) = 0;
  virtual absl::StatusOr<std::vector<LogSource>> LogSources(const v1::ClusterSelector& cluster) = 0;
  /// NOT_FOUND for a cell or a database that is not there; empty: the first, the default one.
  virtual absl::StatusOr<Connection> GetConnection(const v1::ClusterSelector& cluster, const std::string& cell,
                                                   const std::string& database, bool read_only) = 0;
  /// host:port of the Admin API.
  virtual absl::StatusOr<std::string> AdminAddress(const v1::ClusterSelector& cluster) = 0;
  /// The bearer token that the agent shows there; empty: the Admin API asks for none.
  virtual absl::StatusOr<std::string> AdminToken(const v1::ClusterSelector& cluster) = 0;
  /// Adopts what runs after a start of the agent; before any other call.
  virtual absl::Status Recover() = 0;

  /// What every component of a cluster needs and how it is asked, as far as the record says.
  virtual absl::StatusOr<std::vector<v1::ComponentSpec>> Specs(const v1::ClusterSelector& cluster) = 0;
  /// Sends a signal to a component's process, or to its whole tree; the pid. FAILED_PRECONDITION when it does not run.
  virtual absl::StatusOr<int> Signal(const v1::ClusterSelector& cluster, const std::string& component, int signal,
                                     bool whole_tree) = 0;

  /// Injects a fault, measures what clients notice, undoes it whatever happens, and tells the report.
  /// FAILED_PRECONDITION where a flavour does not do that.
  virtual absl::Status InjectFault(const v1::InjectFaultRequest& request, OperationContext& context);

  /// What an agent that died left half done, and its successor should finish; after Recover.
  struct Unfinished {
    ClusterInfo cluster;
    std::string kind;  ///< up, down, clean, restart
  };
  virtual std::vector<Unfinished> FindUnfinished() { return {}; }

  /// Events out (transitions, starts, exits, adoptions): set once before Recover; any thread.
  struct Event {
    std::string cluster, component, type, message;
    absl::Duration duration = absl::ZeroDuration();
  };
  std::function<void(const Event&)> on_event;
};

}  // namespace mg::provisioners
