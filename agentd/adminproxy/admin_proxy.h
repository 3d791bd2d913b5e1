/// Forwards the Admin API, byte for byte, to the Admin API of the cluster that a call's metadata names. Every method
/// below /multiadmin.MultiadminService/ and below any service of package multigres.admin.v1 goes through, known here or
/// not, unary or streaming; deadline, cancellation, metadata, status and its details are kept. Knows no message type.
///
///   metadata                       names the cluster as ClusterSelector does
///   ----------------------------   -----------------------------------------
///   multigres-cluster              name
///   multigres-config-path          configuration file
///   multigres-working-directory    the caller's directory
///   multigres-home-explicit        true or absent
///
/// Each may also come with -bin appended, for values that are not printable ASCII. None of them: the default cluster.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "multigres/provisioner/v1/provisioner.pb.h"

namespace grpc {
class CallbackGenericService;
}

namespace mg::adminproxy {

class AdminProxy {
 public:
  /// Where a cluster's Admin API is, and what the agent shows there.
  struct Target {
    std::string address;  ///< host:port
    std::string token;    ///< added to calls that bring no authorization of their own; empty: none
  };
  /// May block.
  using Resolve = std::function<absl::StatusOr<Target>(const multigres::provisioner::v1::ClusterSelector&)>;
  /// Runs a task that may block.
  using Execute = std::function<void(std::function<void()>)>;

  AdminProxy(Resolve resolve, Execute execute);
  /// After the server that serves it has shut down.
  ~AdminProxy();

  /// To register at a server; owned here.
  grpc::CallbackGenericService* service();

  /// Whether a method, as /package.Service/Method, is one that is forwarded.
  static bool Forwards(const std::string& method);

 private:
  class Service;
  std::unique_ptr<Service> service_;
};

}  // namespace mg::adminproxy
