#include <grpc/support/log.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cli/args/help.h"
#include "cli/args/parser.h"
#include "cli/commands/commands.h"
#include "cli/commands/context.h"
#include "cli/commands/own_cluster.h"
#include "cli/output/error.h"
#include "cli/output/terminal.h"
#include "common/status/error_codes.h"
#include "common/status/exit_code.h"
#include "common/status/status.h"
#include "common/version/version.h"

extern char** environ;

namespace {

std::map<std::string, std::string> Environment() {
  std::map<std::string, std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    std::string text = *entry;
    if (size_t equals = text.find('='); equals != std::string::npos) {
      result.emplace(text.substr(0, equals), text.substr(equals + 1));
    }
  }
  return result;
}

/// The format of an error in a command line that could not be parsed.
mg::cli::Format WantedFormat(const std::vector<std::string>& words) {
  for (size_t i = 0; i < words.size(); ++i) {
    bool next = words[i] == "-o" || words[i] == "--output";
    std::string value = next && i + 1 < words.size() ? words[i + 1] : words[i];
    if (value == "--json" || value == "--output=json" || value == "-o=json" || value == "-ojson" ||
        (next && value == "json")) {
      return mg::cli::Format::kJson;
    }
    if (value == "--yaml" || value == "--output=yaml" || value == "-o=yaml" || value == "-oyaml" ||
        (next && value == "yaml")) {
      return mg::cli::Format::kYaml;
    }
  }
  return mg::cli::Format::kText;
}

/// An answer that nobody got is none.
int Print(const std::string& text, bool colour) {
  if (std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0) {
    return mg::kExitOk;
  }
  const absl::Status status =
      mg::MakeError(absl::StatusCode::kInternal,
                    absl::StrCat("cannot write the output: ", mg::ErrnoStatus(errno, "standard output").message()),
                    {.reason = "OUTPUT_NOT_WRITTEN"});
  std::fputs(mg::cli::ErrorText(status, mg::cli::Format::kText, colour, {}).c_str(), stderr);
  return mg::ExitCodeOf(status);
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  std::map<std::string, std::string> environment = Environment();
  const std::vector<mg::cli::Command> commands = mg::cli::AllCommands();
  absl::StatusOr<mg::cli::ParseResult> parsed = mg::cli::Parse(commands, words);
  mg::cli::Terminal terminal = mg::cli::DetectTerminal(
      "auto", environment.contains("NO_COLOR"), environment["TERM"] == "dumb", environment.contains("CLICOLOR_FORCE"));
  if (!parsed.ok()) {
    std::vector<std::string> said = words;
    for (const std::string& word : words) {
      said.push_back(word.substr(word.find('=') + 1));  // of --flag=value; a word without is the same again
    }
    // A flag that one of upstream's spellings does not have: its manner, its exit status.
    auto begins = [&](const std::string& spelling) {
      const std::vector<std::string> path = absl::StrSplit(spelling, ' ');
      return words.size() >= path.size() && std::equal(path.begin(), path.end(), words.begin());
    };
    for (const mg::cli::Command& command : commands) {
      if (command.upstream
              ? begins(command.path)
              : command.upstream_aliases && std::any_of(command.aliases.begin(), command.aliases.end(), begins)) {
        std::fprintf(stderr, "Error: %s\n", mg::cli::Visible(parsed.status().message(), said).c_str());
        std::fputs(mg::cli::HelpText(commands, command.path, false).c_str(), stderr);
        return mg::kExitFailed;
      }
    }
    std::fputs(mg::cli::ErrorText(parsed.status(), WantedFormat(words), terminal.err_colour, said).c_str(), stderr);
    return mg::kExitUsage;
  }
  switch (parsed->kind) {
    case mg::cli::ParseResult::Kind::kHelp:
      return Print(mg::cli::HelpText(commands, parsed->help_for, terminal.out_colour,
                                     terminal.out_is_tty ? terminal.width : mg::cli::kWidestHelp),
                   terminal.err_colour);
    case mg::cli::ParseResult::Kind::kVersion:
      return Print(absl::StrCat("multigres ", mg::kVersion, "\n"), terminal.err_colour);
    case mg::cli::ParseResult::Kind::kRun:
      break;
  }
  // What gRPC says by itself would stand between our words, and before an error in JSON. Who asks for it gets it.
  if (!environment.contains("GRPC_VERBOSITY") && !environment.contains("GRPC_TRACE")) {
    ::gpr_set_log_function([](gpr_log_func_args*) {});
  }
  if (parsed->arguments.Has("admin-server")) {
    parsed->arguments = mg::cli::TowardsOwnCluster(commands, parsed->arguments, environment);
  }
  mg::cli::Context context(commands, std::move(parsed->arguments), std::move(environment));
  int status = context.args().command->run(context);
  // An answer that nobody got is none.
  if (status == mg::kExitOk && !context.OutputStatus().ok()) {
    status = context.Fail(context.OutputStatus());
  }
  // An orderly end of gRPC's connections and threads takes longer than most commands; the kernel closes what is open.
  std::fflush(nullptr);
  ::_exit(status);
}
