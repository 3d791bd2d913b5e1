#include "common/pginstall/pginstall.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/fs/fs.h"
#include "common/process/helper.h"
#include "common/status/status.h"

namespace mg::pginstall {
namespace {

constexpr char kDebianRoot[] = "/usr/lib/postgresql";

absl::StatusOr<Installation> Examine(const std::string& bin_dir) {
  MG_ASSIGN_OR_RETURN(HelperResult result, RunHelperOk({.argv = {JoinPath(bin_dir, "postgres"), "--version"},
                                                        .timeout = absl::Seconds(10)}));
  // `postgres (PostgreSQL) 15.20 (Debian …)`; development versions say 17devel.
  std::vector<std::string> words = absl::StrSplit(absl::StripAsciiWhitespace(result.standard_output), ' ');
  Installation installation;
  installation.bin_dir = bin_dir;
  if (words.size() >= 3) {
    installation.version = words[2];
    std::string digits = words[2].substr(0, words[2].find_first_not_of("0123456789"));
    if (absl::SimpleAtoi(digits, &installation.major)) {
      return installation;
    }
  }
  return absl::InternalError(
      absl::StrCat("cannot read the version of ", bin_dir, "/postgres: ", result.standard_output));
}

absl::Status Missing(const std::string& what) {
  return MakeError(absl::StatusCode::kNotFound, absl::StrCat(what, " is not installed"),
                   {.reason = "POSTGRES_MISSING", .hint = "apt-get install postgresql-15 (versions 14 to 17 work)"});
}

}  // namespace

std::vector<Installation> List() {
  std::vector<std::string> directories;
  if (absl::StatusOr<std::string> found = FindProgram("postgres"); found.ok()) {
    std::error_code error;
    std::filesystem::path real = std::filesystem::canonical(*found, error);
    directories.push_back(error ? DirName(*found) : real.parent_path().string());
  }
  std::error_code error;
  for (std::filesystem::directory_iterator it(kDebianRoot, error), end; !error && it != end; it.increment(error)) {
    directories.push_back(JoinPath(it->path().string(), "bin"));
  }
  std::set<std::string> seen;
  std::vector<Installation> result;
  for (const std::string& directory : directories) {
    if (!seen.insert(directory).second || !Exists(JoinPath(directory, "postgres")) ||
        !Exists(JoinPath(directory, "initdb"))) {
      continue;
    }
    absl::StatusOr<Installation> installation = Examine(directory);
    if (installation.ok() && installation->major >= kOldestMajor && installation->major <= kNewestMajor) {
      result.push_back(*std::move(installation));
    }
  }
  std::stable_sort(result.begin(), result.end(),
                   [](const Installation& a, const Installation& b) { return a.major > b.major; });
  return result;
}

absl::StatusOr<Installation> Newest() {
  std::vector<Installation> all = List();
  return all.empty() ? absl::StatusOr<Installation>(Missing("PostgreSQL (14 to 17)"))
                     : absl::StatusOr<Installation>(all.front());
}

absl::StatusOr<Installation> OfMajor(int major) {
  for (Installation& installation : List()) {
    if (installation.major == major) {
      return std::move(installation);
    }
  }
  return Missing(absl::StrCat("PostgreSQL ", major));
}

absl::StatusOr<Installation> ForDataDirectory(const std::string& data_dir) {
  MG_ASSIGN_OR_RETURN(std::string text, ReadFile(JoinPath(data_dir, "PG_VERSION")));
  int major = 0;
  if (!absl::SimpleAtoi(absl::StripAsciiWhitespace(text), &major)) {
    return absl::DataLossError(absl::StrCat(data_dir, "/PG_VERSION says '", text, "'"));
  }
  absl::StatusOr<Installation> installation = OfMajor(major);
  if (!installation.ok()) {
    return WithContext(installation.status(), absl::StrCat("the data in ", data_dir));
  }
  return installation;
}

absl::StatusOr<Installation> Choose(const std::string& data_dir, int major) {
  if (Exists(JoinPath(data_dir, "PG_VERSION"))) {
    return ForDataDirectory(data_dir);
  }
  return major == 0 ? Newest() : OfMajor(major);
}

}  // namespace mg::pginstall
