// --watch for commands that show something that changes by itself.
#include <ctime>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "cli/commands/commands.h"
#include "cli/commands/context.h"
#include "common/status/exit_code.h"

namespace mg::cli {
namespace {

// What is printed indented, as one line: no value has a line end of its own.
std::string OneLine(const std::string& json) {
  std::vector<std::string> lines = absl::StrSplit(json, '\n');
  for (std::string& line : lines) {
    absl::StripLeadingAsciiWhitespace(&line);
  }
  return absl::StrCat(absl::StrJoin(lines, ""), "\n");
}

void Show(const Context& context, const std::string& answer) {
  switch (context.format()) {
    case Format::kJson:
      context.Out(OneLine(answer));
      break;
    case Format::kYaml:
      context.Out(absl::StrCat("---\n", answer));
      break;
    case Format::kText:
      context.Out(context.terminal().out_is_tty ? absl::StrCat("\x1b[H\x1b[2J", answer) : absl::StrCat(answer, "\n"));
      break;
  }
}

int Watch(Context& context, const std::function<int(Context&)>& run) {
  absl::StatusOr<absl::Time> end = context.Deadline(absl::InfiniteDuration());
  if (!end.ok()) {
    return context.Fail(end.status());
  }
  std::string shown;
  for (bool first = true;; first = false) {
    std::string answer;
    context.Redirect(&answer);
    int status = run(context);
    context.Redirect(nullptr);
    // What is wrong from the beginning ends it; later troubles were told on stderr, and it is asked again.
    if (first && status != kExitOk && status != kExitUnhealthy) {
      return status;
    }
    if (!answer.empty() && (first || answer != shown)) {
      shown = answer;
      Show(context, answer);
    }
    if (absl::Now() + absl::Seconds(1) > *end) {
      return kExitOk;
    }
    timespec second = {1, 0};
    ::nanosleep(&second, nullptr);
  }
}

}  // namespace

std::vector<Command> WithWatch(std::vector<Command> commands) {
  const std::set<std::string> changing = {"status",      "gateway list",  "gateway queries",    "gateway consolidator",
                                          "pooler list", "pooler status", "pooler replication", "orch list",
                                          "orch status", "shard list",    "shard get",          "backup list"};
  for (Command& command : commands) {
    if (!changing.contains(command.path)) {
      continue;
    }
    command.flags.push_back(
        {.name = "watch", .letter = 'w', .help = "show it again whenever it changed; asked every second"});
    command.run = [run = command.run](Context& context) {
      return context.args().Has("watch") ? Watch(context, run) : run(context);
    };
  }
  return commands;
}

}  // namespace mg::cli
