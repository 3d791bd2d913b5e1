#include "cli/args/help.h"

#include <algorithm>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "common/text/text.h"

namespace mg::cli {
namespace {

constexpr int kNarrowestHelp = 40;
using Row = std::pair<std::string, std::string>;

std::string Heading(const std::string& title, bool bold) {
  return bold ? absl::StrCat("\033[1m", title, "\033[0m\n") : absl::StrCat(title, "\n");
}

std::string Usage(const Command& command) {
  std::string usage = absl::StrCat("multigres ", command.path);
  for (const Positional& positional : command.positionals) {
    std::string name = absl::StrCat(positional.name, positional.repeated ? "..." : "");
    absl::StrAppend(&usage, " ", positional.required ? name : absl::StrCat("[", name, "]"));
  }
  return absl::StrCat(usage, " [flags]");
}

std::string FlagName(const Flag& flag) {
  std::string name = flag.letter != 0 ? absl::StrCat("-", std::string(1, flag.letter), ", --", flag.name)
                                      : absl::StrCat("    --", flag.name);
  return flag.value.empty() ? name : absl::StrCat(name, " ", flag.value);
}

std::string FlagHelp(const Flag& flag) {
  return flag.choices.empty() ? flag.help : absl::StrCat(flag.help, ": ", absl::StrJoin(flag.choices, ", "));
}

std::string Rows(const std::vector<Row>& rows, int most) {
  int width = 0;
  for (const Row& row : rows) {
    width = std::max(width, text::DisplayWidth(row.first));
  }
  // Where the left column takes most of a narrow terminal, the right one stands below it.
  const bool below = most - width - 4 < kNarrowestHelp / 2;
  std::string result;
  for (const auto& [left, right] : rows) {
    const auto padding = static_cast<size_t>(width - text::DisplayWidth(left)) + 2;
    absl::StrAppend(&result, "  ", left, below ? "\n        " : std::string(padding, ' '),
                    below ? Hanging(right, most, 8) : Hanging(right, most, width + 4), "\n");
  }
  return result;
}

std::string FlagRows(const std::vector<Flag>& flags, int width) {
  std::vector<Row> rows;
  for (const Flag& flag : flags) {
    if (!flag.hidden) {
      rows.emplace_back(FlagName(flag), FlagHelp(flag));
    }
  }
  return Rows(rows, width);
}

bool HasShownFlags(const Command& command) {
  return std::any_of(command.flags.begin(), command.flags.end(), [](const Flag& flag) { return !flag.hidden; });
}

std::string CommandHelp(const Command& command, bool bold, int width) {
  std::string help =
      absl::StrCat(text::Wrap(command.description.empty() ? command.summary : command.description, width, 0), "\n\n");
  absl::StrAppend(&help, Heading("USAGE", bold), "  ", Usage(command), "\n\n");
  if (!command.aliases.empty()) {
    absl::StrAppend(&help, Heading("ALIASES", bold), "  multigres ", absl::StrJoin(command.aliases, "\n  multigres "),
                    "\n\n");
  }
  if (!command.positionals.empty()) {
    std::vector<Row> rows;
    for (const Positional& positional : command.positionals) {
      rows.emplace_back(positional.name, positional.help);
    }
    absl::StrAppend(&help, Heading("ARGUMENTS", bold), Rows(rows, width), "\n");
  }
  if (HasShownFlags(command)) {
    absl::StrAppend(&help, Heading("FLAGS", bold), FlagRows(command.flags, width), "\n");
  }
  // What the command has a meaning of its own for is told there alone.
  std::vector<Flag> global = GlobalFlags();
  std::erase_if(global, [&](const Flag& flag) {
    return std::any_of(command.flags.begin(), command.flags.end(),
                       [&](const Flag& own) { return own.name == flag.name; });
  });
  absl::StrAppend(&help, Heading("GLOBAL FLAGS", bold), FlagRows(global, width), "\n", Heading("EXAMPLES", bold));
  for (const Example& example : command.examples) {
    absl::StrAppend(&help, "  # ", example.comment, "\n  $ ", example.command, "\n");
  }
  return help;
}

std::string NounHelp(const std::vector<Command>& commands, const std::string& noun, bool bold, int width) {
  std::vector<Row> rows;
  for (const Command& command : commands) {
    std::vector<std::string> names = command.aliases;
    names.push_back(command.path);
    for (const std::string& name : names) {
      if (!command.hidden && absl::StartsWith(name, absl::StrCat(noun, " "))) {
        rows.emplace_back(name.substr(noun.size() + 1), command.summary);
      }
    }
  }
  std::sort(rows.begin(), rows.end());
  return absl::StrCat("Commands of '", noun, "'.\n\n", Heading("USAGE", bold), "  multigres ", noun,
                      " <command> [flags]\n\n", Heading("COMMANDS", bold), Rows(rows, width), "\nUse 'multigres ", noun,
                      " <command> --help' for more.\n");
}

std::string ProgramHelp(const std::vector<Command>& commands, bool bold, int width) {
  std::string help = absl::StrCat("A distributed PostgreSQL cluster, as easy as one local PostgreSQL.\n\n",
                                  Heading("USAGE", bold), "  multigres <command> [flags]\n\n");
  std::vector<std::string> groups;
  std::map<std::string, std::vector<Row>> rows;
  std::map<std::string, std::pair<std::string, size_t>> nouns;  // the group and the row of each
  for (const Command& command : commands) {
    if (command.hidden || command.group.empty()) {
      continue;
    }
    if (!rows.contains(command.group)) {
      groups.push_back(command.group);
    }
    std::vector<Row>& of_group = rows[command.group];
    const size_t blank = command.path.rfind(' ');
    if (blank == std::string::npos) {
      of_group.emplace_back(command.path, command.summary);
      continue;
    }
    // One line for a noun: its help has one for each verb.
    const std::string noun = command.path.substr(0, blank), verb = command.path.substr(blank + 1);
    if (auto [place, is_new] = nouns.try_emplace(noun, command.group, of_group.size()); is_new) {
      of_group.emplace_back(noun, verb);
    } else {
      absl::StrAppend(&rows[place->second.first][place->second.second].second, ", ", verb);
    }
  }
  for (const std::string& group : groups) {
    absl::StrAppend(&help, Heading(group, bold), Rows(rows[group], width), "\n");
  }
  absl::StrAppend(&help, Heading("GLOBAL FLAGS", bold), FlagRows(GlobalFlags(), width), "\n",
                  Heading("EXIT STATUS", bold),
                  Rows({{"0", "done"},
                        {"1", "failed"},
                        {"2", "the command line or the configuration is wrong"},
                        {"3", "not found"},
                        {"4", "unhealthy, stopped, or timed out"},
                        {"5", "permission denied"},
                        {"6", "unavailable"}},
                       width),
                  "\nUse 'multigres <command> --help' for more about a command, or about those of a noun.\n");
  return help;
}

std::string EscapeMarkdown(const std::string& plain) {
  std::string result;
  for (char c : plain) {
    if (c == '|' || c == '<') {
      result += '\\';
    }
    result += c;
  }
  return result;
}

std::string FlagTable(const std::vector<Flag>& flags) {
  std::string table = "| Flag | Meaning |\n| --- | --- |\n";
  for (const Flag& flag : flags) {
    if (!flag.hidden) {
      std::string name = FlagName(flag);
      name.erase(0, name.find_first_not_of(' '));
      absl::StrAppend(&table, "| `", name, "` | ", EscapeMarkdown(FlagHelp(flag)), " |\n");
    }
  }
  return table;
}

}  // namespace

std::string HelpText(const std::vector<Command>& commands, const std::string& path, bool bold, int width) {
  width = std::clamp(width, kNarrowestHelp, kWidestHelp);
  for (const Command& command : commands) {
    if (command.path == path) {
      return CommandHelp(command, bold, width);
    }
  }
  return path.empty() ? ProgramHelp(commands, bold, width) : NounHelp(commands, path, bold, width);
}

std::string Reference(const std::vector<Command>& commands) {
  std::string text =
      "# Command reference\n\nMade by `multigres docs` from the commands' own declarations; a test compares.\n\n## "
      "Global flags\n\n";
  absl::StrAppend(&text, FlagTable(GlobalFlags()));
  for (const Command& command : commands) {
    if (command.hidden) {
      continue;
    }
    absl::StrAppend(&text, "\n## multigres ", command.path, "\n\n",
                    command.description.empty() ? command.summary : command.description, "\n\n```\n", Usage(command),
                    "\n```\n");
    if (!command.aliases.empty()) {
      absl::StrAppend(&text, "\nAlso: `multigres ", absl::StrJoin(command.aliases, "`, `multigres "), "`.\n");
    }
    if (!command.positionals.empty()) {
      absl::StrAppend(&text, "\n| Argument | Meaning |\n| --- | --- |\n");
      for (const Positional& positional : command.positionals) {
        absl::StrAppend(&text, "| `", positional.name, "` | ", EscapeMarkdown(positional.help), " |\n");
      }
    }
    if (HasShownFlags(command)) {
      absl::StrAppend(&text, "\n", FlagTable(command.flags));
    }
    absl::StrAppend(&text, "\n```\n");
    for (const Example& example : command.examples) {
      absl::StrAppend(&text, "# ", example.comment, "\n", example.command, "\n");
    }
    absl::StrAppend(&text, "```\n");
  }
  return text;
}

std::string Hanging(const std::string& text, int width, int indent) {
  return absl::StrReplaceAll(text::Wrap(text, width - indent, 0),
                             {{"\n", "\n" + std::string(static_cast<size_t>(indent), ' ')}});
}

}  // namespace mg::cli
