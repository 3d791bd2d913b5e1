/// What every built-in component has in common, as upstream's servers have it: the shared flags, the log, the HTTP
/// endpoints
/// (/live, /ready, /config, /version, /, CORS on each), the gRPC server with health, reflection and ServiceInfo, and an
/// orderly end on SIGTERM or SIGINT. Everything listens on loopback unless told otherwise.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/flags/flags.h"
#include "common/servenv/server_flags.h"

namespace grpc {
class ServerContextBase;
class Service;
}  // namespace grpc

namespace mg::servenv {

struct HttpRequest {
  std::string method;
  std::string path;                                 ///< without the query
  std::multimap<std::string, std::string> query;    ///< decoded
  std::multimap<std::string, std::string> headers;  ///< names lower case
  std::string body;
  std::string peer = {};  ///< the client's address, without the port
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body = {};
  std::multimap<std::string, std::string> headers = {};  ///< beyond the content type
};

using HttpHandler = std::function<HttpResponse(const HttpRequest&)>;
/// Gives the form of its API to the refusal of a request that could not be read (too large, no HTTP): of the request
/// only method, path and headers are known, and these only where they could be read. Never blocks.
using HttpRefusal = std::function<void(const HttpRequest&, HttpResponse*)>;
/// Whether a caller may use a gRPC method; any thread, never blocks.
using GrpcGuard = std::function<absl::Status(const std::string& method, const grpc::ServerContextBase&)>;

/// The frame of one server process. Use, all from main: construct, add own flags to flags(), Init, register services
/// and handlers, Run. Handlers and hooks run on other threads.
class Server {
 public:
  /// `name` is the program's (multipooler); `version_flag` prints this build's identity and exits 0 (hidden
  /// --builtin-info).
  Server(std::string name, std::string description);
  ~Server();

  flags::FlagSet& flags();

  /// Parses the command line and opens the log. When it returns a value, the process ends with it (help, or an error
  /// that was printed).
  std::optional<int> Init(int argc, char** argv);

  /// gRPC services, registered before Run; not owned, must outlive Run. `service_map_name` is upstream's name of it in
  /// --service-map (empty: always on); `on_by_default` as upstream has it.
  void AddService(grpc::Service* service, const std::string& service_map_name = "", bool on_by_default = true);
  /// Whether --service-map (and the default) enables a name.
  bool ServiceEnabled(const std::string& service_map_name, bool on_by_default) const;

  /// Serves a path exactly, or with a trailing `*` everything below it. Later additions win over the built-in pages.
  void AddHttpHandler(const std::string& method, const std::string& path, HttpHandler handler);
  /// Asked before anything is answered but /live, /ready and OPTIONS: a value is the answer instead.
  void SetGuard(std::function<std::optional<HttpResponse>(const HttpRequest&)> guard);
  /// Before StartHttp and Run.
  void SetRefusal(HttpRefusal refusal);
  /// Asked before reflection and build information answer over gRPC; without it they answer everybody. Before Run.
  void SetGrpcGuard(GrpcGuard guard);
  /// HTML body of `/` (upstream: a catch-all page). Without this, `/` is 404.
  void SetStatusPage(std::function<std::string()> page);
  /// Decides /ready; without it ready from the start of serving.
  void SetReadyCheck(std::function<bool()> ready);

  /// Opens the HTTP listener now (before Run), so that /live answers; Run does it otherwise.
  absl::Status StartHttp();

  /// Called in Run after gRPC listens.
  void OnRun(std::function<void()> hook);
  /// Called on SIGTERM or SIGINT before gRPC stops (limit --onterm-timeout); the reason for a drain.
  void OnTerm(std::function<void()> hook);
  /// Called after everything stopped (limit --onclose-timeout).
  void OnClose(std::function<void()> hook);

  /// Serves until a signal comes or Shutdown is called; the process's exit status.
  int Run();
  /// Ends Run from another thread; `exit_status` is what Run returns.
  void Shutdown(int exit_status = 0);

  const ServerFlags& options() const;  ///< after Init

  const std::string& hostname() const;  ///< --hostname, else the machine's name
  int http_port() const;                ///< the real one after StartHttp
  int grpc_port() const;                ///< as given
  const std::string& grpc_socket_file() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mg::servenv
