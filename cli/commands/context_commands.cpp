// context: which Admin APIs there are, and which one commands talk to.
#include <unistd.h>

#include <filesystem>
#include <iostream>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "cli/client/remote_contexts.h"
#include "cli/commands/commands.h"
#include "cli/commands/context.h"
#include "cli/output/table.h"
#include "common/status/status.h"

namespace mg::cli {
namespace {

namespace v1 = multigres::cli::v1;

v1::ContextOutput Shown(const v1::RemoteContext& record, bool current) {
  v1::ContextOutput out;
  out.set_name(record.name());
  out.set_endpoint(record.endpoint());
  out.set_transport(!record.cert_file().empty() ? "mtls" : UsesTls(record) ? "tls" : "plain");
  out.set_token(!record.token_file().empty());
  out.set_current(current);
  return out;
}

v1::ContextOutput Local(bool current) {
  v1::ContextOutput out;
  out.set_name(kLocalContext);
  out.set_transport("agent");
  out.set_current(current);
  return out;
}

v1::ContextOutput Shown(const RemoteContexts::Entry& entry, bool current) {
  if (entry.usable.ok()) {
    return Shown(entry.context, current);
  }
  v1::ContextOutput out;
  out.set_name(entry.context.name());
  out.set_current(current);
  out.set_problem(std::string(entry.usable.message()));
  return out;
}

absl::StatusOr<v1::ContextListOutput> Read(Context& context) {
  MG_ASSIGN_OR_RETURN(RemoteContexts contexts, RemoteContexts::Open(context.environment()));
  const std::string wanted = context.args().Get("context", context.Env("MULTIGRES_CONTEXT"));
  MG_ASSIGN_OR_RETURN(std::string current, contexts.ChosenName(wanted));
  MG_ASSIGN_OR_RETURN(std::vector<RemoteContexts::Entry> entries, contexts.List());
  v1::ContextListOutput output;
  *output.add_contexts() = Local(current.empty());
  bool there = current.empty();
  for (const RemoteContexts::Entry& entry : entries) {
    const bool is_current = entry.context.name() == current;
    *output.add_contexts() = Shown(entry, is_current);
    there |= is_current;
    if (!entry.usable.ok()) {
      const std::string hint = DetailOf(entry.usable).value_or(ErrorDetail{}).hint;
      context.Warn(absl::StrCat("warning: context ", entry.context.name(), " cannot be used: ",
                                std::string(entry.usable.message()), hint.empty() ? "" : "; ", hint, "\n"));
    }
  }
  if (!there && !wanted.empty()) {
    return contexts.Get(current).status();
  }
  if (!there) {
    context.Warn(absl::StrCat("warning: the context in use, ", current,
                              ", is not there any more; choose another one with 'multigres context use'\n"));
  }
  return output;
}

int RunList(Context& context) {
  absl::StatusOr<v1::ContextListOutput> output = Read(context);
  if (!output.ok()) {
    return context.Fail(output.status());
  }
  return context.Emit(*output, [&] {
    Table table({"CURRENT", "NAME", "ENDPOINT", "TRANSPORT", "TOKEN"}, 2);
    for (const v1::ContextOutput& one : output->contexts()) {
      const bool broken = !one.problem().empty();
      table.Add({one.current() ? "*" : "", one.name(), one.endpoint(), broken ? "broken" : one.transport(),
                 broken        ? ""
                 : one.token() ? "yes"
                               : "no"});
    }
    return table.Render(context.terminal().out_is_tty ? context.terminal().width : 0, context.terminal().out_colour);
  });
}

int RunCurrent(Context& context) {
  absl::StatusOr<RemoteContexts> contexts = RemoteContexts::Open(context.environment());
  absl::StatusOr<std::string> name =
      contexts.ok() ? contexts->Chosen(context.args().Get("context", context.Env("MULTIGRES_CONTEXT")))
                    : contexts.status();
  absl::StatusOr<v1::RemoteContext> record = v1::RemoteContext();
  if (name.ok() && !name->empty()) {
    record = contexts->Get(*name);
  }
  if (!name.ok() || !record.ok()) {
    return context.Fail(name.ok() ? record.status() : name.status());
  }
  const v1::ContextOutput one = name->empty() ? Local(true) : Shown(*record, true);
  return context.Emit(one, [&] { return absl::StrCat(one.name(), "\n"); });
}

int RunUse(Context& context) {
  const std::string& name = context.args().positionals[0];
  absl::StatusOr<RemoteContexts> contexts = RemoteContexts::Open(context.environment());
  absl::Status status = contexts.ok() ? contexts->Use(name) : contexts.status();
  absl::StatusOr<v1::RemoteContext> record = v1::RemoteContext();
  if (status.ok() && name != kLocalContext) {
    record = contexts->Get(name);
    status = record.status();
  }
  if (!status.ok()) {
    return context.Fail(status);
  }
  return context.Emit(name == kLocalContext ? Local(true) : Shown(*record, true), [&] {
    return name == kLocalContext ? std::string("commands work on this machine's clusters\n")
                                 : absl::StrCat("commands talk to ", name, " at ", record->endpoint(), "\n");
  });
}

// From a file, or from stdin for `-`: never from the command line, which others can see.
absl::StatusOr<std::string> TokenOf(const Context& context) {
  if (!context.args().Has("token-file")) {
    return "";
  }
  std::string path = context.args().Get("token-file");
  if (path != "-") {
    return ReadTokenFile(path);
  }
  if (::isatty(STDIN_FILENO) == 1) {
    context.Err("token: ");
  }
  std::string text;
  std::getline(std::cin, text);
  std::string token(absl::StripAsciiWhitespace(text));
  MG_RETURN_IF_ERROR(CheckToken(token));
  return token;
}

int RunAdd(Context& context) {
  v1::RemoteContext record;
  record.set_name(context.args().positionals[0]);
  record.set_endpoint(context.args().positionals[1]);
  record.set_tls(context.args().Has("tls"));
  auto absolute = [&](const char* flag) {
    std::error_code error;
    return context.args().Has(flag) ? std::filesystem::absolute(context.args().Get(flag), error).string()
                                    : std::string();
  };
  record.set_ca_file(absolute("ca-file"));
  record.set_cert_file(absolute("cert-file"));
  record.set_key_file(absolute("key-file"));
  record.set_server_name(context.args().Get("server-name"));
  absl::StatusOr<RemoteContexts> contexts = RemoteContexts::Open(context.environment());
  absl::StatusOr<std::string> token = TokenOf(context);
  absl::Status status = !contexts.ok() ? contexts.status()
                        : !token.ok()  ? token.status()
                                       : contexts->Add(record, *token);
  if (status.ok() && context.args().Has("use")) {
    status = contexts->Use(record.name());
  }
  if (!status.ok()) {
    return context.Fail(status);
  }
  v1::ContextOutput shown = Shown(record, context.args().Has("use"));
  shown.set_token(!token->empty());
  return context.Emit(shown, [&] {
    return absl::StrCat("added ", record.name(), context.args().Has("use") ? ", and commands use it\n" : "\n");
  });
}

int RunRemove(Context& context) {
  const std::string& name = context.args().positionals[0];
  absl::StatusOr<RemoteContexts> contexts = RemoteContexts::Open(context.environment());
  absl::StatusOr<std::vector<RemoteContexts::Entry>> entries = contexts.ok() ? contexts->List() : contexts.status();
  const absl::StatusOr<std::string> current = contexts.ok() ? contexts->ChosenName("") : contexts.status();
  absl::Status status = entries.ok() ? contexts->Remove(name) : entries.status();
  if (!status.ok()) {
    return context.Fail(status);
  }
  if (current.ok() && *current == name) {
    context.Warn(absl::StrCat("warning: ", name,
                              " was the context in use: from now on commands work on this machine's clusters; choose "
                              "another one with 'multigres context use'\n"));
  }
  v1::ContextOutput removed;
  for (const RemoteContexts::Entry& entry : *entries) {
    if (entry.context.name() == name) {
      removed = Shown(entry, false);
    }
  }
  return context.Emit(removed, [&] { return absl::StrCat("removed ", name, " and its token\n"); });
}

}  // namespace

std::vector<Command> ContextCommands() {
  const Positional name = {.name = "CONTEXT", .help = "a context's name, or 'local'", .required = true};
  return {
      {.path = "context list",
       .summary = "list the Admin APIs that commands can talk to",
       .description =
           "List the contexts. 'local' is this machine's agent and its clusters. A remote context is the Admin API of "
           "a "
           "cluster elsewhere: commands that read or change a topology work there too; commands that start and stop "
           "processes do not.",
       .examples = {{"multigres context list", "the one in use has a star"}},
       .group = "CONTEXTS",
       .run = RunList},
      {.path = "context current",
       .summary = "print the context in use",
       .examples = {{"multigres context current", "for a prompt"}},
       .group = "CONTEXTS",
       .run = RunCurrent},
      {.path = "context use",
       .summary = "have commands talk to this context from now on",
       .positionals = {name},
       .examples = {{"multigres context use production", "until told otherwise"},
                    {"multigres context use local", "back to this machine"},
                    {"multigres --context production topology tree", "for one command"}},
       .group = "CONTEXTS",
       .run = RunUse},
      {.path = "context add",
       .summary = "add the Admin API of another machine",
       .description =
           "Add the Admin API of another machine. The token is read from a file or from stdin, never from the command "
           "line, and is kept in a file that only this user may read. Without TLS a token is sent to this machine "
           "only.",
       .positionals = {{.name = "CONTEXT", .help = "its name here", .required = true},
                       {.name = "ENDPOINT", .help = "HOST:PORT of its gRPC", .required = true}},
       .flags = {{.name = "tls", .help = "use TLS, checked against the system's authorities"},
                 {.name = "ca-file", .value = "FILE", .help = "use TLS, checked against these authorities (PEM)"},
                 {.name = "cert-file", .value = "FILE", .help = "the client's certificate (PEM), for mutual TLS"},
                 {.name = "key-file", .value = "FILE", .help = "its key (PEM)"},
                 {.name = "server-name", .value = "NAME", .help = "the name in the server's certificate"},
                 {.name = "token-file", .value = "FILE", .help = "a file with the bearer token; - is stdin"},
                 {.name = "use", .help = "and have commands use it"}},
       .examples =
           {{"multigres context add production db.example.com:15070 --ca-file ca.pem --token-file token",
             "with TLS and a token"},
            {"pass show production | multigres context add production db.example.com:15070 --tls --token-file -",
             "the token from a password manager"}},
       .group = "CONTEXTS",
       .run = RunAdd},
      {.path = "context remove",
       .summary = "remove a context and its token",
       .positionals = {name},
       .examples = {{"multigres context remove production", "when it is not needed any more"}},
       .group = "CONTEXTS",
       .run = RunRemove},
  };
}

}  // namespace mg::cli
