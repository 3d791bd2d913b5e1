#include "components/multiadmin/http_api.h"

#include <google/protobuf/util/json_util.h>

#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/log/log.h"

namespace mg::multiadmin {
namespace {

using servenv::HttpRequest;
using servenv::HttpResponse;
constexpr char kJson[] = "application/json";
constexpr absl::Duration kLimit = absl::Seconds(30);
constexpr absl::Duration kLongLimit = absl::Hours(1);

int HttpStatusOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
      return 400;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kAborted:
      return 409;
    case absl::StatusCode::kResourceExhausted:
      return 429;
    case absl::StatusCode::kCancelled:
      return 499;
    case absl::StatusCode::kUnimplemented:
      return 501;
    case absl::StatusCode::kUnavailable:
      return 503;
    case absl::StatusCode::kDeadlineExceeded:
      return 504;
    default:
      return 500;
  }
}

/// The Connect protocol's words for codes.
std::string ConnectWord(absl::StatusCode code) {
  std::string word = absl::StatusCodeToString(code);
  for (char& c : word) {
    c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  }
  return word == "cancelled" ? "canceled" : word;
}

std::string Quote(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
    }
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + "\"";
}

HttpResponse RestError(const absl::Status& status) {
  return {.status = HttpStatusOf(status.code()),
          .content_type = kJson,
          .body = absl::StrCat("{\"code\":", static_cast<int>(status.code()),
                               ",\"message\":", Quote(std::string(status.message())), ",\"details\":[]}\n")};
}

HttpResponse ConnectError(const absl::Status& status) {
  return {.status = HttpStatusOf(status.code()),
          .content_type = kJson,
          .body = absl::StrCat("{\"code\":", Quote(ConnectWord(status.code())),
                               ",\"message\":", Quote(std::string(status.message())), "}\n")};
}

/// One call: from a request message to an answer, by the method's name.
class Dispatcher {
 public:
  Dispatcher(Admin* admin, Backups* backups) : admin_(admin), backups_(backups) {}

  /// `fill` puts the request together; the result is the JSON of the answer.
  absl::StatusOr<std::string> Call(const std::string& method,
                                   const std::function<absl::Status(google::protobuf::Message*)>& fill,
                                   CellErrors* errors) {
    absl::Time deadline = absl::Now() + kLimit;
    if (method == "GetCell") {
      return Run<pb::GetCellRequest>(fill, [&](const auto& r) { return admin_->GetCell(r, deadline); });
    }
    if (method == "GetCellNames") {
      return Run<pb::GetCellNamesRequest>(fill, [&](const auto&) { return admin_->GetCellNames(deadline); });
    }
    if (method == "GetDatabase") {
      return Run<pb::GetDatabaseRequest>(fill, [&](const auto& r) { return admin_->GetDatabase(r, deadline); });
    }
    if (method == "GetDatabaseNames") {
      return Run<pb::GetDatabaseNamesRequest>(fill, [&](const auto&) { return admin_->GetDatabaseNames(deadline); });
    }
    if (method == "GetGateways") {
      return Run<pb::GetGatewaysRequest>(fill, [&](const auto& r) { return admin_->GetGateways(r, deadline, errors); });
    }
    if (method == "GetPoolers") {
      return Run<pb::GetPoolersRequest>(fill, [&](const auto& r) { return admin_->GetPoolers(r, deadline, errors); });
    }
    if (method == "GetOrchs") {
      return Run<pb::GetOrchsRequest>(fill, [&](const auto& r) { return admin_->GetOrchs(r, deadline, errors); });
    }
    if (method == "GetPoolerStatus") {
      return Run<pb::GetPoolerStatusRequest>(fill, [&](const auto& r) { return admin_->GetPoolerStatus(r, deadline); });
    }
    if (method == "SetPostgresRestartsEnabled") {
      return Run<pb::SetPostgresRestartsEnabledRequest>(
          fill, [&](const auto& r) { return admin_->SetRestarts(r, deadline); });
    }
    if (method == "SwitchPrimary") {
      return Run<pb::SwitchPrimaryRequest>(fill, [&](const auto& r) { return admin_->SwitchPrimary(r, deadline); });
    }
    if (method == "Backup") {
      return Run<pb::BackupRequest>(fill, [&](const auto& r) { return backups_->Backup(r, deadline); });
    }
    if (method == "GetBackupJobStatus") {
      return Run<pb::GetBackupJobStatusRequest>(fill, [&](const auto& r) { return backups_->JobStatus(r, deadline); });
    }
    if (method == "GetBackups") {
      return Run<pb::GetBackupsRequest>(fill, [&](const auto& r) { return backups_->List(r, deadline); });
    }
    if (method == "ExpireBackups") {
      return Run<pb::ExpireBackupsRequest>(
          fill, [&](const auto& r) { return backups_->Expire(r, absl::Now() + kLongLimit); });
    }
    if (method == "VerifyBackups") {
      return Run<pb::VerifyBackupsRequest>(
          fill, [&](const auto& r) { return backups_->Verify(r, absl::Now() + kLongLimit); });
    }
    return absl::UnimplementedError(absl::StrCat("method ", method, " is not implemented"));
  }

 private:
  template <typename Request, typename Act>
  absl::StatusOr<std::string> Run(const std::function<absl::Status(google::protobuf::Message*)>& fill, Act act) {
    Request request;
    if (absl::Status filled = fill(&request); !filled.ok()) {
      return filled;
    }
    auto response = act(request);
    if (!response.ok()) {
      return response.status();
    }
    std::string json;
    if (!google::protobuf::util::MessageToJsonString(*response, &json).ok()) {
      return absl::InternalError("the answer cannot be written as JSON");
    }
    return json + "\n";
  }

  Admin* admin_;
  Backups* backups_;
};

absl::Status ParseJson(const std::string& body, google::protobuf::Message* message) {
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  auto parsed = google::protobuf::util::JsonStringToMessage(body.empty() ? "{}" : body, message, options);
  return parsed.ok()
             ? absl::OkStatus()
             : absl::InvalidArgumentError(absl::StrCat("the body is not JSON of the request: ", parsed.ToString()));
}

/// Query parameters and path parameters as fields of a request, by reflection: strings, and repeated strings.
absl::Status SetField(google::protobuf::Message* message, const std::string& path, const std::string& value) {
  std::vector<std::string> parts = absl::StrSplit(path, '.');
  for (size_t i = 0; i < parts.size(); ++i) {
    const google::protobuf::Descriptor* type = message->GetDescriptor();
    const google::protobuf::FieldDescriptor* field = type->FindFieldByName(parts[i]);
    field = field == nullptr ? type->FindFieldByCamelcaseName(parts[i]) : field;
    if (field == nullptr) {
      return absl::OkStatus();  // unknown parameters are ignored, as upstream's transcoder does
    }
    const google::protobuf::Reflection* reflection = message->GetReflection();
    if (field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE && i + 1 < parts.size()) {
      message = reflection->MutableMessage(message, field);
      continue;
    }
    if (field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_UINT32 && !field->is_repeated()) {
      std::uint32_t number = 0;
      if (!absl::SimpleAtoi(value, &number)) {
        return absl::InvalidArgumentError(absl::StrCat("parameter ", path, " '", value, "' is not a number"));
      }
      reflection->SetUInt32(message, field, number);
      return absl::OkStatus();
    }
    if (field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_STRING) {
      return absl::InvalidArgumentError(absl::StrCat("parameter ", path, " cannot be given in the address"));
    }
    if (field->is_repeated()) {
      reflection->AddString(message, field, value);
    } else {
      reflection->SetString(message, field, value);
    }
    return absl::OkStatus();
  }
  return absl::OkStatus();
}

struct Route {
  std::string http_method, path, method;  ///< path segments in braces are fields
};

const std::vector<Route>& Routes() {
  static const auto* const kRoutes = new std::vector<Route>{
      {"GET", "cells", "GetCellNames"},
      {"GET", "cells/{name}", "GetCell"},
      {"GET", "databases", "GetDatabaseNames"},
      {"GET", "databases/{name}", "GetDatabase"},
      {"GET", "gateways", "GetGateways"},
      {"GET", "poolers", "GetPoolers"},
      {"GET", "orchs", "GetOrchs"},
      {"GET", "poolers/{pooler_id.cell}/{pooler_id.name}/status", "GetPoolerStatus"},
      {"POST", "poolers/{pooler_id.cell}/{pooler_id.name}/postgres-restarts", "SetPostgresRestartsEnabled"},
      {"GET", "gateways/{gateway_id.cell}/{gateway_id.name}/queries", "GetGatewayQueries"},
      {"GET", "gateways/{gateway_id.cell}/{gateway_id.name}/consolidator", "GetGatewayConsolidator"},
      {"GET", "backups", "GetBackups"},
      {"POST", "backups", "Backup"},
      {"POST", "backups/expire", "ExpireBackups"},
      {"POST", "backups/verify", "VerifyBackups"},
      {"GET", "jobs/{job_id}", "GetBackupJobStatus"},
      {"POST", "shards/{shard_key.database}/{shard_key.table_group}/{shard_key.shard}/rule-change",
       "ApplyCertifiedRuleChange"},
      {"POST", "shards/{shard_key.database}/{shard_key.table_group}/{shard_key.shard}/switch-primary", "SwitchPrimary"},
  };
  return *kRoutes;
}

bool Match(const std::string& pattern, const std::string& path,
           std::vector<std::pair<std::string, std::string>>* fields) {
  std::vector<std::string> wanted = absl::StrSplit(pattern, '/'), given = absl::StrSplit(path, '/');
  if (wanted.size() != given.size()) {
    return false;
  }
  fields->clear();
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (absl::StartsWith(wanted[i], "{")) {
      if (given[i].empty()) {
        return false;
      }
      fields->emplace_back(wanted[i].substr(1, wanted[i].size() - 2), given[i]);
    } else if (wanted[i] != given[i]) {
      return false;
    }
  }
  return true;
}

HttpResponse Finish(const absl::StatusOr<std::string>& json, const CellErrors& errors,
                    HttpResponse (*error)(const absl::Status&)) {
  HttpResponse response = json.ok() ? HttpResponse{.content_type = kJson, .body = *json} : error(json.status());
  if (!errors.empty()) {
    log::Warn("a list is incomplete", {{"errors", ErrorsText(errors)}});
    response.headers.emplace("Multigres-Partial-Cells", ErrorCells(errors));
    response.headers.emplace("Multigres-Partial-Errors", ErrorsText(errors));
  }
  return response;
}

HttpResponse Rest(Dispatcher* dispatcher, const HttpRequest& request) {
  std::string path = request.path.substr(std::string("/api/v1/").size());
  bool known_path = false;
  for (const Route& route : Routes()) {
    std::vector<std::pair<std::string, std::string>> fields;
    if (!Match(route.path, path, &fields)) {
      continue;
    }
    known_path = true;
    if (route.http_method != request.method) {
      continue;
    }
    CellErrors errors;
    absl::StatusOr<std::string> json = dispatcher->Call(
        route.method,
        [&](google::protobuf::Message* message) {
          absl::Status status = route.http_method == "POST" ? ParseJson(request.body, message) : absl::OkStatus();
          for (const auto& [name, value] : request.query) {
            status = status.ok() ? SetField(message, name, value) : status;
          }
          for (const auto& [name, value] : fields) {
            status = status.ok() ? SetField(message, name, value) : status;
          }
          return status;
        },
        &errors);
    return Finish(json, errors, RestError);
  }
  return known_path ? HttpResponse{.status = 405, .body = "method not allowed\n"}
                    : HttpResponse{.status = 404, .body = "not found\n"};
}

HttpResponse Connect(Dispatcher* dispatcher, const HttpRequest& request) {
  if (request.method != "POST") {
    return {.status = 405, .body = "method not allowed\n"};
  }
  auto type = request.headers.find("content-type");
  if (type == request.headers.end() || !absl::StartsWith(type->second, kJson)) {
    return {.status = 415, .body = "only application/json is understood here\n"};
  }
  std::string method = request.path.substr(request.path.rfind('/') + 1);
  CellErrors errors;
  absl::StatusOr<std::string> json = dispatcher->Call(
      method, [&](google::protobuf::Message* message) { return ParseJson(request.body, message); }, &errors);
  return Finish(json, errors, ConnectError);
}

}  // namespace

void AddHttpApi(servenv::Server* server, Admin* admin, Backups* backups) {
  auto dispatcher = std::make_shared<Dispatcher>(admin, backups);
  server->AddHttpHandler("*", "/api/*",
                         [](const HttpRequest&) { return HttpResponse{.status = 404, .body = "not found\n"}; });
  server->AddHttpHandler("*", "/api/v1/*",
                         [dispatcher](const HttpRequest& request) { return Rest(dispatcher.get(), request); });
  server->AddHttpHandler("*", "/multiadmin.MultiadminService/*",
                         [dispatcher](const HttpRequest& request) { return Connect(dispatcher.get(), request); });
}

}  // namespace mg::multiadmin
