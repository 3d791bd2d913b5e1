#include "components/multigateway/stats/normalise.h"

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace mg::multigateway::stats {

namespace {

/// Larger than any parameter that PostgreSQL takes.
constexpr std::uint32_t kMaxParameter = 65535;

bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool BeginsWord(char c) { return absl::ascii_isalpha(static_cast<unsigned char>(c)) || c == '_' || (c & 0x80) != 0; }
bool InWord(char c) { return BeginsWord(c) || IsDigit(c) || c == '$'; }

/// Walks over a text token by token. Every function takes the place where a token begins, and gives the one behind it;
/// a token that does not end ends with the text.
class Lexer {
 public:
  explicit Lexer(absl::string_view text) : text_(text) {}

  size_t size() const { return text_.size(); }
  char At(size_t i) const { return i < text_.size() ? text_[i] : '\0'; }

  size_t SkipComment(size_t i) const {
    if (text_[i] == '-') {
      size_t end = text_.find('\n', i);
      return end == absl::string_view::npos ? text_.size() : end + 1;
    }
    int depth = 0;  // they nest
    while (i < text_.size()) {
      if (text_[i] == '/' && At(i + 1) == '*') {
        ++depth;
        i += 2;
      } else if (text_[i] == '*' && At(i + 1) == '/') {
        i += 2;
        if (--depth == 0) {
          return i;
        }
      } else {
        ++i;
      }
    }
    return i;
  }
  bool IsComment(size_t i) const {
    return (text_[i] == '-' && At(i + 1) == '-') || (text_[i] == '/' && At(i + 1) == '*');
  }

  /// From a quote to behind its end; a doubled one is part of it.
  size_t SkipQuoted(size_t i, bool backslashes) const {
    const char quote = text_[i];
    for (++i; i < text_.size(); ++i) {
      if (backslashes && text_[i] == '\\') {
        ++i;
      } else if (text_[i] == quote) {
        if (At(i + 1) != quote) {
          return i + 1;
        }
        ++i;
      }
    }
    return text_.size();
  }

  /// A literal from its quote on, with the parts of it that stand in further lines.
  size_t SkipLiteral(size_t i, bool backslashes) const {
    for (;;) {
      const size_t end = SkipQuoted(i, backslashes);
      bool new_line = false;
      for (i = end; i < text_.size() && (IsSpace(text_[i]) || (text_[i] == '-' && At(i + 1) == '-'));) {
        new_line |= text_[i] == '\n' || text_[i] == '\r' || text_[i] == '-';
        i = text_[i] == '-' ? SkipComment(i) : i + 1;
      }
      if (!new_line || At(i) != '\'') {
        return end;
      }
    }
  }
  size_t SkipLiteral(size_t i, Backslashes backslashes) const {
    const size_t plain = SkipLiteral(i, false);
    if (backslashes == Backslashes::kPlain || Piece(i, plain).find('\\') == absl::string_view::npos) {
      return plain;
    }
    const size_t escaped = SkipLiteral(i, true);
    return backslashes == Backslashes::kEscape || escaped == plain ? escaped : text_.size();
  }

  size_t SkipNumber(size_t i) const {
    if (text_[i] == '0' && (At(i + 1) == 'x' || At(i + 1) == 'o' || At(i + 1) == 'b')) {
      i += 2;
    }
    bool exponent = false;
    while (i < text_.size()) {
      char c = text_[i];
      bool sign = (c == '+' || c == '-') && exponent && (text_[i - 1] == 'e' || text_[i - 1] == 'E');
      // Two dots are an operator's (array slices of PL/pgSQL loops), not a number's.
      bool dot = c == '.' && At(i + 1) != '.';
      if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '_' && !dot && !sign) {
        break;
      }
      exponent |= c == 'e' || c == 'E';
      ++i;
    }
    return i;
  }

  size_t SkipWord(size_t i) const {
    while (i < text_.size() && InWord(text_[i])) {
      ++i;
    }
    return i;
  }

  /// Behind a dollar-quoted text that begins here; 0: none does.
  size_t SkipDollarQuoted(size_t i) const {
    size_t tag_end = i + 1;
    while (tag_end < text_.size() && InWord(text_[tag_end]) && text_[tag_end] != '$') {
      ++tag_end;
    }
    if (At(tag_end) != '$' || IsDigit(At(i + 1))) {
      return 0;
    }
    absl::string_view tag = text_.substr(i, tag_end + 1 - i);
    size_t end = text_.find(tag, tag_end + 1);
    return end == absl::string_view::npos ? text_.size() : end + tag.size();
  }

  /// The number of a parameter that begins here, and where it ends.
  size_t SkipParameter(size_t i, std::uint32_t* number) const {
    *number = 0;
    for (++i; IsDigit(At(i)); ++i) {
      *number = std::min(kMaxParameter, *number * 10 + static_cast<std::uint32_t>(text_[i] - '0'));
    }
    return i;
  }

  /// A literal with a letter before its quote: E'', B'', X'', N'', U&''. The place of the quote; 0: it is none.
  size_t PrefixedQuote(size_t i) const {
    char c = absl::ascii_tolower(static_cast<unsigned char>(text_[i]));
    if ((c == 'e' || c == 'b' || c == 'x' || c == 'n') && At(i + 1) == '\'') {
      return i + 1;
    }
    return c == 'u' && At(i + 1) == '&' && At(i + 2) == '\'' ? i + 2 : 0;
  }

  absl::string_view Piece(size_t begin, size_t end) const { return text_.substr(begin, end - begin); }

 private:
  const absl::string_view text_;
};

std::uint32_t HighestParameter(absl::string_view sql) {
  Lexer lexer(sql);
  std::uint32_t highest = 0;
  // A '$' in a literal or a comment may count too: then the numbers begin higher, each time alike.
  for (size_t i = sql.find('$'); i != absl::string_view::npos; i = sql.find('$', i)) {
    std::uint32_t number = 0;
    i = std::max(i + 1, lexer.SkipParameter(i, &number));
    highest = std::max(highest, number);
  }
  return highest;
}

class Writer {
 public:
  Writer(std::string* out, std::uint32_t highest) : out_(*out), next_(highest) {}

  void Space() { space_ = !out_.empty(); }
  void Plain(absl::string_view text) {
    Separate();
    out_.append(text.data(), text.size());
  }
  void Lower(absl::string_view text) {
    Separate();
    for (char c : text) {
      out_ += absl::ascii_tolower(static_cast<unsigned char>(c));
    }
  }
  void Literal() {
    Separate();
    absl::StrAppend(&out_, "$", ++next_);
  }
  void End() {
    while (!out_.empty() && (out_.back() == ';' || out_.back() == ' ')) {
      out_.pop_back();
    }
  }

 private:
  void Separate() {
    if (space_) {
      out_ += ' ';
      space_ = false;
    }
  }

  std::string& out_;
  std::uint32_t next_;
  bool space_ = false;
};

}  // namespace

void Normalise(absl::string_view sql, Backslashes backslashes, std::string* out) {
  out->clear();
  Lexer lexer(sql);
  Writer writer(out, HighestParameter(sql));
  for (size_t i = 0; i < sql.size();) {
    const char c = sql[i];
    if (IsSpace(c)) {
      writer.Space();
      ++i;
    } else if (lexer.IsComment(i)) {
      writer.Space();
      i = lexer.SkipComment(i);
    } else if (c == '\'') {
      writer.Literal();
      i = lexer.SkipLiteral(i, backslashes);
    } else if (c == '"') {
      size_t end = lexer.SkipQuoted(i, false);
      writer.Plain(lexer.Piece(i, end));
      i = end;
    } else if (size_t quote = lexer.PrefixedQuote(i); quote != 0) {
      writer.Literal();
      // N'' follows the setting as a plain literal does; in E'' a backslash escapes always, in the others never.
      i = c == 'n' || c == 'N' ? lexer.SkipLiteral(quote, backslashes) : lexer.SkipLiteral(quote, c == 'e' || c == 'E');
    } else if (BeginsWord(c)) {
      size_t end = lexer.SkipWord(i);
      writer.Lower(lexer.Piece(i, end));
      i = end;
    } else if (IsDigit(c) || (c == '.' && IsDigit(lexer.At(i + 1)))) {
      writer.Literal();
      i = lexer.SkipNumber(i);
    } else if (c == '$' && IsDigit(lexer.At(i + 1))) {
      std::uint32_t number = 0;
      size_t end = lexer.SkipParameter(i, &number);
      writer.Plain(lexer.Piece(i, end));
      i = end;
    } else if (size_t end = c == '$' ? lexer.SkipDollarQuoted(i) : 0; end != 0) {
      writer.Literal();
      i = end;
    } else {
      writer.Plain(lexer.Piece(i, i + 1));
      ++i;
    }
  }
  writer.End();
}

size_t Shape(absl::string_view sql, absl::Span<char> out) {
  if (sql.size() > out.size()) {
    return 0;
  }
  auto ends_token = [](char c) { return IsSpace(c) || c == ',' || c == ')' || c == ';' || c == '='; };
  size_t size = 0;
  char before = ' ';
  for (size_t i = 0; i < sql.size();) {
    const char c = sql[i];
    if (c == '\'' || c == '"' || c == '$' || (c == '-' && before == '-') || (c == '*' && before == '/')) {
      return 0;
    }
    if (IsDigit(c) && (ends_token(before) || before == '(')) {
      size_t end = i + 1;
      while (end < sql.size() && IsDigit(sql[end])) {
        ++end;
      }
      if (end == sql.size() || ends_token(sql[end])) {
        out[size++] = before = '0';
        i = end;
        continue;
      }
    }
    out[size++] = before = c;
    ++i;
  }
  return size;
}

std::uint64_t Fingerprint(absl::string_view normalised) {
  // FNV-1a with a final mix: what differs in one letter differs in half of the bits.
  std::uint64_t hash = 14695981039346656037u;
  for (char c : normalised) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  }
  hash ^= hash >> 33;
  hash *= 0xff51afd7ed558ccdu;
  return hash ^ hash >> 33;
}

bool IsUtility(absl::string_view normalised) {
  static constexpr std::array<absl::string_view, 9> kOfTables = {"select", "insert", "update", "delete", "with",
                                                                 "values", "table",  "merge",  "execute"};
  size_t begin = normalised.find_first_not_of("( ");
  normalised.remove_prefix(begin == absl::string_view::npos ? normalised.size() : begin);
  size_t end = 0;
  while (end < normalised.size() && InWord(normalised[end])) {
    ++end;
  }
  return std::find(kOfTables.begin(), kOfTables.end(), normalised.substr(0, end)) == kOfTables.end();
}

}  // namespace mg::multigateway::stats
