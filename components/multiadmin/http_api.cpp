#include "components/multiadmin/http_api.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "common/rpc/rpc.h"
#include "common/servenv/pages.h"
#include "common/text/utf8.h"
#include "components/multiadmin/grpc_service.h"
#include "google/api/annotations.pb.h"
#include "google/rpc/status.pb.h"
#include "multiadminservice.pb.h"

namespace mg::multiadmin {
namespace {

namespace pb = ::multiadmin;

using servenv::HttpRequest;
using servenv::HttpResponse;
constexpr char kJson[] = "application/json";
/// Nobody holds an HTTP request longer.
constexpr absl::Duration kLimit = absl::Hours(1);

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

absl::Status ToAbsl(const google::protobuf::util::Status& status) {
  return status.ok() ? absl::OkStatus() : absl::InternalError(status.ToString());
}

/// The status as on the wire of gRPC, with its details.
google::rpc::Status WireStatus(const absl::Status& status) {
  google::rpc::Status wire;
  if (!wire.ParseFromString(rpc::EncodeStatus(status))) {
    wire.set_code(static_cast<int>(status.code()));
  }
  return wire;
}

HttpResponse ErrorResponse(const absl::Status& status, std::string body) {
  HttpResponse response{.status = HttpStatusOf(status.code()), .content_type = kJson, .body = std::move(body)};
  if (absl::IsUnauthenticated(status)) {
    response.headers.emplace("WWW-Authenticate", "Bearer realm=\"multigres\"");
  } else if (absl::IsResourceExhausted(status)) {
    response.headers.emplace("Retry-After", "5");
  }
  return response;
}

HttpResponse RestError(const absl::Status& status) {
  google::rpc::Status wire = WireStatus(status);
  std::string details;
  for (const google::protobuf::Any& detail : wire.details()) {
    std::string json;
    if (google::protobuf::util::MessageToJsonString(detail, &json).ok()) {
      absl::StrAppend(&details, details.empty() ? "" : ",", json);
    }
  }
  return ErrorResponse(status, absl::StrCat("{\"code\":", wire.code(), ",\"message\":",
                                            servenv::JsonString(wire.message()), ",\"details\":[", details, "]}\n"));
}

HttpResponse ConnectError(const absl::Status& status) {
  google::rpc::Status wire = WireStatus(status);
  std::string details;
  for (const google::protobuf::Any& detail : wire.details()) {
    std::string value = absl::Base64Escape(detail.value());
    while (absl::EndsWith(value, "=")) {  // the protocol has it without padding
      value.pop_back();
    }
    absl::StrAppend(&details, details.empty() ? "" : ",", "{\"type\":",
                    servenv::JsonString(std::string(absl::StripPrefix(detail.type_url(), "type.googleapis.com/"))),
                    ",\"value\":\"", value, "\"}");
  }
  return ErrorResponse(
      status,
      absl::StrCat("{\"code\":\"", ConnectWord(status.code()), "\",\"message\":", servenv::JsonString(wire.message()),
                   details.empty() ? "" : absl::StrCat(",\"details\":[", details, "]"), "}\n"));
}

absl::Status ParseJson(const std::string& body, google::protobuf::Message* message) {
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  auto parsed = google::protobuf::util::JsonStringToMessage(body.empty() ? "{}" : body, message, options);
  return parsed.ok() ? absl::OkStatus()
                     // Behind the first line is a picture of the place, for terminals.
                     : absl::InvalidArgumentError(
                           absl::StrCat("the body is not JSON of the request: ",
                                        std::string(parsed.message().substr(0, parsed.message().find('\n')))));
}

/// A query or path parameter as a field of a request, by reflection.
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
    bool is_message = field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE;
    if (is_message && !field->is_repeated() && i + 1 < parts.size()) {
      message = reflection->MutableMessage(message, field);
      continue;
    }
    if (is_message || i + 1 < parts.size()) {
      return absl::InvalidArgumentError(absl::StrCat("parameter ", path, " cannot be given in the address"));
    }
    // The JSON of one field: numbers, booleans and enums are read as their words are in a body.
    bool text = field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_STRING ||
                field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_ENUM;
    bool boolean = field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_BOOL;
    if (boolean && value != "true" && value != "false") {
      return absl::InvalidArgumentError(absl::StrCat("parameter ", path, " is neither true nor false"));
    }
    if (text::ToValidUtf8(value) != value) {
      return absl::InvalidArgumentError(absl::StrCat("parameter ", path, " is not UTF-8"));
    }
    if (text && field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_STRING) {
      if (field->is_repeated()) {
        reflection->AddString(message, field, value);
      } else {
        reflection->SetString(message, field, value);
      }
      return absl::OkStatus();
    }
    std::string quoted = boolean ? value : servenv::JsonString(value);
    std::string json = absl::StrCat("{\"", field->json_name(), "\":", field->is_repeated() ? "[" : "", quoted,
                                    field->is_repeated() ? "]" : "", "}");
    std::unique_ptr<google::protobuf::Message> one(message->New());
    if (!google::protobuf::util::JsonStringToMessage(json, one.get()).ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("parameter ", path, " is no ", field->cpp_type_name(), ": ", text::ToValidUtf8(value)));
    }
    message->MergeFrom(*one);
    return absl::OkStatus();
  }
  return absl::OkStatus();
}

/// One of upstream's REST routes, as its contract's HTTP annotations have them.
struct Route {
  std::string http_method, path, method;  ///< path segments in braces are fields
};

const std::vector<Route>& Routes() {
  static const auto* const kRoutes = [] {
    auto* routes = new std::vector<Route>();
    const google::protobuf::ServiceDescriptor* service =
        pb::GetCellRequest::descriptor()->file()->FindServiceByName("MultiadminService");
    for (int i = 0; i < service->method_count(); ++i) {
      const google::protobuf::MethodDescriptor* method = service->method(i);
      const google::api::HttpRule& rule = method->options().GetExtension(google::api::http);
      bool get = rule.pattern_case() == google::api::HttpRule::kGet;
      routes->push_back({.http_method = get ? "GET" : "POST",
                         .path = get ? rule.get() : rule.post(),
                         .method = absl::StrCat("/", service->full_name(), "/", method->name())});
    }
    return routes;
  }();
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

Credentials CredentialsOf(const HttpRequest& request) {
  auto authorization = request.headers.find("authorization");
  return {.authorization = authorization == request.headers.end() ? "" : authorization->second,
          .certificate_names = {},
          .peer = request.peer};
}

HttpResponse Finish(const Methods::Answer& answer, HttpResponse (*error)(const absl::Status&)) {
  HttpResponse response;
  if (answer.status.ok()) {
    response.content_type = kJson;
    absl::Status written = ToAbsl(google::protobuf::util::MessageToJsonString(*answer.response, &response.body));
    if (!written.ok()) {
      return error(absl::InternalError("the answer cannot be written as JSON"));
    }
    response.body += "\n";
  } else {
    response = error(answer.status);
  }
  if (!answer.errors.empty()) {
    response.headers.emplace("Multigres-Partial-Cells", ErrorCells(answer.errors));
    response.headers.emplace("Multigres-Partial-Errors", ErrorsText(answer.errors));
  }
  return response;
}

HttpResponse Rest(const Methods& methods, const HttpRequest& request) {
  bool known_path = false;
  for (const Route& route : Routes()) {
    std::vector<std::pair<std::string, std::string>> fields;
    if (!Match(route.path, request.path, &fields)) {
      continue;
    }
    known_path = true;
    if (route.http_method != request.method) {
      continue;
    }
    return Finish(methods.Call(route.method, CredentialsOf(request), absl::Now() + kLimit,
                               [&](google::protobuf::Message* message) {
                                 absl::Status status =
                                     route.http_method == "POST" ? ParseJson(request.body, message) : absl::OkStatus();
                                 for (const auto& [name, value] : request.query) {
                                   status = status.ok() ? SetField(message, name, value) : status;
                                 }
                                 for (const auto& [name, value] : fields) {
                                   status = status.ok() ? SetField(message, name, value) : status;
                                 }
                                 return status;
                               }),
                  RestError);
  }
  if (!known_path) {
    return RestError(absl::NotFoundError("no call has this path; docs/admin-api.md names them"));
  }
  HttpResponse response =
      RestError(absl::UnimplementedError(absl::StrCat("this path does not take the method ", request.method)));
  response.status = 405;
  return response;
}

/// The client's own limit, in the Connect protocol's header: milliseconds, of at most ten digits.
absl::StatusOr<absl::Time> ConnectDeadline(const HttpRequest& request) {
  auto header = request.headers.find("connect-timeout-ms");
  if (header == request.headers.end()) {
    return absl::Now() + kLimit;
  }
  const std::string& text = header->second;
  std::int64_t milliseconds = 0;
  if (text.size() > 10 || !std::all_of(text.begin(), text.end(), absl::ascii_isdigit) ||
      !absl::SimpleAtoi(text, &milliseconds)) {
    return absl::InvalidArgumentError("Connect-Timeout-Ms is no number of milliseconds");
  }
  return absl::Now() + std::min(absl::Milliseconds(milliseconds), kLimit);
}

/// A client need not name the protocol's version; one of another version would misread the answer.
absl::Status CheckConnectVersion(const HttpRequest& request) {
  auto version = request.headers.find("connect-protocol-version");
  return version == request.headers.end() || version->second == "1"
             ? absl::OkStatus()
             : absl::InvalidArgumentError("Connect-Protocol-Version must be 1");
}

HttpResponse Connect(const Methods& methods, const HttpRequest& request) {
  if (request.method != "POST") {
    HttpResponse response =
        ConnectError(absl::UnimplementedError(absl::StrCat("a call takes POST, not ", request.method)));
    response.status = 405;
    response.headers.emplace("Allow", "POST");
    return response;
  }
  auto type = request.headers.find("content-type");
  if (type == request.headers.end() || !absl::StartsWithIgnoreCase(type->second, kJson)) {
    HttpResponse response = ConnectError(absl::InvalidArgumentError("only application/json is understood here"));
    response.status = 415;
    response.headers.emplace("Accept-Post", kJson);
    return response;
  }
  absl::StatusOr<absl::Time> deadline = ConnectDeadline(request);
  if (absl::Status status = deadline.ok() ? CheckConnectVersion(request) : deadline.status(); !status.ok()) {
    return ConnectError(status);
  }
  return Finish(methods.Call(request.path, CredentialsOf(request), *deadline,
                             [&](google::protobuf::Message* message) { return ParseJson(request.body, message); }),
                ConnectError);
}

bool IsRest(const std::string& path) { return absl::StartsWith(path, "/api/"); }

bool IsConnect(const std::string& path) {
  return absl::StartsWith(path, "/multiadmin.") || absl::StartsWith(path, "/multigres.admin.v1.");
}

/// What the server refused before anybody could be asked, in the API's own form.
void Refuse(const HttpRequest& request, HttpResponse* response) {
  if (!IsRest(request.path) && !IsConnect(request.path)) {
    return;
  }
  const bool large = response->status == 413 || response->status == 431;
  std::string message(absl::StripSuffix(response->body, "\n"));
  absl::Status status = large ? absl::ResourceExhaustedError(message) : absl::InvalidArgumentError(message);
  const int code = response->status;
  *response = IsRest(request.path) ? RestError(status) : ConnectError(status);
  response->status = code;
  response->headers.erase("Retry-After");  // it does not shrink
}

}  // namespace

void AddHttpApi(servenv::Server* server, const Methods* methods) {
  server->SetRefusal(Refuse);
  server->AddHttpHandler("*", "/api/*", [methods](const HttpRequest& request) { return Rest(*methods, request); });
  for (const char* prefix : {"/multiadmin.MultiadminService/*", "/multigres.admin.v1.*"}) {
    server->AddHttpHandler("*", prefix, [methods](const HttpRequest& request) { return Connect(*methods, request); });
  }
}

void AddGuard(servenv::Server* server, const Methods* methods) {
  server->SetGuard([methods](const HttpRequest& request) -> std::optional<HttpResponse> {
    if (IsRest(request.path) || IsConnect(request.path)) {
      return std::nullopt;  // these ask by themselves, each for its own role
    }
    bool reads = request.method == "GET" || request.method == "HEAD";
    Role role = reads ? multigres::admin::v1::ROLE_VIEWER : multigres::admin::v1::ROLE_ADMIN;
    absl::Status admitted = methods->gate()->AdmitPage(request.path, role, CredentialsOf(request));
    return admitted.ok() ? std::nullopt : std::optional<HttpResponse>(RestError(admitted));
  });
  server->SetGrpcGuard([methods](const std::string& method, const grpc::ServerContextBase& context) {
    return methods->gate()->AdmitPage(method, multigres::admin::v1::ROLE_VIEWER, multiadmin::CredentialsOf(context));
  });
}

}  // namespace mg::multiadmin
