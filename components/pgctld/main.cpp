/// pgctld: runs and controls one PostgreSQL server. `pgctld server` serves gRPC; the other commands act once and end.
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "common/pginstall/pginstall.h"
#include "common/servenv/servenv.h"
#include "common/status/status.h"
#include "components/pgctld/data_dir.h"
#include "components/pgctld/options.h"
#include "components/pgctld/postgres_server.h"
#include "components/pgctld/restore_command.h"
#include "components/pgctld/service.h"

namespace mg::pgctld {
namespace {

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "Error: %s\n", std::string(status.message()).c_str());
  if (std::optional<ErrorDetail> detail = DetailOf(status); detail.has_value()) {
    for (const std::string& line : detail->log_tail) {
      std::fprintf(stderr, "  %s\n", line.c_str());
    }
    if (!detail->hint.empty()) {
      std::fprintf(stderr, "%s\n", detail->hint.c_str());
    }
  }
  return 1;
}

int Say(const std::string& line) {
  std::printf("%s\n", line.c_str());
  return 0;
}

int PrintStatus(const Options& options, const PostgresServer& server) {
  ServerInfo info = server.State();
  const char* word = info.state == ServerState::kNotInitialized ? "NOT_INITIALIZED"
                     : info.ready                               ? "RUNNING"
                                                                : "STOPPED";
  return Say(absl::StrCat("Status: ", word, "\nData directory: ", options.data_dir, "\nPID: ", info.pid,
                          "\nPort: ", options.port, "\nHost: \nVersion: ", info.version,
                          "\nUptime: ", absl::FormatDuration(info.uptime), "\nReady: ", info.ready ? "true" : "false"));
}

int RunOnce(const std::string& command, const Options& options, const std::string& mode, bool as_standby) {
  PostgresServer server(options);
  if (command == "init") {
    absl::StatusOr<bool> already = InitDataDir(options, &server);
    return already.ok() ? Say(*already ? "data directory is already initialised" : "data directory initialised")
                        : Fail(already.status());
  }
  if (command == "start") {
    absl::StatusOr<bool> already = server.Start({.role = StartRole::kUnchanged});
    return already.ok() ? Say(*already ? "PostgreSQL is already running" : "PostgreSQL started")
                        : Fail(already.status());
  }
  if (command == "stop") {
    absl::StatusOr<bool> already = server.Stop(mode);
    return already.ok() ? Say(*already ? "PostgreSQL is not running" : "PostgreSQL stopped") : Fail(already.status());
  }
  if (command == "restart") {
    absl::Status status = server.Stop(mode).status();
    StartRole role = as_standby ? StartRole::kStandby : StartRole::kUnchanged;
    status = status.ok() ? server.Start({.role = role}).status() : status;
    return status.ok() ? Say("PostgreSQL restarted") : Fail(status);
  }
  if (command == "reload-config") {
    absl::Status status = server.Reload();
    return status.ok() ? Say("configuration reloaded") : Fail(status);
  }
  if (command == "version") {
    absl::StatusOr<pginstall::Installation> found = pginstall::Choose(options.data_dir, options.version);
    return found.ok() ? Say(absl::StrCat("PostgreSQL ", found->version)) : Fail(found.status());
  }
  return PrintStatus(options, server);
}

/// A one-shot command says one line on stdout: its log goes to stderr, and only warnings, unless flags say otherwise.
std::vector<char*> Quieted(int argc, char** argv) {
  static char kOutput[] = "--log-output=stderr", kLevel[] = "--log-level=warn", kFormat[] = "--log-format=text";
  std::vector<char*> arguments(argv, argv + argc);
  bool serves = std::find(arguments.begin(), arguments.end(), absl::string_view("server")) != arguments.end();
  if (!serves && argc > 0) {
    arguments.insert(arguments.begin() + 1, {kOutput, kLevel, kFormat});
  }
  return arguments;
}

bool Known(const std::string& command) {
  for (const char* word : {"server", "init", "start", "stop", "restart", "status", "version", "reload-config"}) {
    if (command == word) {
      return true;
    }
  }
  return false;
}

}  // namespace
}  // namespace mg::pgctld

int main(int argc, char** argv) {
  using namespace mg::pgctld;  // NOLINT: the program's own
  if (argc > 1 && std::string(argv[1]) == "restore-wrapper") {
    return Fail(RunRestoreCommand(std::vector<std::string>(argv + 2, argv + argc)));
  }
  mg::servenv::Server server("pgctld", "Runs and controls one PostgreSQL server.");
  Options options;
  options.AddTo(&server.flags());
  std::string mode = "fast";
  bool as_standby = false;
  std::vector<std::string> words;
  server.flags().Add("mode", &mode, "of stop and restart: smart, fast or immediate");
  server.flags().Add("as-standby", &as_standby, "of restart: come back as a standby");
  server.flags().AllowPositional(&words,
                                 "Commands: server, init, start, stop, restart, status, version, reload-config");
  std::vector<char*> arguments = Quieted(argc, argv);
  if (std::optional<int> done = server.Init(static_cast<int>(arguments.size()), arguments.data()); done.has_value()) {
    return *done;
  }
  if (words.size() != 1 || !Known(words[0])) {
    return Fail(absl::InvalidArgumentError(
        words.empty() ? "a command is needed: server, init, start, stop, restart, status, version or reload-config"
                      : absl::StrCat("unknown command: ", absl::StrJoin(words, " "))));
  }
  bool need_password = words[0] == "server" || words[0] == "init";
  if (absl::Status status = options.Complete(need_password); !status.ok()) {
    return Fail(status);
  }
  if (words[0] != "server") {
    return RunOnce(words[0], options, mode, as_standby);
  }
  RemoveUnfinished(options);
  PgCtldService service(options);
  server.AddService(&service, "grpc-pgctld", true);
  return server.Run();
}
