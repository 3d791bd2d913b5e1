#include "common/flags/flags.h"

#include <yaml-cpp/yaml.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <functional>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/status/status.h"

namespace mg::flags {

absl::StatusOr<absl::Duration> ParseDuration(const std::string& text) {
  absl::Duration duration;
  // Abseil reads Go's notation; "0" without a unit is zero in both.
  if (!absl::ParseDuration(text, &duration)) {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not a duration such as 500ms or 1m30s"));
  }
  return duration;
}

std::string DurationText(absl::Duration duration) { return absl::FormatDuration(duration); }

namespace {

absl::StatusOr<bool> ParseBool(const std::string& text) {
  bool value = false;
  if (!absl::SimpleAtob(text, &value)) {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "' is neither true nor false"));
  }
  return value;
}

/// One flag: how to set it from text and how to show it.
struct Entry {
  std::string name, help, type;
  char letter = 0;
  bool hidden = false, secret = false, is_bool = false, is_list = false;
  bool unused = false;  ///< nothing reads its value, and nobody gave one
  std::vector<std::string> env;
  std::function<absl::Status(const std::vector<std::string>&)> set;
  std::function<std::string()> get;
  std::string default_text;
  // Filled by CLI11.
  std::vector<std::string> given;
  CLI::Option* option = nullptr;
};

std::vector<std::string> SplitList(const std::vector<std::string>& values) {
  std::vector<std::string> result;
  for (const std::string& value : values) {
    for (absl::string_view part : absl::StrSplit(value, ',', absl::SkipEmpty())) {
      result.emplace_back(part);
    }
  }
  return result;
}

}  // namespace

struct FlagSet::Impl {
  std::string program, description;
  std::deque<Entry> entries;
  std::vector<std::string>* positionals = nullptr;
  std::string positionals_help;

  Entry& Add(const std::string& name, const std::string& type, const std::string& help,
             const std::vector<std::string>& env) {
    Entry& entry = entries.emplace_back();
    entry.name = name;
    entry.help = help;
    entry.type = type;
    entry.env = env;
    return entry;
  }

  template <typename T>
  Entry& AddScalar(const std::string& name, const std::string& type, T* value, const std::string& help,
                   const std::vector<std::string>& env, std::function<absl::StatusOr<T>(const std::string&)> parse,
                   std::function<std::string(const T&)> format) {
    Entry& entry = Add(name, type, help, env);
    entry.set = [value, parse](const std::vector<std::string>& values) -> absl::Status {
      MG_ASSIGN_OR_RETURN(*value, parse(values.back()));
      return absl::OkStatus();
    };
    entry.get = [value, format] { return format(*value); };
    entry.default_text = entry.get();
    return entry;
  }

  Entry* Find(const std::string& name) {
    for (Entry& entry : entries) {
      if (entry.name == name) {
        return &entry;
      }
    }
    return nullptr;
  }

  std::string Help() const;
  absl::Status ParseCommandLine(int argc, char** argv);
  absl::Status ApplyConfigFile(const std::set<const Entry*>& done);
  absl::StatusOr<std::string> ConfigFile();
};

std::string FlagSet::Impl::Help() const {
  std::string text =
      absl::StrCat(description, "\n\nUsage:\n  ", program, positionals != nullptr ? " [command]" : "", " [flags]\n");
  if (positionals != nullptr) {
    absl::StrAppend(&text, "\n", positionals_help, "\n");
  }
  absl::StrAppend(&text, "\nFlags:\n");
  for (const Entry& entry : entries) {
    if (entry.hidden) {
      continue;
    }
    absl::StrAppend(&text, "  ", entry.letter != 0 ? absl::StrCat("-", std::string(1, entry.letter), ", ") : "    ",
                    "--", entry.name, entry.is_bool ? "" : absl::StrCat(" ", entry.type), "\n        ", entry.help);
    if (!entry.default_text.empty() && entry.default_text != "false" && !entry.secret) {
      absl::StrAppend(&text, " (default ", entry.default_text, ")");
    }
    if (!entry.env.empty()) {
      absl::StrAppend(&text, " [", absl::StrJoin(entry.env, ", "), "]");
    }
    absl::StrAppend(&text, "\n");
  }
  return text;
}

absl::Status FlagSet::Impl::ParseCommandLine(int argc, char** argv) {
  CLI::App app(description, program);
  app.set_help_flag();
  bool help = false;
  app.add_flag("-h,--help", help);
  for (Entry& entry : entries) {
    std::string names = entry.letter != 0 ? absl::StrCat("-", std::string(1, entry.letter), ",--", entry.name)
                                          : absl::StrCat("--", entry.name);
    entry.option =
        app.add_option(names, entry.given)
            ->type_size(1)
            ->allow_extra_args(false)
            ->expected(entry.is_bool ? 0 : 1, 1)
            ->multi_option_policy(entry.is_list ? CLI::MultiOptionPolicy::TakeAll : CLI::MultiOptionPolicy::TakeLast);
  }
  std::vector<std::string> words;
  if (positionals != nullptr) {
    app.add_option("words", words)->expected(0, 1000);
  }
  // A boolean never takes the next word as its value: `--flag value` is the flag and a stray word, as in pflag.
  std::vector<std::string> arguments;
  for (int i = argc - 1; i > 0; --i) {
    std::string word = argv[i];
    if (absl::StartsWith(word, "--") && !absl::StrContains(word, "=")) {
      if (Entry* entry = Find(word.substr(2)); entry != nullptr && entry->is_bool) {
        word += "=true";
      }
    }
    arguments.push_back(word);
  }
  try {
    app.parse(arguments);
  } catch (const CLI::ExtrasError&) {
    std::string word = app.remaining().front();
    return absl::InvalidArgumentError(absl::StartsWith(word, "-") ? absl::StrCat("unknown flag: ", word)
                                                                  : absl::StrCat("unexpected argument: ", word));
  } catch (const CLI::ParseError& error) {
    return absl::InvalidArgumentError(error.what());
  }
  if (help) {
    std::fputs(Help().c_str(), stdout);
    return absl::CancelledError("help was shown");
  }
  if (positionals != nullptr) {
    *positionals = std::move(words);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> FlagSet::Impl::ConfigFile() {
  auto text = [this](const char* name) {
    Entry* entry = Find(name);
    return entry == nullptr ? std::string() : entry->get();
  };
  std::string handling = text("config-file-not-found-handling");
  bool must_exist = handling == "error" || handling == "exit";
  if (std::string file = text("config-file"); !file.empty()) {
    if (std::ifstream(file).good()) {
      return file;
    }
    return must_exist ? absl::StatusOr<std::string>(
                            absl::NotFoundError(absl::StrCat("config file ", file, " is not readable")))
                      : absl::StatusOr<std::string>("");
  }
  std::string type = text("config-type");
  std::vector<std::string> endings = {"yaml", "yml", "json"};
  if (!type.empty()) {
    endings = {type};
  }
  for (absl::string_view directory : absl::StrSplit(text("config-path"), ',', absl::SkipEmpty())) {
    for (const std::string& ending : endings) {
      std::string path = absl::StrCat(directory, "/", text("config-name"), ".", ending);
      if (std::ifstream(path).good()) {
        return path;
      }
    }
  }
  return must_exist ? absl::StatusOr<std::string>(absl::NotFoundError("no config file was found"))
                    : absl::StatusOr<std::string>("");
}

absl::Status FlagSet::Impl::ApplyConfigFile(const std::set<const Entry*>& done) {
  if (Find("config-file") == nullptr) {
    return absl::OkStatus();
  }
  MG_ASSIGN_OR_RETURN(std::string path, ConfigFile());
  if (path.empty()) {
    return absl::OkStatus();
  }
  try {
    YAML::Node root = YAML::LoadFile(path);
    for (const auto& item : root) {
      Entry* entry = Find(item.first.as<std::string>());
      if (entry == nullptr || done.contains(entry)) {
        continue;
      }
      std::vector<std::string> values;
      if (item.second.IsSequence()) {
        values = item.second.as<std::vector<std::string>>();
      } else {
        values = {item.second.as<std::string>()};
      }
      MG_RETURN_IF_ERROR(WithContext(entry->set(values), absl::StrCat(path, ": ", entry->name)));
    }
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", error.what()));
  }
  return absl::OkStatus();
}

FlagSet::FlagSet(std::string program, std::string description) : impl_(std::make_unique<Impl>()) {
  impl_->program = std::move(program);
  impl_->description = std::move(description);
}

FlagSet::~FlagSet() = default;

void FlagSet::Add(const std::string& name, std::string* value, const std::string& help,
                  const std::vector<std::string>& env) {
  impl_->AddScalar<std::string>(
      name, "string", value, help, env, [](const std::string& text) { return text; },
      [](const std::string& v) { return v; });
}

void FlagSet::Add(const std::string& name, int* value, const std::string& help, const std::vector<std::string>& env) {
  impl_->AddScalar<int>(
      name, "int", value, help, env,
      [](const std::string& text) -> absl::StatusOr<int> {
        int parsed = 0;
        if (!absl::SimpleAtoi(text, &parsed)) {
          return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not a whole number"));
        }
        return parsed;
      },
      [](const int& v) { return absl::StrCat(v); });
}

void FlagSet::Add(const std::string& name, std::int64_t* value, const std::string& help,
                  const std::vector<std::string>& env) {
  impl_->AddScalar<std::int64_t>(
      name, "int", value, help, env,
      [](const std::string& text) -> absl::StatusOr<std::int64_t> {
        std::int64_t parsed = 0;
        if (!absl::SimpleAtoi(text, &parsed)) {
          return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not a whole number"));
        }
        return parsed;
      },
      [](const std::int64_t& v) { return absl::StrCat(v); });
}

void FlagSet::Add(const std::string& name, double* value, const std::string& help,
                  const std::vector<std::string>& env) {
  impl_->AddScalar<double>(
      name, "float", value, help, env,
      [](const std::string& text) -> absl::StatusOr<double> {
        double parsed = 0;
        if (!absl::SimpleAtod(text, &parsed) || !std::isfinite(parsed)) {
          return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not a number"));
        }
        return parsed;
      },
      [](const double& v) { return absl::StrCat(v); });
}

void FlagSet::Add(const std::string& name, bool* value, const std::string& help, const std::vector<std::string>& env) {
  Entry& entry = impl_->AddScalar<bool>(name, "", value, help, env, ParseBool,
                                        [](const bool& v) { return std::string(v ? "true" : "false"); });
  entry.is_bool = true;
}

void FlagSet::Add(const std::string& name, absl::Duration* value, const std::string& help,
                  const std::vector<std::string>& env) {
  impl_->AddScalar<absl::Duration>(name, "duration", value, help, env, ParseDuration,
                                   [](const absl::Duration& v) { return DurationText(v); });
}

void FlagSet::Add(const std::string& name, std::vector<std::string>* value, const std::string& help,
                  const std::vector<std::string>& env) {
  Entry& entry = impl_->Add(name, "list", help, env);
  entry.is_list = true;
  entry.set = [value](const std::vector<std::string>& values) {
    *value = SplitList(values);
    return absl::OkStatus();
  };
  entry.get = [value] { return absl::StrJoin(*value, ","); };
  entry.default_text = entry.get();
}

void FlagSet::Short(char letter, const std::string& name) {
  if (Entry* entry = impl_->Find(name); entry != nullptr) {
    entry->letter = letter;
  }
}

void FlagSet::Hide(const std::string& name) {
  if (Entry* entry = impl_->Find(name); entry != nullptr) {
    entry->hidden = true;
  }
}

void FlagSet::Keep(const std::string& name, std::shared_ptr<void> value) {
  Entry& entry = *impl_->Find(name);
  entry.hidden = true;
  entry.unused = true;
  entry.set = [set = std::move(entry.set), value = std::move(value), &entry](const std::vector<std::string>& values) {
    entry.unused = false;
    return set(values);
  };
}

void FlagSet::MarkSecret(const std::string& name) {
  if (Entry* entry = impl_->Find(name); entry != nullptr) {
    entry->secret = true;
  }
}

void FlagSet::AllowPositional(std::vector<std::string>* words, const std::string& help) {
  impl_->positionals = words;
  impl_->positionals_help = help;
}

absl::Status FlagSet::Parse(int argc, char** argv) {
  MG_RETURN_IF_ERROR(impl_->ParseCommandLine(argc, argv));
  std::set<const Entry*> done;
  for (Entry& entry : impl_->entries) {
    if (entry.option->count() > 0) {
      MG_RETURN_IF_ERROR(WithContext(entry.set(entry.given), absl::StrCat("--", entry.name)));
      done.insert(&entry);
      continue;
    }
    for (const std::string& name : entry.env) {
      if (const char* value = std::getenv(name.c_str()); value != nullptr && *value != '\0') {
        MG_RETURN_IF_ERROR(WithContext(entry.set({value}), name));
        done.insert(&entry);
        break;
      }
    }
  }
  return impl_->ApplyConfigFile(done);
}

std::vector<std::pair<std::string, std::string>> FlagSet::Values() const {
  std::vector<std::pair<std::string, std::string>> result;
  for (const Entry& entry : impl_->entries) {
    if (entry.unused) {
      continue;
    }
    std::string value = entry.get();
    result.emplace_back(entry.name, entry.secret && !value.empty() ? "***" : value);
  }
  return result;
}

}  // namespace mg::flags
