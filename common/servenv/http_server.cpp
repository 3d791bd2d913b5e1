#include "common/servenv/http_server.h"

#include <httplib.h>

#include <cerrno>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/status/status.h"

namespace mg::servenv {

struct HttpServer::Impl {
  HttpHandler handle;
  httplib::Server server;
  std::thread thread;
};

HttpServer::HttpServer(HttpHandler handle) : impl_(std::make_unique<Impl>()) {
  impl_->handle = std::move(handle);
  // A page is answered in microseconds; few threads bound what a burst of connections costs.
  impl_->server.new_task_queue = [] { return new httplib::ThreadPool(4); };
  // The library's default is SO_REUSEPORT, with which two servers share a port without a word.
  impl_->server.set_socket_options([](socket_t socket) {
    int yes = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  impl_->server.set_keep_alive_timeout(1);
  impl_->server.set_payload_max_length(16u << 20);
  auto answer = [this](const httplib::Request& in, httplib::Response& out) {
    HttpRequest request{.method = in.method, .path = in.path, .query = {}, .headers = {}, .body = in.body};
    for (const auto& [name, value] : in.params) {
      request.query.emplace(name, value);
    }
    for (const auto& [name, value] : in.headers) {
      request.headers.emplace(absl::AsciiStrToLower(name), value);
    }
    HttpResponse response = impl_->handle(request);
    out.status = response.status;
    for (const auto& [name, value] : response.headers) {
      out.set_header(name, value);
    }
    out.set_content(response.body, response.content_type);
  };
  impl_->server.Get(".*", answer);
  impl_->server.Delete(".*", answer);
  impl_->server.Options(".*", answer);
  impl_->server.Post(".*", answer);
  impl_->server.Put(".*", answer);
  impl_->server.Patch(".*", answer);
}

HttpServer::~HttpServer() { Stop(); }

absl::StatusOr<int> HttpServer::Start(const std::string& address, int port) {
  int bound = port;
  if (port == 0) {
    bound = impl_->server.bind_to_any_port(address);
  } else if (!impl_->server.bind_to_port(address, port)) {
    bound = -1;
  }
  if (bound <= 0) {
    return MakeError(absl::StatusCode::kUnavailable,
                     absl::StrCat("listen on ", address, ":", port, ": the port is taken"), {.reason = "PORT_IN_USE"});
  }
  impl_->thread = std::thread([this] { impl_->server.listen_after_bind(); });
  // The listener accepts since the bind; only Stop needs the loop to have begun.
  while (!impl_->server.is_running()) {
    std::this_thread::yield();
  }
  return bound;
}

void HttpServer::Stop() {
  if (impl_->thread.joinable()) {
    impl_->server.stop();
    impl_->thread.join();
  }
}

}  // namespace mg::servenv
