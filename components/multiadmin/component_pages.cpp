#include "components/multiadmin/component_pages.h"

#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/servenv/pages.h"
#include "components/multiadmin/http_relay.h"

namespace mg::multiadmin {
namespace {

using servenv::EscapeHtml;
using servenv::HttpRequest;
using servenv::HttpResponse;

constexpr absl::Duration kLimit = absl::Seconds(10);
constexpr char kHtml[] = "text/html; charset=utf-8";

struct Target {
  std::string host;
  int port = 0;
};

template <typename Record>
Target TargetOf(const Record& record) {
  auto port = record.port_map().find("http");
  return {.host = record.hostname(), .port = port == record.port_map().end() ? 0 : port->second};
}

template <typename Record>
Target Find(const Records<Record>& records, const std::string& name) {
  for (const auto& record : records) {
    if (record->id().name() == name) {
      return TargetOf(*record);
    }
  }
  return {};
}

/// As upstream: at most one of each kind and cell.
template <typename Record>
void AddFirst(const Records<Record>& records, const std::string& word, const std::string& cell, std::string* list) {
  if (records.empty()) {
    return;
  }
  const Record& record = *records[0];
  Target target = TargetOf(record);
  std::string path = EscapeHtml(absl::StrCat("/proxy/", word, "/", cell, "/", record.id().name()));
  absl::StrAppend(list, "<li><a href=\"", path, "\">",
                  EscapeHtml(absl::StrCat(word, " ", cell, "/", record.id().name())), "</a>");
  if (target.port > 0) {
    std::string direct = EscapeHtml(absl::StrCat("http://", target.host, ":", target.port, "/"));
    absl::StrAppend(list, " (<a href=\"", direct, "\">", direct, "</a>)");
  }
  absl::StrAppend(list, "</li>");
}

HttpResponse Services(TopologyCache* cache) {
  std::string list = "<li><a href=\"/proxy/admin/global/multiadmin\">multiadmin</a></li>", problem;
  absl::StatusOr<std::shared_ptr<const TopologyView>> view = cache->Get(absl::Now() + kLimit);
  if (view.ok()) {
    for (const auto& [name, cell] : (*view)->cells) {
      AddFirst(cell.gateways, "gate", name, &list);
      AddFirst(cell.poolers, "pool", name, &list);
      AddFirst(cell.orchs, "orch", name, &list);
    }
  } else {
    problem = absl::StrCat("<p>", EscapeHtml(std::string(view.status().message())), "</p>");
  }
  return {.content_type = kHtml,
          .body = absl::StrCat("<!doctype html><html><head><title>Services</title></head><body><h1>Services</h1>",
                               problem, "<ul>", list, "</ul></body></html>\n")};
}

HttpResponse Plain(int status, const std::string& text) { return {.status = status, .body = text + "\n"}; }

HttpResponse Proxy(TopologyCache* cache, int own_port, const HttpRequest& request) {
  std::vector<std::string> parts = absl::StrSplit(request.path.substr(1), absl::MaxSplits('/', 4));
  if (parts.size() < 4 || parts[1].empty() || parts[2].empty() || parts[3].empty()) {
    return Plain(400, "the form is /proxy/{admin,gate,pool,orch}/{cell}/{name}");
  }
  const std::string &kind = parts[1], &cell_name = parts[2], &name = parts[3];
  std::string prefix = absl::StrCat("/proxy/", kind, "/", cell_name, "/", name);
  Target target;
  if (kind == "admin") {
    target = {.host = "127.0.0.1", .port = own_port};
  } else if (kind == "gate" || kind == "pool" || kind == "orch") {
    absl::StatusOr<std::shared_ptr<const TopologyView>> view = cache->Get(absl::Now() + kLimit);
    if (!view.ok()) {
      return Plain(503, std::string(view.status().message()));
    }
    if (auto cell = (*view)->cells.find(cell_name); cell != (*view)->cells.end()) {
      target = kind == "gate"   ? Find(cell->second.gateways, name)
               : kind == "pool" ? Find(cell->second.poolers, name)
                                : Find(cell->second.orchs, name);
    }
  } else {
    return Plain(404, absl::StrCat("no such kind of component: ", kind));
  }
  if (target.host.empty() || target.port <= 0) {
    return Plain(404, absl::StrCat("no ", kind, " '", cell_name, "/", name, "' with a host and an http port"));
  }
  HttpRequest forwarded = request;
  forwarded.path = parts.size() > 4 ? absl::StrCat("/", parts[4]) : "/";
  if (kind != "admin") {
    forwarded.headers.erase("authorization");  // a token is for multiadmin, not for the others
  }
  absl::StatusOr<HttpResponse> answer = RelayHttp(target.host, target.port, forwarded, absl::Now() + kLimit);
  if (!answer.ok()) {
    return Plain(502, std::string(answer.status().message()));
  }
  if (absl::StartsWith(answer->content_type, "text/html")) {
    answer->body = ThroughProxy(answer->body, prefix);
  }
  return *std::move(answer);
}

}  // namespace

std::string ThroughProxy(const std::string& html, const std::string& prefix) {
  std::string out;
  out.reserve(html.size() + 256);
  bool based = false;
  for (size_t at = 0; at < html.size();) {
    absl::string_view rest = absl::string_view(html).substr(at);
    bool attribute = false;
    for (const char* start : {"href=\"/", "src=\"/", "href='/", "src='/"}) {
      if (absl::StartsWithIgnoreCase(rest, start)) {
        size_t length = std::string(start).size() - 1;
        out.append(rest.data(), length);
        if (!absl::StartsWith(rest.substr(length), "/proxy/") && !absl::StartsWith(rest.substr(length), "//")) {
          out += prefix;
        }
        at += length;
        attribute = true;
        break;
      }
    }
    if (attribute) {
      continue;
    }
    if (!based && absl::StartsWithIgnoreCase(rest, "<head>")) {
      absl::StrAppend(&out, rest.substr(0, 6), "<base href=\"", EscapeHtml(prefix), "/\">");
      at += 6;
      based = true;
      continue;
    }
    out += html[at++];
  }
  return out;
}

void AddComponentPages(servenv::Server* server, TopologyCache* cache) {
  server->AddHttpHandler("GET", "/services", [cache](const HttpRequest&) { return Services(cache); });
  server->AddHttpHandler("*", "/proxy/*", [cache, server](const HttpRequest& request) {
    return Proxy(cache, server->http_port(), request);
  });
}

}  // namespace mg::multiadmin
