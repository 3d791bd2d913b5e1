#include "components/multiadmin/grpc_service.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/impl/rpc_service_method.h>
#include <grpcpp/support/method_handler.h>

#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "common/rpc/rpc.h"
#include "common/status/status.h"
#include "components/multiadmin/database_service.h"
#include "components/multiadmin/restores.h"
#include "components/multiadmin/watch_service.h"

namespace mg::multiadmin {
namespace {

constexpr absl::string_view kTopology = "multigres.admin.v1.TopologyService";
constexpr absl::string_view kBackups = "multigres.admin.v1.BackupService";
constexpr absl::string_view kDatabases = "multigres.admin.v1.DatabaseService";

/// Their services serve them by themselves.
bool IsStream(absl::string_view method) {
  return method == "/multigres.admin.v1.TopologyService/WatchTopology" ||
         method == "/multigres.admin.v1.BackupService/RunRestore" ||
         method == "/multigres.admin.v1.DatabaseService/CreateDatabase" ||
         method == "/multigres.admin.v1.DatabaseService/DeleteDatabase";
}

std::string Text(grpc::string_ref text) { return std::string(text.data(), text.size()); }

/// `ipv4:127.0.0.1:5000` is 127.0.0.1, `ipv6:%5B::1%5D:5000` is ::1.
std::string AddressOf(absl::string_view peer) {
  absl::ConsumePrefix(&peer, "ipv4:");
  if (absl::ConsumePrefix(&peer, "ipv6:")) {
    absl::ConsumePrefix(&peer, "%5B");
    absl::ConsumePrefix(&peer, "[");
    return std::string(peer.substr(0, std::min(peer.find("%5D"), peer.find(']'))));
  }
  return std::string(peer.substr(0, peer.rfind(':')));
}

/// UNAVAILABLE without details is gRPC's own word on the way to here, and not this server's on what it asked.
grpc::Status ToCaller(const absl::Status& status) {
  return rpc::ToGrpc(absl::IsUnavailable(status) && !DetailOf(status).has_value()
                         ? MakeError(status.code(), status.message(), {.reason = "UNAVAILABLE"})
                         : status);
}

using Exchange = grpc::ServerReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer>;

/// A call of one request and one answer. To the server it is a stream: of any other call the whole body, up to 16 MiB,
/// has come in before its token can be looked at.
grpc::Status Serve(const Methods& methods, const std::string& name, grpc::ServerContext* context, Exchange* exchange) {
  absl::Time deadline = absl::FromChrono(context->deadline());
  Methods::Answer answer = methods.Call(
      name, CredentialsOf(*context), deadline,
      [&](google::protobuf::Message* message) -> absl::Status {
        grpc::ByteBuffer buffer;
        if (!exchange->Read(&buffer)) {
          return absl::InvalidArgumentError("there is no request, or it is longer than the server takes");
        }
        grpc::ProtoBufferReader reader(&buffer);
        return message->ParseFromZeroCopyStream(&reader)
                   ? absl::OkStatus()
                   : absl::InvalidArgumentError(absl::StrCat("the body is no ", message->GetDescriptor()->full_name()));
      },
      context);
  // An error needs the room itself; a list that was not made is not partial.
  if (answer.status.ok() && !answer.errors.empty()) {
    context->AddTrailingMetadata("multigres-partial-cells", ErrorCells(answer.errors));
    context->AddTrailingMetadata("multigres-partial-errors", ErrorsText(answer.errors));
  }
  if (!answer.status.ok()) {
    return ToCaller(answer.status);
  }
  bool own = false;
  grpc::ByteBuffer response;
  grpc::Status written =
      grpc::GenericSerialize<grpc::ProtoBufferWriter, google::protobuf::MessageLite>(*answer.response, &response, &own);
  if (written.ok()) {
    exchange->WriteLast(response, grpc::WriteOptions());
  }
  return written;
}

}  // namespace

grpc::Status ServeStream(const Methods& methods, const char* method, const grpc::ServerContext& context,
                         const google::protobuf::Message& request,
                         const std::function<StreamEnd(absl::Time deadline)>& act) {
  if (context.IsCancelled()) {
    return grpc::Status::CANCELLED;
  }
  return ToCaller(methods.Stream(method, CredentialsOf(context), absl::FromChrono(context.deadline()), request, act));
}

Credentials CredentialsOf(const grpc::ServerContextBase& context) {
  Credentials credentials;
  const auto& metadata = context.client_metadata();
  if (auto it = metadata.find("authorization"); it != metadata.end()) {
    credentials.authorization = Text(it->second);
  }
  credentials.peer = AddressOf(context.peer());
  std::shared_ptr<const grpc::AuthContext> auth = context.auth_context();
  if (auth != nullptr && auth->IsPeerAuthenticated()) {
    for (const char* property : {"x509_common_name", "x509_subject_alternative_name"}) {
      for (const grpc::string_ref& name : auth->FindPropertyValues(property)) {
        credentials.certificate_names.push_back(Text(name));
      }
    }
  }
  return credentials;
}

GrpcService::GrpcService(const std::string& name, const Methods* methods) {
  for (const RpcRule& rule : RpcRules()) {
    if (absl::StartsWith(rule.method, absl::StrCat("/", name, "/")) && !IsStream(rule.method)) {
      names_.emplace_back(rule.method);
    }
  }
  using Handler = grpc::internal::BidiStreamingHandler<GrpcService, grpc::ByteBuffer, grpc::ByteBuffer>;
  for (const std::string& method : names_) {
    AddMethod(new grpc::internal::RpcServiceMethod(
        method.c_str(), grpc::internal::RpcMethod::BIDI_STREAMING,
        new Handler([methods, &method](GrpcService*, grpc::ServerContext* context,
                                       Exchange* exchange) { return Serve(*methods, method, context, exchange); },
                    this)));
  }
}

std::vector<std::unique_ptr<grpc::Service>> MakeGrpcServices(const Methods* methods, TopologyCache* cache,
                                                             Databases* databases, Restores* restores) {
  std::set<std::string> names;
  for (const RpcRule& rule : RpcRules()) {
    std::vector<std::string> parts = absl::StrSplit(rule.method, '/');
    names.insert(parts[1]);
  }
  std::vector<std::unique_ptr<grpc::Service>> services;
  services.reserve(names.size());
  for (const std::string& name : names) {
    if (name == kTopology) {
      services.push_back(std::make_unique<TopologyGrpcService>(methods, cache));
    } else if (name == kBackups) {
      services.push_back(std::make_unique<RestoreGrpcService>(methods, restores));
    } else if (name == kDatabases) {
      services.push_back(std::make_unique<DatabaseGrpcService>(methods, databases));
    } else {
      services.push_back(std::make_unique<GrpcService>(name, methods));
    }
  }
  return services;
}

}  // namespace mg::multiadmin
