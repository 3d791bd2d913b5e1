#include "cli/bundle/secrets.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"

namespace mg::cli {
namespace {

constexpr size_t kShortest = 4;
constexpr char kDefaultPassword[] = "postgres";

// Words after which a secret stands.
constexpr std::array kWords = {"password", "passwd", "passphrase", "secret",      "token",     "bearer",
                               "api_key",  "apikey", "access_key", "private_key", "client_key"};
// What a verifier or a token looks like, whoever wrote it.
constexpr std::array kBeginnings = {"SCRAM-SHA-256$", "mgt_", "eyJhbGciOi"};

bool IsWordByte(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

// From `at` on, the end of a value: a quoted one or a list as a whole, else up to a blank or a bracket.
size_t EndOfValue(absl::string_view line, size_t at) {
  if (at < line.size() && line[at] == '[') {
    at = std::min(line.find(']', at), line.size() - 1) + 1;
  }
  std::string quote;
  while (at < line.size() && line[at] == '\\') {
    quote += line[at++];
  }
  if (at < line.size() && (line[at] == '\'' || line[at] == '"')) {
    quote += line[at];
    size_t end = line.find(quote, at + 1);
    // Doubled, it stands for itself.
    while (end != absl::string_view::npos && line.substr(end + quote.size()).substr(0, quote.size()) == quote) {
      end = line.find(quote, end + 2 * quote.size());
    }
    return end == absl::string_view::npos ? line.size() : end + quote.size();
  }
  return std::min(line.find_first_of(" \t\r,;&)}]'\"", at), line.size());
}

// Where the value after a word that ends at `at` begins; npos: the word is only mentioned.
size_t BeginOfValue(absl::string_view line, size_t at, bool is_bearer) {
  size_t blank = at;
  auto skip = [&](absl::string_view any) {
    while (at < line.size() && absl::StrContains(any, line[at])) {
      ++at;
    }
  };
  while (at < line.size() && (IsWordByte(line[at]) || line[at] == '_' || line[at] == '-')) {
    ++at;  // password_file, tokens: part of the name
  }
  blank = at;
  skip("\\\"'");  // the end of a quoted name
  skip(" \t");
  if (at < line.size() && (line[at] == '=' || line[at] == ':')) {
    ++at;
    skip(" \t=");
    return at;
  }
  at = blank;
  skip(" \t");
  // PASSWORD 'x', Bearer x
  bool quoted = at < line.size() && (line[at] == '\'' || line[at] == '"' || line[at] == '\\');
  return at > blank && (quoted || is_bearer) ? at : absl::string_view::npos;
}

std::string RemoveAfterWords(absl::string_view line) {
  std::string lower = absl::AsciiStrToLower(line);
  std::string out;
  size_t done = 0;
  for (size_t at = 0; at < line.size();) {
    const char* found = nullptr;
    for (const char* word : kWords) {
      if (lower.compare(at, std::string::traits_type::length(word), word) == 0) {
        found = word;
        break;
      }
    }
    if (found == nullptr) {
      ++at;
      continue;
    }
    size_t begin =
        BeginOfValue(line, at + std::string::traits_type::length(found), absl::string_view(found) == "bearer");
    if (begin == absl::string_view::npos || begin >= line.size()) {
      at += std::string::traits_type::length(found);
      continue;
    }
    // `authorization: Bearer x` and `password: Bearer x` alike: the scheme is no secret, what follows it is.
    if (lower.compare(begin, 7, "bearer ") == 0) {
      at = begin;
      continue;
    }
    size_t end = EndOfValue(line, begin);
    absl::StrAppend(&out, line.substr(done, begin - done), kRemoved);
    done = at = std::max(end, begin + 1);
  }
  absl::StrAppend(&out, line.substr(std::min(done, line.size())));
  return out;
}

// scheme://user:password@host
std::string RemoveFromUrls(absl::string_view line) {
  std::string out;
  size_t done = 0;
  for (size_t at = line.find("://"); at != absl::string_view::npos; at = line.find("://", at + 3)) {
    size_t end = std::min(line.find_first_of(" \t\r\"'<>/", at + 3), line.size());
    absl::string_view authority = line.substr(at + 3, end - at - 3);
    size_t host = authority.rfind('@');
    size_t colon = authority.find(':');
    if (host == absl::string_view::npos || colon == absl::string_view::npos || colon > host) {
      continue;
    }
    size_t begin = at + 3 + colon + 1;
    absl::StrAppend(&out, line.substr(done, begin - done), kRemoved);
    done = at + 3 + host;
  }
  absl::StrAppend(&out, line.substr(done));
  return out;
}

std::string RemoveBeginnings(absl::string_view line) {
  std::string out(line);
  for (const char* beginning : kBeginnings) {
    for (size_t at = out.find(beginning); at != std::string::npos; at = out.find(beginning, at + 1)) {
      size_t end = std::min(out.find_first_of(" \t\r,;'\")}", at), out.size());
      out.replace(at, end - at, kRemoved);
    }
  }
  // md5 and 32 digits
  for (size_t at = out.find("md5"); at != std::string::npos; at = out.find("md5", at + 1)) {
    size_t end = at + 3;
    while (end < out.size() && std::isxdigit(static_cast<unsigned char>(out[end])) != 0) {
      ++end;
    }
    if (end - at == 35) {
      out.replace(at, 35, kRemoved);
    }
  }
  return out;
}

}  // namespace

void Secrets::Add(const std::string& value) {
  std::string bare(absl::StripAsciiWhitespace(value));
  if (bare.size() >= kShortest && bare != kDefaultPassword) {
    values_.insert(bare);
  }
}

void Secrets::AddPassfile(absl::string_view text) {
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    std::string password;
    int field = 0;
    for (size_t i = 0; i < line.size(); ++i) {
      bool escaped = line[i] == '\\' && i + 1 < line.size();
      if (!escaped && line[i] == ':' && field < 4) {
        ++field;
      } else if (field == 4) {
        password += escaped ? line[i + 1] : line[i];
      }
      i += escaped ? 1 : 0;
    }
    Add(password);
  }
}

std::string Secrets::Remove(absl::string_view text) const {
  std::string known(text);
  // Longest first: one may be a part of another.
  std::vector<std::string> values(values_.begin(), values_.end());
  std::sort(values.begin(), values.end(), [](const auto& a, const auto& b) { return a.size() > b.size(); });
  for (const std::string& value : values) {
    absl::StrReplaceAll({{value, kRemoved}}, &known);
  }
  std::string out;
  out.reserve(known.size());
  bool in_key = false;
  for (absl::string_view line : absl::StrSplit(known, '\n')) {
    if (!out.empty() || line.data() != known.data()) {
      out += '\n';
    }
    bool begins = absl::StrContains(line, "-----BEGIN ") && absl::StrContains(line, "PRIVATE KEY-----");
    bool ends = absl::StrContains(line, "-----END ") && absl::StrContains(line, "PRIVATE KEY-----");
    if (begins || in_key) {
      out += begins ? kRemoved : "";
      in_key = !ends;
      continue;
    }
    out += RemoveBeginnings(RemoveFromUrls(RemoveAfterWords(line)));
  }
  return out;
}

}  // namespace mg::cli
