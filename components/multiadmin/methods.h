/// Every unary RPC of the Admin API by its name, whatever it came over: one place that asks who calls, lets the domain
/// act, and writes the audit log. Filled before the first call; then any thread.
#pragma once

#include <google/protobuf/message.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "components/multiadmin/auth/gate.h"

namespace grpc {
class ServerContextBase;
}

namespace mg::multiadmin {

/// Cells that a list call could not read, with the reason; the answer has what the others gave.
using CellErrors = std::vector<std::pair<std::string, std::string>>;

/// `zone2: reason; zone3: reason`, with what may not stand in a header replaced; empty: none. Cut at 2 KB.
std::string ErrorsText(const CellErrors& errors);
/// `zone2,zone3`, likewise: the value of multigres-partial-cells.
std::string ErrorCells(const CellErrors& errors);

/// What a call knows beside its request, and gives beside its answer.
struct CallContext {
  absl::Time deadline;
  Caller caller;
  CellErrors errors;
  const grpc::ServerContextBase* rpc = nullptr;  ///< where it came over gRPC
};

/// How a stream ended: its status, and the failure that its last message told beside a status that is OK.
struct StreamEnd {
  StreamEnd(absl::Status ended) : status(std::move(ended)) {}
  StreamEnd(absl::Status ended, absl::Status failure) : status(std::move(ended)), told(std::move(failure)) {}
  absl::Status status;
  absl::Status told;
};

class Methods {
 public:
  /// `act` is `absl::StatusOr<Response>(const Request&, CallContext*)`. The method must have a row in RpcRules.
  template <typename Request, typename Response, typename Act>
  void Add(const std::string& method, Act act) {
    AddMethod(method, Request::default_instance(), Response::default_instance(),
              [act = std::move(act)](const google::protobuf::Message& request, CallContext* context,
                                     google::protobuf::Message* response) -> absl::Status {
                absl::StatusOr<Response> result = act(static_cast<const Request&>(request), context);
                if (result.ok()) {
                  static_cast<Response&>(*response) = *std::move(result);
                }
                return result.status();
              });
  }

  struct Answer {
    absl::Status status;
    std::unique_ptr<google::protobuf::Message> response;  ///< when the status is OK
    CellErrors errors;
  };

  /// One call, until `wanted` or the end of the method's own limit. `fill` puts the request together, once, when
  /// the caller was admitted or the refusal is to be written down. UNIMPLEMENTED: no such method, or none that this
  /// server has.
  /// `rpc` is the call where it came over gRPC, and outlives this one.
  Answer Call(const std::string& method, const Credentials& credentials, absl::Time wanted,
              const std::function<absl::Status(google::protobuf::Message*)>& fill,
              const grpc::ServerContextBase* rpc = nullptr) const;

  /// One call of a stream that changes something: likewise admitted, bounded and written to the audit log. Whoever
  /// serves the stream hands out its messages.
  absl::Status Stream(const std::string& method, const Credentials& credentials, absl::Time wanted,
                      const google::protobuf::Message& request,
                      const std::function<StreamEnd(absl::Time deadline)>& act) const;

  explicit Methods(Gate* gate, Audit* audit) : gate_(gate), audit_(audit) {}
  Gate* gate() const { return gate_; }

 private:
  using Act = std::function<absl::Status(const google::protobuf::Message&, CallContext*, google::protobuf::Message*)>;
  struct Method {
    const google::protobuf::Message* request;
    const google::protobuf::Message* response;
    Act act;
  };

  void AddMethod(const std::string& method, const google::protobuf::Message& request,
                 const google::protobuf::Message& response, Act act);

  void WriteBeginning(const RpcRule& rule, AuditRecord record) const;

  Gate* const gate_;
  Audit* const audit_;
  std::map<std::string, Method> methods_;
};

}  // namespace mg::multiadmin
