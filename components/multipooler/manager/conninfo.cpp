#include "components/multipooler/manager/conninfo.h"

#include <algorithm>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace mg::multipooler {
namespace {

constexpr absl::string_view kBlanks = " \t\n\r\f\v";
constexpr char kHidden[] = "***";

struct Setting {
  absl::string_view keyword;
  std::string value;
  size_t begin = 0, end = 0;  ///< where the value stands, with its quotes
};

// As libpq reads them; what is broken ends the list, with all of the rest as its last value.
std::vector<Setting> Settings(absl::string_view text) {
  std::vector<Setting> settings;
  size_t at = 0;
  auto skip = [&] { at = std::min(text.find_first_not_of(kBlanks, at), text.size()); };
  for (skip(); at < text.size(); skip()) {
    Setting setting;
    const size_t end = std::min(text.find_first_of(absl::StrCat(kBlanks, "="), at), text.size());
    setting.keyword = text.substr(at, end - at);
    at = end;
    skip();
    if (at < text.size() && text[at] == '=') {
      ++at;
      skip();
    }
    setting.begin = at;
    const bool quoted = at < text.size() && text[at] == '\'';
    at += quoted ? 1 : 0;
    while (at < text.size() && (quoted ? text[at] != '\'' : !absl::StrContains(kBlanks, text[at]))) {
      at += text[at] == '\\' && at + 1 < text.size() ? 1 : 0;
      setting.value += text[at++];
    }
    at += quoted && at < text.size() ? 1 : 0;
    setting.end = at;
    settings.push_back(std::move(setting));
  }
  return settings;
}

bool IsSecret(absl::string_view keyword) { return keyword == "password" || keyword == "sslpassword"; }

std::string UriWithoutPassword(absl::string_view uri) {
  std::string shown(uri);
  const size_t begin = shown.find("://") + 3;
  const size_t query = std::min(shown.find('?', begin), shown.size());
  // Backwards, so that what is before keeps its place.
  for (size_t end = shown.size(); query < shown.size() && end > query;) {
    const size_t start = shown.find_last_of("?&", end - 1);
    const size_t equals = shown.find('=', start);
    if (equals < end && IsSecret(absl::string_view(shown).substr(start + 1, equals - start - 1))) {
      shown.replace(equals + 1, end - equals - 1, kHidden);
    }
    end = start;
  }
  const size_t authority = std::min(shown.find_first_of("/?", begin), shown.size());
  const size_t user = shown.rfind('@', authority);
  const size_t colon = shown.find(':', begin);
  if (user != std::string::npos && user > begin && colon < user) {
    shown.replace(colon + 1, user - colon - 1, kHidden);
  }
  return shown;
}

}  // namespace

std::string ConninfoValue(absl::string_view conninfo, absl::string_view keyword) {
  for (Setting& setting : Settings(conninfo)) {
    if (setting.keyword == keyword) {
      return std::move(setting.value);
    }
  }
  return "";
}

std::string WithoutPassword(absl::string_view conninfo) {
  if (absl::StartsWith(conninfo, "postgresql://") || absl::StartsWith(conninfo, "postgres://")) {
    return UriWithoutPassword(conninfo);
  }
  std::string shown;
  size_t done = 0;
  for (const Setting& setting : Settings(conninfo)) {
    if (IsSecret(setting.keyword)) {
      absl::StrAppend(&shown, conninfo.substr(done, setting.begin - done), kHidden);
      done = setting.end;
    }
  }
  return absl::StrCat(shown, conninfo.substr(done));
}

}  // namespace mg::multipooler
