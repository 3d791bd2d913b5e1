#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "cli/client/agent_client.h"
#include "cli/commands/commands.h"
#include "cli/commands/context.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "multigres/agent/v1/agent.pb.h"
#include "multigres/cli/v1/output.pb.h"

namespace mg::cli {

namespace agent = multigres::agent::v1;

namespace {

const Flag kCellFlag = {.name = "cell", .value = "CELL", .help = "use this cell's gateway; default: the first"};
const Flag kReadOnlyFlag = {.name = "read-only", .letter = 'r', .help = "use the gateway's read-only port: a standby"};

const Flag kDatabaseFlag = {
    .name = "database", .letter = 'd', .value = "NAME", .help = "database; default: the cluster's first one"};

absl::StatusOr<agent::GetConnectionResponse> Connection(Context& context) {
  MG_ASSIGN_OR_RETURN(AgentClient * client, context.Agent(/*start=*/true));
  MG_ASSIGN_OR_RETURN(absl::Time deadline, context.Deadline(absl::Seconds(10)));
  agent::GetConnectionRequest request;
  *request.mutable_cluster() = context.Selector();
  request.set_cell(context.args().Get("cell"));
  request.set_read_only(context.args().Has("read-only"));
  request.set_database(context.args().Get("database"));
  return client->Call(request, deadline);
}

int RunPsql(Context& context) {
  absl::StatusOr<agent::GetConnectionResponse> connection = Connection(context);
  if (!connection.ok()) {
    return context.Fail(connection.status());
  }
  if (connection->psql().empty()) {
    return context.Fail(MakeError(absl::StatusCode::kNotFound, "psql is not installed",
                                  {.reason = "NO_PSQL", .hint = "apt-get install postgresql-client"}));
  }
  std::vector<std::string> words = {connection->psql(), connection->conninfo()};
  words.insert(words.end(), context.args().positionals.begin(), context.args().positionals.end());
  std::vector<char*> argv;
  for (std::string& word : words) {
    argv.push_back(word.data());
  }
  argv.push_back(nullptr);
  ::execv(argv[0], argv.data());
  return context.Fail(ErrnoStatus(errno, absl::StrCat("run ", connection->psql())));
}

int RunEnv(Context& context) {
  absl::StatusOr<agent::GetConnectionResponse> connection = Connection(context);
  if (!connection.ok()) {
    return context.Fail(connection.status());
  }
  multigres::cli::v1::EnvironmentOutput output;
  auto& variables = *output.mutable_variables();
  variables["PGHOST"] = connection->host();
  variables["PGPORT"] = absl::StrCat(connection->port());
  variables["PGUSER"] = connection->user();
  variables["PGDATABASE"] = connection->database();
  variables["PGPASSFILE"] = connection->passfile();
  return context.Emit(output, [&] {
    std::string text;
    for (const char* name : {"PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSFILE"}) {
      absl::StrAppend(&text, "export ", name, "=", text::ShellQuote(variables[name]), "\n");
    }
    return text;
  });
}

/// Percent-encodes what may not stand in a URI's part.
std::string UriEscape(const std::string& plain) {
  std::string result;
  for (char c : plain) {
    bool safe = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
                c == '_' || c == '~' || c == '/';
    if (safe) {
      result += c;
    } else {
      absl::StrAppend(&result, "%", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
    }
  }
  return result;
}

std::string FormatConnection(const agent::GetConnectionResponse& c, const std::string& format) {
  if (format == "uri") {
    return absl::StrCat("postgresql://", UriEscape(c.user()), "@", c.host(), ":", c.port(), "/",
                        UriEscape(c.database()), "?passfile=", UriEscape(c.passfile()));
  }
  if (format == "jdbc") {
    return absl::StrCat("jdbc:postgresql://", c.host(), ":", c.port(), "/", UriEscape(c.database()),
                        "?user=", UriEscape(c.user()));
  }
  if (format == "service") {
    return absl::StrCat("[multigres]\nhost=", c.host(), "\nport=", c.port(), "\nuser=", c.user(),
                        "\ndbname=", c.database(), "\npassfile=", c.passfile());
  }
  return c.conninfo();
}

int RunConnectionString(Context& context) {
  absl::StatusOr<agent::GetConnectionResponse> connection = Connection(context);
  if (!connection.ok()) {
    return context.Fail(connection.status());
  }
  multigres::cli::v1::ConnectionStringOutput output;
  output.set_format(context.args().Get("format", "conninfo"));
  output.set_value(FormatConnection(*connection, output.format()));
  return context.Emit(output, [&] { return absl::StrCat(output.value(), "\n"); });
}

}  // namespace

Command PsqlCommand() {
  return {
      .path = "psql",
      .summary = "open psql on the cluster",
      .description = "Open psql on the cluster's database. Words after -- go to psql as they are.",
      .positionals = {{.name = "ARGUMENT", .help = "arguments of psql, after --", .repeated = true}},
      .flags = {kCellFlag, kReadOnlyFlag, kDatabaseFlag},
      .examples = {{"multigres psql", "an interactive session"},
                   {"multigres psql --database shop", "another database of the cluster"},
                   {"multigres psql -- -Atc 'select version()'", "one statement"},
                   {"multigres psql --cell zone2 --read-only", "a standby, through the gateway of zone2"}},
      .group = "CONNECT",
      .run = RunPsql,
  };
}

Command EnvCommand() {
  return {
      .path = "env",
      .summary = "print PG* variables for the shell",
      .flags = {kCellFlag, kReadOnlyFlag, kDatabaseFlag},
      .examples = {{"eval \"$(multigres env)\"", "then psql, pg_dump and every libpq program find the cluster"}},
      .group = "CONNECT",
      .run = RunEnv,
  };
}

Command ConnectionStringCommand() {
  return {
      .path = "connection-string",
      .summary = "print a connection string",
      .description =
          "Print a connection string. It names a password file (mode 0600) and never holds a password; JDBC takes the "
          "file "
          "from PGPASSFILE.",
      .flags = {{.name = "format",
                 .value = "FORMAT",
                 .help = "form of the string; default conninfo",
                 .choices = {"conninfo", "uri", "jdbc", "service"}},
                kCellFlag,
                kReadOnlyFlag,
                kDatabaseFlag},
      .examples = {{"psql \"$(multigres connection-string)\"", "for libpq"},
                   {"multigres connection-string --format uri", "postgresql://…"}},
      .group = "CONNECT",
      .run = RunConnectionString,
  };
}

}  // namespace mg::cli
