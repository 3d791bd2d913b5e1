/// A command as a declaration: everything that parsing, help, suggestions and the documentation need, and the function
/// that runs it. Plain values; built once in cli/commands/registry.cpp.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace mg::cli {

class Context;

struct Flag {
  std::string name;                       ///< without dashes
  char letter = 0;                        ///< short form; 0: none
  std::string value = {};                 ///< name of its value in the help; empty: a switch
  std::string help = {};                  ///< one sentence, lower case, without a dot
  std::vector<std::string> choices = {};  ///< the only values allowed; empty: any
  bool repeated = false;                  ///< may be given several times; values may be separated by commas
  bool hidden = false;
};

struct Positional {
  std::string name;  ///< as the usage shows it
  std::string help;
  bool required = false;
  bool repeated = false;
};

struct Example {
  std::string command;
  std::string comment;
};

struct Command {
  std::string path;     ///< words after the program's name: "topology cell list"
  std::string summary;  ///< one sentence, lower case, without a dot
  std::string description = {};
  std::vector<Positional> positionals = {};
  std::vector<Flag> flags = {};
  std::vector<Example> examples = {};
  std::vector<std::string> aliases = {};  ///< further paths of the same command, shown in its help only
  std::string group = {};                 ///< heading in the main help; empty: only listed under its noun
  bool hidden = false;
  bool upstream = false;          ///< one of upstream's own: its errors are `Error: text`, its exit status is 0 or 1
  bool upstream_aliases = false;  ///< its aliases are upstream's spelling, which has the same manner
  std::function<int(Context&)> run = {};
};

/// The flags that every command takes.
const std::vector<Flag>& GlobalFlags();

/// What a command line said.
struct Arguments {
  const Command* command = nullptr;
  std::string path;                                        ///< as it was called: the command's, or an alias
  std::map<std::string, std::vector<std::string>> values;  ///< flags that were given; a switch has the value "true"
  std::vector<std::string> positionals;

  /// Called as upstream's scripts do, by a command or an alias of theirs.
  bool InUpstreamsWords() const { return command->upstream || (command->upstream_aliases && path != command->path); }
  bool Has(const std::string& flag) const { return values.contains(flag); }
  /// The last value, or `fallback`.
  std::string Get(const std::string& flag, const std::string& fallback = "") const;
  std::vector<std::string> GetAll(const std::string& flag) const;
  /// All that was said beyond the names of flags: values and positionals.
  std::vector<std::string> Said() const;
};

}  // namespace mg::cli
