// admin: who the Admin API takes the caller for, and its tokens.
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/commands/admin_call.h"
#include "cli/commands/admin_reads.h"
#include "cli/commands/commands.h"
#include "cli/commands/context.h"
#include "cli/output/relative.h"
#include "cli/output/table.h"
#include "common/text/text.h"
#include "multigres/admin/v1/identity.grpc.pb.h"

namespace mg::cli {
namespace {

namespace v1 = multigres::admin::v1;

/// ROLE_OPERATOR is operator, AUTH_METHOD_TOKEN is token.
std::string Word(const std::string& name, const std::string& prefix) {
  return absl::AsciiStrToLower(name.substr(prefix.size()));
}
std::string RoleWord(v1::Role role) { return Word(v1::Role_Name(role), "ROLE_"); }

int RunWhoAmI(Context& context) {
  v1::WhoAmIResponse response;
  absl::Status status =
      CallAdmin<v1::IdentityService>(context, &v1::IdentityService::Stub::WhoAmI, v1::WhoAmIRequest(), &response);
  if (!status.ok()) {
    return context.Fail(status);
  }
  return context.Emit(response, [&] {
    return absl::StrCat("name     ", response.name(), "\nrole     ", RoleWord(response.role()), "\nby       ",
                        Word(v1::AuthMethod_Name(response.method()), "AUTH_METHOD_"), "\nexpires  ",
                        response.has_expires_at() ? Relative(response.expires_at()) : "never", "\n");
  });
}

int RunCreate(Context& context) {
  v1::CreateTokenRequest request;
  request.set_name(context.args().positionals[0]);
  v1::Role role = v1::ROLE_UNSPECIFIED;
  v1::Role_Parse(absl::StrCat("ROLE_", absl::AsciiStrToUpper(context.args().Get("role", "viewer"))), &role);
  request.set_role(role);
  if (context.args().Has("lifetime")) {
    absl::Duration lifetime;
    if (!absl::ParseDuration(context.args().Get("lifetime"), &lifetime) || lifetime <= absl::ZeroDuration()) {
      return context.Fail(MakeError(absl::StatusCode::kInvalidArgument,
                                    absl::StrCat("--lifetime: '", context.args().Get("lifetime"), "' is no duration"),
                                    {.reason = "USAGE", .hint = "write 24h, or 90m"}));
    }
    request.mutable_lifetime()->set_seconds(absl::ToInt64Seconds(absl::Ceil(lifetime, absl::Seconds(1))));
  }
  v1::CreateTokenResponse response;
  absl::Status status = CallAdmin<v1::TokenService>(context, &v1::TokenService::Stub::CreateToken, request, &response);
  if (!status.ok()) {
    return context.Fail(status);
  }
  if (context.format() == Format::kText) {
    context.Err("This is the only time that the secret is shown; keep it in a file that only you may read.\n");
  }
  context.Emit(response, [&] { return absl::StrCat(response.secret(), "\n"); });
  if (context.OutputStatus().ok()) {
    return 0;
  }
  // Nobody has the secret, so nobody shall have the token.
  v1::RevokeTokenRequest revoke;
  revoke.set_token(response.token().id());
  v1::RevokeTokenResponse revoked;
  const absl::Status undone =
      CallAdmin<v1::TokenService>(context, &v1::TokenService::Stub::RevokeToken, revoke, &revoked);
  const std::string fate = undone.ok() ? "the token was not made"
                                       : absl::StrCat("token ", request.name(), " is to be revoked, nobody has it");
  return context.Fail(WithContext(context.OutputStatus(), fate));
}

int RunList(Context& context) {
  v1::ListTokensResponse response;
  absl::Status status =
      CallAdmin<v1::TokenService>(context, &v1::TokenService::Stub::ListTokens, v1::ListTokensRequest(), &response);
  if (!status.ok()) {
    return context.Fail(status);
  }
  return context.Emit(response, [&] {
    Table table({"NAME", "ROLE", "ID", "CREATED", "BY", "EXPIRES", "LAST USED"}, 4);
    for (const v1::Token& token : response.tokens()) {
      table.Add({token.name(), RoleWord(token.role()), token.id(), Relative(token.created_at()), token.created_by(),
                 token.expired()           ? "expired"
                 : !token.has_expires_at() ? "never"
                                           : Relative(token.expires_at()),
                 token.from_file()           ? "-"
                 : !token.has_last_used_at() ? "never"
                                             : Relative(token.last_used_at())});
    }
    return table.Render(context.terminal().out_is_tty ? context.terminal().width : 0, context.terminal().out_colour);
  });
}

/// The token of this name or id; NOT_FOUND with names that are near.
absl::StatusOr<v1::Token> FindToken(Context& context, const std::string& wanted) {
  v1::ListTokensResponse there;
  MG_RETURN_IF_ERROR(
      CallAdmin<v1::TokenService>(context, &v1::TokenService::Stub::ListTokens, v1::ListTokensRequest(), &there));
  std::vector<std::string> known;
  for (const v1::Token& token : there.tokens()) {
    if (token.name() == wanted || token.id() == wanted) {
      return token;
    }
    known.push_back(token.name());
  }
  return NoSuchName("UNKNOWN_TOKEN", "token", wanted, known);
}

int RunRevoke(Context& context) {
  v1::RevokeTokenRequest request;
  request.set_token(context.args().positionals[0]);
  absl::StatusOr<v1::Token> token = FindToken(context, request.token());
  if (!token.ok()) {
    return context.Fail(token.status());
  }
  absl::StatusOr<bool> yes = context.Confirm(absl::StrCat("revoke token ", token->name(), " (", RoleWord(token->role()),
                                                          ")? Whoever uses it is refused from then on."));
  if (!yes.ok()) {
    return context.Fail(yes.status());
  }
  if (!*yes) {
    return context.Fail(absl::CancelledError("nothing was revoked"));
  }
  v1::RevokeTokenResponse response;
  absl::Status status = CallAdmin<v1::TokenService>(context, &v1::TokenService::Stub::RevokeToken, request, &response);
  if (!status.ok()) {
    return context.Fail(status);
  }
  return context.Emit(response, [&] { return absl::StrCat("revoked ", response.token().name(), "\n"); });
}

}  // namespace

std::vector<Command> AdminCommands() {
  return {
      {.path = "admin whoami",
       .summary = "who the Admin API takes you for, and what you may do",
       .description = "Asks the Admin API of the cluster who the caller is. Through the agent that is the agent's own "
                      "token; --json has every RPC that it may call.",
       .examples = {{"multigres admin whoami", "name, role and how you were recognised"}},
       .group = "ACCESS",
       .run = RunWhoAmI},
      {.path = "admin token create",
       .summary = "make a token for the Admin API",
       .description =
           "Make a bearer token. The secret goes to stdout, once; the cluster keeps a hash only. Callers send "
           "it as `authorization: Bearer mgt_...`.",
       .positionals = {{.name = "NAME", .help = "its name, for lists and the audit log", .required = true}},
       .flags = {{.name = "role",
                  .value = "ROLE",
                  .help = "what it may do: each role may do what those before it may",
                  .choices = {"viewer", "operator", "admin"}},
                 {.name = "lifetime", .value = "DURATION", .help = "when it ends, such as 24h; absent: never"}},
       .examples = {{"(umask 077; multigres admin token create grafana --role viewer > grafana.token)", "a reader"},
                    {"multigres admin token create ci --role operator --lifetime 2h", "for one run"}},
       .group = "ACCESS",
       .run = RunCreate},
      {.path = "admin token list",
       .summary = "list the tokens of the Admin API, without their secrets",
       .examples = {{"multigres admin token list", "who has one, and when it was last used"}},
       .group = "ACCESS",
       .run = RunList},
      {.path = "admin token revoke",
       .summary = "end a token at once",
       .positionals = {{.name = "TOKEN", .help = "its name or id", .required = true}},
       .flags = {{.name = "yes", .letter = 'y', .help = "do not ask"}},
       .examples = {{"multigres admin token revoke grafana", "it is refused from now on"}},
       .group = "ACCESS",
       .run = RunRevoke},
  };
}

}  // namespace mg::cli
