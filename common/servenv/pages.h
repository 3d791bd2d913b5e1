/// The HTTP pages of every component and those it adds: /live, /ready, /config, /version, /, CORS. Any thread.
#pragma once

#include <functional>
#include <optional>
#include <shared_mutex>
#include <string>
#include <utility>
#include <vector>

#include "common/servenv/servenv.h"

namespace mg::servenv {

class Pages {
 public:
  void Add(const std::string& method, const std::string& path, HttpHandler handler);
  void SetGuard(std::function<std::optional<HttpResponse>(const HttpRequest&)> guard);
  void SetStatus(std::function<std::string()> page);
  void SetReady(std::function<bool()> ready);
  void SetConfig(std::function<std::vector<std::pair<std::string, std::string>>()> values);
  HttpResponse Answer(const HttpRequest& request) const;

 private:
  struct Route {
    std::string method, path;
    HttpHandler handler;
  };
  HttpResponse Find(const HttpRequest& request) const;
  HttpResponse Config(const HttpRequest& request) const;

  mutable std::shared_mutex mutex_;
  std::function<std::optional<HttpResponse>(const HttpRequest&)> guard_;
  std::vector<Route> routes_;
  std::function<std::string()> status_;
  std::function<bool()> ready_;
  std::function<std::vector<std::pair<std::string, std::string>>()> config_;
};

/// Text with what HTML would read as markup replaced.
std::string EscapeHtml(const std::string& text);
/// A JSON string literal.
std::string JsonString(const std::string& text);

}  // namespace mg::servenv
