#include "cli/args/parser.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <deque>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "common/text/utf8.h"

namespace mg::cli {

std::string Arguments::Get(const std::string& flag, const std::string& fallback) const {
  auto it = values.find(flag);
  return it == values.end() || it->second.empty() ? fallback : it->second.back();
}

std::vector<std::string> Arguments::GetAll(const std::string& flag) const {
  auto it = values.find(flag);
  return it == values.end() ? std::vector<std::string>() : it->second;
}

std::vector<std::string> Arguments::Said() const {
  std::vector<std::string> words = positionals;
  for (const auto& [flag, given] : values) {
    words.insert(words.end(), given.begin(), given.end());
  }
  return words;
}

const std::vector<Flag>& GlobalFlags() {
  static const auto* const kFlags = new std::vector<Flag>{
      {.name = "output",
       .letter = 'o',
       .value = "FORMAT",
       .help = "output format",
       .choices = {"text", "json", "yaml"}},
      {.name = "json", .help = "short for --output json"},
      {.name = "yaml", .help = "short for --output yaml"},
      {.name = "cluster", .value = "NAME", .help = "the cluster to work on (also MULTIGRES_CLUSTER)"},
      {.name = "context",
       .value = "NAME",
       .help = "where the Admin API is: 'local', or one of 'multigres context list' (also MULTIGRES_CONTEXT)"},
      {.name = "admin-server",
       .value = "HOST:PORT",
       .help = "dial this Admin API, as upstream's commands do; one of our own by the agent"},
      {.name = "config-path", .value = "PATH", .help = "a multigres.yaml, or the directory that holds it"},
      {.name = "timeout", .value = "DURATION", .help = "give up after this time, such as 30s or 2m"},
      {.name = "color", .value = "WHEN", .help = "colour the output", .choices = {"auto", "always", "never"}},
      {.name = "no-color", .help = "short for --color never"},
      {.name = "quiet", .letter = 'q', .help = "no progress, only results and errors"},
      {.name = "help", .letter = 'h', .help = "show help"},
      // Upstream's commands all take these; only --config-path decides anything there.
      {.name = "config-name", .value = "NAME", .help = "upstream's, without effect", .hidden = true},
      {.name = "config-type", .value = "TYPE", .help = "upstream's, without effect", .hidden = true},
      {.name = "config-file", .value = "FILE", .help = "upstream's, without effect", .hidden = true},
      {.name = "config-file-not-found-handling", .value = "WHAT", .help = "upstream's, without effect", .hidden = true},
      {.name = "config-persistence-min-interval", .value = "T", .help = "upstream's, without effect", .hidden = true},
  };
  return *kFlags;
}

namespace {

absl::Status UsageError(const std::string& message, const std::string& hint) {
  return MakeError(absl::StatusCode::kInvalidArgument, message, {.reason = "USAGE", .hint = hint});
}

std::string SeeHelp(const Command& command) { return absl::StrCat("see 'multigres ", command.path, " --help'"); }

const Flag* FindFlag(const std::vector<Flag>& flags, absl::string_view word) {
  for (const Flag& flag : flags) {
    if (word == absl::StrCat("--", flag.name) ||
        (flag.letter != 0 && word == absl::StrCat("-", std::string(1, flag.letter)))) {
      return &flag;
    }
  }
  return nullptr;
}

/// The flag of this word that has the next word as its value: `--output`, `-o`, and `-qo`, whose last letter it is.
const Flag* FlagBeforeItsValue(const std::vector<Flag>& flags, absl::string_view word) {
  if (const Flag* flag = FindFlag(flags, word); flag != nullptr || absl::StartsWith(word, "--")) {
    return flag != nullptr && !flag->value.empty() ? flag : nullptr;
  }
  for (size_t i = 1; i < word.size(); ++i) {
    const Flag* flag = FindFlag(flags, absl::StrCat("-", word.substr(i, 1)));
    if (flag == nullptr || !flag->value.empty()) {
      return i + 1 == word.size() ? flag : nullptr;  // else the value is in the same word
    }
  }
  return nullptr;
}

struct Words {
  const Command* command = nullptr;
  std::vector<std::string> matched;  ///< the words that lead to it, or to a noun
  std::vector<std::string> rest;     ///< everything else, in order
};

std::vector<std::pair<std::string, const Command*>> AllPaths(const std::vector<Command>& commands) {
  std::vector<std::pair<std::string, const Command*>> result;
  for (const Command& command : commands) {
    result.emplace_back(command.path, &command);
    for (const std::string& alias : command.aliases) {
      result.emplace_back(alias, &command);
    }
  }
  return result;
}

/// Takes words as long as they lead into the tree of commands; flags may stand anywhere between them.
Words FindCommand(const std::vector<Command>& commands, const std::vector<std::string>& arguments) {
  Words words;
  auto paths = AllPaths(commands);
  bool matching = true;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    if (word == "--") {
      words.rest.insert(words.rest.end(), arguments.begin() + static_cast<std::ptrdiff_t>(i), arguments.end());
      break;
    }
    if (absl::StartsWith(word, "-") && word != "-") {
      words.rest.push_back(word);
      if (matching && FlagBeforeItsValue(GlobalFlags(), word) != nullptr && i + 1 < arguments.size()) {
        words.rest.push_back(arguments[++i]);
      }
      continue;
    }
    if (matching) {
      std::vector<std::string> next = words.matched;
      next.push_back(word);
      std::string prefix = absl::StrJoin(next, " ");
      bool leads = std::any_of(paths.begin(), paths.end(), [&](const auto& path) {
        return path.first == prefix || absl::StartsWith(path.first, absl::StrCat(prefix, " "));
      });
      if (leads) {
        words.matched = std::move(next);
        continue;
      }
      matching = false;
    }
    words.rest.push_back(word);
  }
  std::string path = absl::StrJoin(words.matched, " ");
  for (const auto& [name, command] : paths) {
    if (name == path) {
      words.command = command;
    }
  }
  return words;
}

bool IsWord(const std::string& word) { return !absl::StartsWith(word, "-"); }

/// Those that are neither flags nor values of global ones.
std::vector<std::string> PlainWords(const std::vector<std::string>& rest) {
  std::vector<std::string> words;
  for (size_t i = 0; i < rest.size(); ++i) {
    if (IsWord(rest[i])) {
      words.push_back(rest[i]);
    } else if (FlagBeforeItsValue(GlobalFlags(), rest[i]) != nullptr) {
      ++i;
    }
  }
  return words;
}

/// A flag before the command that none of the global ones is: what follows it may be its value, and no command.
std::string UnknownFlagBefore(const Words& words) {
  for (size_t i = 0; i < words.rest.size() && !IsWord(words.rest[i]); ++i) {
    const std::string name = words.rest[i].substr(0, words.rest[i].find('='));
    const bool letters = name.size() > 1 && name[1] != '-';
    if (name != "--version" && FindFlag(GlobalFlags(), letters ? name.substr(0, 2) : name) == nullptr) {
      return name;
    }
    i += FlagBeforeItsValue(GlobalFlags(), words.rest[i]) != nullptr ? 1 : 0;
  }
  return "";
}

/// `get poolers`, as kubectl has it: the noun stands first here. Empty: there is none of that name.
std::string NounFirst(const std::vector<Command>& commands, const std::vector<std::string>& plain) {
  if (plain.size() < 2) {
    return "";
  }
  const std::string &verb = plain[0], &noun = plain[1];
  const bool plural = absl::EndsWith(noun, "s");
  const std::string one = plural ? noun.substr(0, noun.size() - 1) : noun;
  for (const std::string& wanted :
       {absl::StrCat(one, " ", plural && verb == "get" ? "list" : verb), absl::StrCat(noun, " ", verb)}) {
    for (const auto& [path, command] : AllPaths(commands)) {
      if (path == wanted && !command->hidden) {
        return wanted;
      }
    }
  }
  return "";
}

absl::Status UnknownCommand(const std::vector<Command>& commands, const Words& words) {
  std::string noun = absl::StrJoin(words.matched, " ");
  const std::vector<std::string> plain = PlainWords(words.rest);
  const std::string word = plain.empty() ? "" : plain[0];
  std::vector<std::string> candidates;
  for (const auto& [path, command] : AllPaths(commands)) {
    std::vector<std::string> parts = absl::StrSplit(path, ' ');
    if (!command->hidden && parts.size() > words.matched.size() &&
        std::equal(words.matched.begin(), words.matched.end(), parts.begin())) {
      candidates.push_back(parts[words.matched.size()]);
    }
  }
  std::string program = noun.empty() ? "multigres" : absl::StrCat("multigres ", noun);
  std::string see_help = absl::StrCat("see '", program, " --help'");
  if (auto dashes = std::find(words.rest.begin(), words.rest.end(), "--");
      dashes != words.rest.end() && std::none_of(words.rest.begin(), dashes, IsWord)) {
    // Only arguments stand behind it, so nothing there is a mistyped command.
    std::vector<std::string> path = words.matched;
    const Words behind = FindCommand(commands, {dashes + 1, words.rest.end()});
    path.insert(path.end(), behind.matched.begin(), behind.matched.end());
    return UsageError(absl::StrCat("'", program, "' needs a command before the '--'"),
                      path.size() == words.matched.size()
                          ? see_help
                          : absl::StrCat("leave out the '--': 'multigres ", absl::StrJoin(path, " "), "'"));
  }
  if (const std::string flag = UnknownFlagBefore(words); !flag.empty()) {
    std::vector<std::string> flags = {"--version"};
    for (const Flag& known : GlobalFlags()) {
      if (!known.hidden) {
        flags.push_back(absl::StrCat("--", known.name));
      }
    }
    std::optional<std::string> near = flag == "-v" || flag == "-V" ? "--version" : text::Closest(flag, flags);
    return UsageError(absl::StrCat("unknown flag '", flag, "' for '", program, "'"),
                      near.has_value() ? absl::StrCat("did you mean '", *near, "'?")
                                       : absl::StrCat("a command's own flags stand behind it; ", see_help));
  }
  if (word.empty()) {
    return UsageError(absl::StrCat("'", program, "' needs a command"), see_help);
  }
  if (const std::string turned = noun.empty() ? NounFirst(commands, plain) : ""; !turned.empty()) {
    return UsageError(absl::StrCat("unknown command '", word, "' for '", program, "'"),
                      absl::StrCat("did you mean '", program, " ", turned, "'?"));
  }
  std::optional<std::string> near = text::Closest(word, candidates);
  return UsageError(absl::StrCat("unknown command '", word, "' for '", program, "'"),
                    near.has_value() ? absl::StrCat("did you mean '", program, " ", *near, "'?") : see_help);
}

absl::Status ExplainExtra(const Command& command, const std::string& word) {
  if (!absl::StartsWith(word, "-")) {
    return UsageError(absl::StrCat("unexpected argument '", word, "' for 'multigres ", command.path, "'"),
                      SeeHelp(command));
  }
  std::vector<std::string> candidates;
  for (const std::vector<Flag>* flags : {&command.flags, &GlobalFlags()}) {
    for (const Flag& flag : *flags) {
      if (!flag.hidden) {
        candidates.push_back(absl::StrCat("--", flag.name));
      }
    }
  }
  std::string name = word.substr(0, word.find('='));
  std::optional<std::string> near = text::Closest(name, candidates);
  return UsageError(absl::StrCat("unknown flag '", name, "' for 'multigres ", command.path, "'"),
                    near.has_value() ? absl::StrCat("did you mean '", *near, "'?") : SeeHelp(command));
}

const Flag* FindOwnOrGlobal(const Command& command, absl::string_view word) {
  const Flag* own = FindFlag(command.flags, word);
  return own != nullptr ? own : FindFlag(GlobalFlags(), word);
}

/// CLI11 says what it expected of its own types; which flag it stopped at, and what that wants, is here.
absl::Status ExplainParse(const Command& command, const std::vector<std::string>& rest) {
  for (size_t i = 0; i < rest.size() && rest[i] != "--"; ++i) {
    const size_t equals = rest[i].find('=');
    std::string name = rest[i].substr(0, equals);
    if (name.size() > 2 && name[0] == '-' && name[1] != '-') {
      name = absl::StrCat("-", name.substr(name.size() - 1));  // of several letters only the last may have a value
    }
    const Flag* flag = FindOwnOrGlobal(command, name);
    if (flag == nullptr) {
      continue;
    }
    if (flag->value.empty()) {
      if (equals != std::string::npos) {
        return UsageError(absl::StrCat("--", flag->name, " takes no value"), absl::StrCat("write --", flag->name));
      }
      continue;
    }
    // A value may be any word, also one that looks like a flag.
    if (equals == std::string::npos && i + 1 == rest.size()) {
      return UsageError(absl::StrCat("--", flag->name, " needs a value"),
                        flag->choices.empty() ? absl::StrCat("write --", flag->name, " ", flag->value, ": ", flag->help)
                                              : absl::StrCat("use one of: ", absl::StrJoin(flag->choices, ", ")));
    }
    i += equals == std::string::npos ? 1 : 0;
  }
  return UsageError(absl::StrCat("the arguments of 'multigres ", command.path, "' cannot be told apart"),
                    SeeHelp(command));
}

/// --json and --yaml are short for an --output; two different ones have no meaning.
absl::Status CheckFormats(const Command& command, const Arguments& arguments) {
  std::string first, format;
  for (const char* flag : {"output", "json", "yaml"}) {
    if (!arguments.Has(flag) || FindFlag(command.flags, absl::StrCat("--", flag)) != nullptr) {
      continue;  // not given, or a command's own flag that means something else
    }
    const std::string wanted = arguments.Get(flag, flag) == "true" ? flag : arguments.Get(flag);
    const std::string said = wanted == flag ? absl::StrCat("--", flag) : absl::StrCat("--", flag, " ", wanted);
    if (!format.empty() && wanted != format) {
      return UsageError(absl::StrCat(first, " and ", said, " exclude each other"), "give one of them");
    }
    first = first.empty() ? said : first;
    format = wanted;
  }
  return absl::OkStatus();
}

/// Storage that CLI11 binds to.
struct Bound {
  const Flag* flag = nullptr;
  bool on = false;
  std::vector<std::string> values = {};
  CLI::Option* option = nullptr;
};

void AddFlags(CLI::App* app, const Command& command, std::deque<Bound>* bound) {
  for (const std::vector<Flag>* flags : {&command.flags, &GlobalFlags()}) {
    for (const Flag& flag : *flags) {
      bool global = flags == &GlobalFlags();
      // A command's own flag, or short letter, of the same name wins over the global one.
      if (global && FindFlag(command.flags, absl::StrCat("--", flag.name)) != nullptr) {
        continue;
      }
      std::string letter = flag.letter == 0 ? "" : absl::StrCat("-", std::string(1, flag.letter));
      if (global && !letter.empty() && FindFlag(command.flags, letter) != nullptr) {
        letter.clear();
      }
      Bound& b = bound->emplace_back(Bound{.flag = &flag});
      std::string names = absl::StrCat(letter, letter.empty() ? "--" : ",--", flag.name);
      if (flag.value.empty()) {
        b.option = app->add_flag(names, b.on);
      } else {
        b.option = app->add_option(names, b.values)
                       ->type_size(1)
                       ->allow_extra_args(false)
                       ->expected(1)
                       ->multi_option_policy(flag.repeated ? CLI::MultiOptionPolicy::TakeAll
                                                           : CLI::MultiOptionPolicy::TakeLast);
      }
    }
  }
}

absl::Status TakeValues(const Bound& bound, Arguments* arguments) {
  const Flag& flag = *bound.flag;
  if (bound.option->count() == 0 || (flag.value.empty() && !bound.on)) {
    return absl::OkStatus();
  }
  std::vector<std::string>& values = arguments->values[flag.name];
  if (flag.value.empty()) {
    values = {"true"};
    return absl::OkStatus();
  }
  for (const std::string& value : bound.values) {
    std::vector<std::string> parts = {value};
    if (flag.repeated) {
      parts = absl::StrSplit(value, ',', absl::SkipEmpty());
    }
    for (const std::string& part : parts) {
      if (!flag.choices.empty() && std::find(flag.choices.begin(), flag.choices.end(), part) == flag.choices.end()) {
        return UsageError(absl::StrCat("'", part, "' is not a value of --", flag.name),
                          absl::StrCat("use one of: ", absl::StrJoin(flag.choices, ", ")));
      }
      values.push_back(part);
    }
  }
  return absl::OkStatus();
}

/// `-o=json`, which CLI11 would take for the value `=json`, in the long form.
std::vector<std::string> WithLongForms(const Command& command, std::vector<std::string> rest) {
  for (size_t i = 0; i < rest.size() && rest[i] != "--"; ++i) {
    std::string& word = rest[i];
    if (FlagBeforeItsValue(command.flags, word) != nullptr || FlagBeforeItsValue(GlobalFlags(), word) != nullptr) {
      ++i;
    } else if (word.size() > 2 && word[0] == '-' && word[1] != '-' && word[2] == '=') {
      const Flag* flag = FindOwnOrGlobal(command, word.substr(0, 2));
      word = flag == nullptr ? word : absl::StrCat("--", flag->name, word.substr(2));
    }
  }
  return rest;
}

absl::StatusOr<Arguments> ParseFlags(const Command& command, const std::vector<std::string>& given) {
  const std::vector<std::string> rest = WithLongForms(command, given);
  CLI::App app(command.summary, command.path);
  app.set_help_flag();
  std::deque<Bound> bound;
  AddFlags(&app, command, &bound);
  Arguments arguments;
  arguments.command = &command;
  app.add_option("positionals", arguments.positionals)->expected(0, 1000);
  std::vector<std::string> reversed(rest.rbegin(), rest.rend());
  try {
    app.parse(reversed);
  } catch (const CLI::ExtrasError&) {
    return ExplainExtra(command, app.remaining().front());
  } catch (const CLI::ParseError&) {
    return ExplainParse(command, rest);
  }
  for (const Bound& b : bound) {
    MG_RETURN_IF_ERROR(TakeValues(b, &arguments));
  }
  MG_RETURN_IF_ERROR(CheckFormats(command, arguments));
  return arguments;
}

absl::Status CheckPositionals(const Command& command, const Arguments& arguments) {
  size_t least = 0;
  bool unbounded = false;
  for (const Positional& positional : command.positionals) {
    least += positional.required ? 1 : 0;
    unbounded |= positional.repeated;
  }
  if (arguments.positionals.size() < least) {
    const Positional& missing = command.positionals[arguments.positionals.size()];
    return UsageError(absl::StrCat("'multigres ", command.path, "' needs ", missing.name), SeeHelp(command));
  }
  if (!unbounded && arguments.positionals.size() > command.positionals.size()) {
    return ExplainExtra(command, arguments.positionals[command.positionals.size()]);
  }
  return absl::OkStatus();
}

}  // namespace

namespace {

/// What goes into protobuf messages must be UTF-8. What stands behind two dashes is another program's.
absl::Status CheckUtf8(const std::vector<std::string>& arguments) {
  for (const std::string& word : arguments) {
    if (word == "--") {
      break;
    }
    if (text::ToValidUtf8(word) != word) {
      return UsageError(absl::StrCat("'", absl::CHexEscape(word), "' is not UTF-8"), "write names and values in UTF-8");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ParseResult> Parse(const std::vector<Command>& commands, const std::vector<std::string>& arguments) {
  MG_RETURN_IF_ERROR(CheckUtf8(arguments));
  Words words = FindCommand(commands, arguments);
  auto end = std::find(words.rest.begin(), words.rest.end(), "--");
  bool help = std::any_of(words.rest.begin(), end, [](const std::string& w) { return w == "--help" || w == "-h"; });
  std::string path = absl::StrJoin(words.matched, " ");
  if (words.matched.empty() && !help && !words.rest.empty() && words.rest[0] == "help") {
    Words wanted = FindCommand(commands, {words.rest.begin() + 1, words.rest.end()});
    if (!wanted.rest.empty()) {
      return UnknownCommand(commands, wanted);
    }
    return ParseResult{.kind = ParseResult::Kind::kHelp, .help_for = absl::StrJoin(wanted.matched, " ")};
  }
  if (help) {
    return ParseResult{.kind = ParseResult::Kind::kHelp,
                       .help_for = words.command != nullptr ? words.command->path : path};
  }
  if (words.command == nullptr) {
    if (arguments.empty()) {
      return ParseResult{.kind = ParseResult::Kind::kHelp};
    }
    if (words.matched.empty() && std::find(words.rest.begin(), words.rest.end(), "--version") != words.rest.end()) {
      return ParseResult{.kind = ParseResult::Kind::kVersion};
    }
    return UnknownCommand(commands, words);
  }
  MG_ASSIGN_OR_RETURN(Arguments parsed, ParseFlags(*words.command, words.rest));
  parsed.path = absl::StrJoin(words.matched, " ");
  MG_RETURN_IF_ERROR(CheckPositionals(*words.command, parsed));
  return ParseResult{.kind = ParseResult::Kind::kRun, .arguments = std::move(parsed)};
}

}  // namespace mg::cli
