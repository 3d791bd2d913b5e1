#include "common/servenv/pages.h"

#include <mutex>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/version/version.h"

namespace mg::servenv {
namespace {

constexpr char kHtml[] = "text/html; charset=utf-8";
constexpr char kJson[] = "application/json";

HttpResponse Html(int status, const std::string& body) {
  return {.status = status,
          .content_type = kHtml,
          .body = absl::StrCat("<!doctype html><html><body>", body, "</body></html>\n")};
}

}  // namespace

std::string EscapeHtml(const std::string& text) {
  return absl::StrReplaceAll(text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}});
}

std::string JsonString(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') {
      absl::StrAppend(&out, "\\", std::string(1, c));
    } else if (static_cast<unsigned char>(c) < 0x20) {
      absl::StrAppend(&out, "\\u", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad4));
    } else {
      out += c;
    }
  }
  return out + "\"";
}

void Pages::Add(const std::string& method, const std::string& path, HttpHandler handler) {
  std::unique_lock lock(mutex_);
  routes_.insert(routes_.begin(), {method, path, std::move(handler)});
}

void Pages::SetGuard(std::function<std::optional<HttpResponse>(const HttpRequest&)> guard) {
  std::unique_lock lock(mutex_);
  guard_ = std::move(guard);
}

void Pages::SetStatus(std::function<std::string()> page) {
  std::unique_lock lock(mutex_);
  status_ = std::move(page);
}

void Pages::SetReady(std::function<bool()> ready) {
  std::unique_lock lock(mutex_);
  ready_ = std::move(ready);
}

void Pages::SetConfig(std::function<std::vector<std::pair<std::string, std::string>>()> values) {
  std::unique_lock lock(mutex_);
  config_ = std::move(values);
}

HttpResponse Pages::Config(const HttpRequest& request) const {
  auto values = config_ ? config_() : std::vector<std::pair<std::string, std::string>>();
  auto format = request.query.find("format");
  if (format != request.query.end()) {
    // As upstream: any other format is an empty answer.
    if (format->second != "json") {
      return {};
    }
    std::string fields;
    for (const auto& [name, value] : values) {
      absl::StrAppend(&fields, fields.empty() ? "" : ",", JsonString(name), ":", JsonString(value));
    }
    return {.content_type = kJson,
            .body = absl::StrCat("{\"command_line_flags\":{", fields, "},\"viper_config\":{", fields, "}}\n")};
  }
  std::string rows;
  for (const auto& [name, value] : values) {
    absl::StrAppend(&rows, "<tr><td>", EscapeHtml(name), "</td><td>", EscapeHtml(value), "</td></tr>");
  }
  return Html(200, absl::StrCat("<table>", rows, "</table>"));
}

HttpResponse Pages::Find(const HttpRequest& request) const {
  std::shared_lock lock(mutex_);
  for (const Route& route : routes_) {
    bool matches = absl::EndsWith(route.path, "*")
                       ? absl::StartsWith(request.path, route.path.substr(0, route.path.size() - 1))
                       : request.path == route.path;
    if (matches && (route.method == "*" || route.method == request.method)) {
      HttpHandler handler = route.handler;
      lock.unlock();
      return handler(request);
    }
  }
  if (request.path == "/live") {
    return Html(200, "ok");
  }
  if (request.path == "/ready") {
    auto ready = ready_;
    lock.unlock();
    return !ready || ready() ? Html(200, "ok") : Html(503, "not ok");
  }
  if (request.path == "/config") {
    return Config(request);
  }
  if (request.path == "/version") {
    return {.content_type = kJson,
            .body = absl::StrCat("{\"revision\":", JsonString(kVersion),
                                 ",\"modified\":false,\"main_path\":\"multigres\"}\n")};
  }
  if (status_) {
    auto page = status_;
    lock.unlock();
    return Html(200, page());
  }
  return {.status = 404, .body = "404 page not found\n"};
}

HttpResponse Pages::Answer(const HttpRequest& request) const {
  std::optional<HttpResponse> refused;
  if (request.method != "OPTIONS" && request.path != "/live" && request.path != "/ready") {
    std::shared_lock lock(mutex_);
    auto guard = guard_;
    lock.unlock();
    refused = guard ? guard(request) : std::nullopt;
  }
  HttpResponse response = request.method == "OPTIONS" ? HttpResponse{.status = 204}
                          : refused.has_value()       ? *std::move(refused)
                                                      : Find(request);
  response.headers.emplace("Access-Control-Allow-Origin", "*");
  response.headers.emplace("Access-Control-Allow-Methods", "GET, POST, PUT, DELETE, OPTIONS");
  // A star would not stand for Authorization. The last two are the Connect protocol's.
  response.headers.emplace("Access-Control-Allow-Headers",
                           "Content-Type, Authorization, Connect-Protocol-Version, Connect-Timeout-Ms");
  return response;
}

}  // namespace mg::servenv
