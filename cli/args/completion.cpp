#include "cli/args/completion.h"

#include <algorithm>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace mg::cli {
namespace {

const Flag* FindFlag(const Command* command, const std::string& word) {
  auto named = [&](const Flag& flag) {
    return word == absl::StrCat("--", flag.name) ||
           (flag.letter != 0 && word == absl::StrCat("-", std::string(1, flag.letter)));
  };
  const std::vector<Flag> none;
  for (const std::vector<Flag>* flags : {command != nullptr ? &command->flags : &none, &GlobalFlags()}) {
    auto found = std::find_if(flags->begin(), flags->end(), named);
    if (found != flags->end()) {
      return &*found;
    }
  }
  return nullptr;
}

LiveNames OfFlag(const Flag& flag) {
  static const auto* const kNames = new std::map<std::string, LiveNames>{
      {"cell", LiveNames::kCells},       {"cells", LiveNames::kCells},      {"database", LiveNames::kDatabases},
      {"cluster", LiveNames::kClusters}, {"context", LiveNames::kContexts}, {"to", LiveNames::kPoolers},
      {"leader", LiveNames::kPoolers},   {"cohort", LiveNames::kPoolers},   {"standby", LiveNames::kPoolers}};
  auto found = kNames->find(flag.name);
  return found == kNames->end() || flag.value == "N" ? LiveNames::kNone : found->second;
}

bool IsFile(const Flag& flag) {
  return flag.value == "FILE" || flag.name == "config-path" || flag.name == "backup-location";
}

bool IsFile(const Positional& positional) { return positional.name == "FILE" || positional.name == "PATH"; }

// By the words that lead to the command; the longest that fits.
LiveNames OfPositional(const Command& command) {
  static const auto* const kNames =
      new std::vector<std::pair<std::string, LiveNames>>{{"topology cell get", LiveNames::kCells},
                                                         {"topology cell update", LiveNames::kCells},
                                                         {"topology cell delete", LiveNames::kCells},
                                                         {"topology db get", LiveNames::kDatabases},
                                                         {"topology db delete", LiveNames::kDatabases},
                                                         {"shard", LiveNames::kDatabases},
                                                         {"gateway", LiveNames::kGateways},
                                                         {"pooler", LiveNames::kPoolers},
                                                         {"orch", LiveNames::kOrchs},
                                                         {"component", LiveNames::kComponents},
                                                         {"context use", LiveNames::kContexts},
                                                         {"context remove", LiveNames::kContexts},
                                                         {"restart", LiveNames::kSelectors},
                                                         {"cluster start", LiveNames::kSelectors},
                                                         {"cluster stop", LiveNames::kSelectors},
                                                         {"cluster signal", LiveNames::kSelectors},
                                                         {"logs", LiveNames::kLogs},
                                                         {"events", LiveNames::kSelectors},
                                                         {"why", LiveNames::kComponents},
                                                         {"wait", LiveNames::kSelectors},
                                                         {"chaos", LiveNames::kFaultTargets},
                                                         {"admin token revoke", LiveNames::kTokens},
                                                         {"backup restore", LiveNames::kBackups},
                                                         {"schema", LiveNames::kSchemas}};
  for (const auto& [path, names] : *kNames) {
    if (command.path == path || absl::StartsWith(command.path, absl::StrCat(path, " "))) {
      return names;
    }
  }
  return LiveNames::kNone;
}

struct Line {
  const Command* command = nullptr;
  std::vector<std::string> nouns;  ///< words that lead into the tree of commands
  bool beyond = false;             ///< a word that does not: the command's own arguments have begun
};

bool Leads(const std::vector<Command>& commands, const std::string& prefix) {
  return std::any_of(commands.begin(), commands.end(), [&](const Command& command) {
    auto fits = [&](const std::string& path) {
      return path == prefix || absl::StartsWith(path, absl::StrCat(prefix, " "));
    };
    return fits(command.path) || std::any_of(command.aliases.begin(), command.aliases.end(), fits);
  });
}

const Command* Named(const std::vector<Command>& commands, const std::string& path) {
  for (const Command& command : commands) {
    if (command.path == path ||
        std::find(command.aliases.begin(), command.aliases.end(), path) != command.aliases.end()) {
      return &command;
    }
  }
  return nullptr;
}

Line Read(const std::vector<Command>& commands, const std::vector<std::string>& words, Arguments* arguments) {
  Line line;
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    const std::string& word = words[i];
    if (absl::StartsWith(word, "-")) {
      std::vector<std::string> parts = absl::StrSplit(word, absl::MaxSplits('=', 1));
      const Flag* flag = FindFlag(line.command, parts[0]);
      if (flag == nullptr || flag->value.empty()) {
        continue;
      }
      if (parts.size() == 2) {
        arguments->values[flag->name] = {parts[1]};
      } else if (i + 2 < words.size()) {
        i += words[i + 1] == "=" && i + 3 < words.size() ? 2 : 1;
        arguments->values[flag->name] = {words[i]};
      }
      continue;
    }
    std::vector<std::string> next = line.nouns;
    next.push_back(word);
    if (!line.beyond && Leads(commands, absl::StrJoin(next, " "))) {
      line.nouns = std::move(next);
      line.command = Named(commands, absl::StrJoin(line.nouns, " "));
    } else {
      line.beyond = true;
    }
  }
  return line;
}

void Offer(Completion* completion, const std::string& value, const std::string& description) {
  bool there = std::any_of(completion->candidates.begin(), completion->candidates.end(),
                           [&](const Candidate& candidate) { return candidate.value == value; });
  if (!there && absl::StartsWith(value, absl::StrCat(completion->before, completion->prefix))) {
    completion->candidates.push_back({value, description});
  }
}

void OfferCommands(Completion* completion, const std::vector<Command>& commands, const Line& line) {
  for (const Command& command : commands) {
    std::vector<std::string> paths = command.aliases;
    paths.insert(paths.begin(), command.path);
    for (const std::string& path : paths) {
      std::vector<std::string> parts = absl::StrSplit(path, ' ');
      if (!command.hidden && parts.size() > line.nouns.size() &&
          std::equal(line.nouns.begin(), line.nouns.end(), parts.begin())) {
        bool whole = parts.size() == line.nouns.size() + 1;
        Offer(completion, parts[line.nouns.size()], whole ? command.summary : "");
      }
    }
  }
}

void OfferFlags(Completion* completion, const Command* command) {
  const std::vector<Flag> none;
  for (const std::vector<Flag>* flags : {command != nullptr ? &command->flags : &none, &GlobalFlags()}) {
    for (const Flag& flag : *flags) {
      if (!flag.hidden) {
        Offer(completion, absl::StrCat("--", flag.name), flag.help);
      }
    }
  }
}

void OfferValues(Completion* completion, const Flag& flag) {
  const size_t comma = flag.repeated ? completion->prefix.rfind(',') : std::string::npos;
  if (comma != std::string::npos) {
    completion->listed = absl::StrSplit(completion->prefix.substr(0, comma), ',');
    completion->before += completion->prefix.substr(0, comma + 1);
    completion->prefix.erase(0, comma + 1);
  }
  for (const std::string& choice : flag.choices) {
    if (std::find(completion->listed.begin(), completion->listed.end(), choice) == completion->listed.end()) {
      Offer(completion, absl::StrCat(completion->before, choice), "");
    }
  }
  completion->live = OfFlag(flag);
  completion->files = IsFile(flag);
}

}  // namespace

Completion Complete(const std::vector<Command>& commands, const std::vector<std::string>& words) {
  Completion completion;
  if (words.empty()) {
    return completion;
  }
  if (std::find(words.begin(), words.end() - 1, "--") != words.end() - 1) {
    completion.files = true;  // what follows is another program's, and may be anything
    return completion;
  }
  Line line = Read(commands, words, &completion.arguments);
  completion.prefix = words.back();
  size_t count = words.size();
  // bash: `--cell =` and `--cell = zo`.
  size_t before = completion.prefix == "=" ? 2 : count >= 3 && words[count - 2] == "=" ? 3 : 2;
  completion.prefix = completion.prefix == "=" ? "" : completion.prefix;
  const Flag* flag = count >= before ? FindFlag(line.command, words[count - before]) : nullptr;
  if (flag != nullptr && !flag->value.empty()) {
    OfferValues(&completion, *flag);
    return completion;
  }
  if (absl::StartsWith(completion.prefix, "-")) {
    size_t equals = completion.prefix.find('=');
    const Flag* own =
        equals == std::string::npos ? nullptr : FindFlag(line.command, completion.prefix.substr(0, equals));
    if (own == nullptr) {
      OfferFlags(&completion, line.command);
      return completion;
    }
    completion.before = completion.prefix.substr(0, equals + 1);
    completion.prefix = completion.prefix.substr(equals + 1);
    OfferValues(&completion, *own);
    return completion;
  }
  if (!line.beyond) {
    OfferCommands(&completion, commands, line);
  }
  if (line.command != nullptr && !line.command->positionals.empty()) {
    completion.live = OfPositional(*line.command);
    completion.files = IsFile(line.command->positionals[0]);
    if (line.command->path == "completion") {
      for (const char* shell : {"bash", "zsh", "fish"}) {
        Offer(&completion, shell, "");
      }
    }
  }
  return completion;
}

std::string CompletionScript(const std::string& shell) {
  if (shell == "bash") {
    return R"(# multigres completion for bash; load it by: source <(multigres completion bash)
_multigres() {
  local IFS=$'\n' line
  COMPREPLY=()
  while read -r line; do
    if [[ $line == :files ]]; then
      compopt -o default 2>/dev/null
    else
      COMPREPLY+=("${line%%$'\t'*}")
    fi
  done < <("${COMP_WORDS[0]}" __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _multigres multigres
)";
  }
  if (shell == "zsh") {
    return R"(#compdef multigres
# multigres completion for zsh; load it by: source <(multigres completion zsh)
_multigres() {
  local -a found
  local line value files
  while IFS= read -r line; do
    value=${line%%$'\t'*}
    if [[ $line == :files ]]; then
      files=1
    elif [[ $line == *$'\t'* ]]; then
      found+=("${value//:/\\:}:${line#*$'\t'}")
    else
      found+=("${value//:/\\:}")
    fi
  done < <("${words[1]}" __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)
  if (( ${#found} )); then
    _describe -t values multigres found
  elif [[ -n $files ]]; then
    [[ ${words[CURRENT]} == --*=* ]] && compset -P '*='
    _files
  fi
}
if [ "${funcstack[1]}" = _multigres ]; then
  _multigres "$@"
else
  compdef _multigres multigres
fi
)";
  }
  return R"(# multigres completion for fish; load it by: multigres completion fish | source
function __multigres_complete
    set -l words (commandline -opc) (commandline -ct)
    for line in ($words[1] __complete -- $words[2..-1] 2>/dev/null)
        if test "$line" = :files
            set -l flag (string match -r -- '^--[^=]*=' $words[-1])
            for path in (__fish_complete_path (string replace -r -- '^--[^=]*=' '' $words[-1]))
                echo "$flag$path"
            end
        else
            echo "$line"
        end
    end
end
complete -c multigres -f -a '(__multigres_complete)'
)";
}

}  // namespace mg::cli
