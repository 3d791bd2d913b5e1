/// Command line flags of the components, in the style of upstream's: `--name value` or `--name=value`, booleans as
/// `--flag` or
/// `--flag=false`, lists comma-separated and repeatable, durations as Go writes them (500ms, 1m30s). Precedence:
/// command line, then the flag's environment variables in their order, then the config file's key (YAML or JSON;
/// `--config-file`, else `--config-name` in the directories of `--config-path`), then the default.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace mg::flags {

/// A Go duration: a sequence of decimal numbers with units ns, us, ms, s, m, h. "0" is zero.
absl::StatusOr<absl::Duration> ParseDuration(const std::string& text);
std::string DurationText(absl::Duration duration);

/// A set of flags bound to variables; a variable's value when Add is called is the default. Variables must outlive
/// Parse. Not thread-safe; used once in main.
class FlagSet {
 public:
  FlagSet(std::string program, std::string description);
  ~FlagSet();

  void Add(const std::string& name, std::string* value, const std::string& help,
           const std::vector<std::string>& env = {});
  void Add(const std::string& name, int* value, const std::string& help, const std::vector<std::string>& env = {});
  void Add(const std::string& name, std::int64_t* value, const std::string& help,
           const std::vector<std::string>& env = {});
  void Add(const std::string& name, double* value, const std::string& help, const std::vector<std::string>& env = {});
  void Add(const std::string& name, bool* value, const std::string& help, const std::vector<std::string>& env = {});
  void Add(const std::string& name, absl::Duration* value, const std::string& help,
           const std::vector<std::string>& env = {});
  void Add(const std::string& name, std::vector<std::string>* value, const std::string& help,
           const std::vector<std::string>& env = {});
  /// `-x` as a short form of the flag `name`.
  void Short(char letter, const std::string& name);
  /// Accepted, parsed, and left out of the help.
  void Hide(const std::string& name);
  /// Flags of upstream's command lines that nothing here uses: each is parsed as a T (one of Add's types), hidden, and
  /// among Values only where it was given.
  template <typename T>
  void Accept(std::initializer_list<const char*> names) {
    for (const char* name : names) {
      auto value = std::make_shared<T>();
      Add(name, value.get(), "taken and not used");
      Keep(name, std::move(value));
    }
  }

  /// Words before the first flag (pgctld's subcommands). Without this call a positional argument is an error.
  void AllowPositional(std::vector<std::string>* words, const std::string& help);

  /// Parses. INVALID_ARGUMENT with one sentence for an unknown flag, a bad value or a stray word. `--help` prints the
  /// help on stdout and returns CANCELLED: exit 0.
  absl::Status Parse(int argc, char** argv);

  /// Name and present value of every flag that is used or was given, for /config. Values of flags marked secret are
  /// shown as "***".
  std::vector<std::pair<std::string, std::string>> Values() const;
  void MarkSecret(const std::string& name);

 private:
  void Keep(const std::string& name, std::shared_ptr<void> value);

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mg::flags
