#include <algorithm>
#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/pgsql/connection.h"

namespace mg::pgsql {

bool Result::warned() const {
  return std::any_of(notices_.begin(), notices_.end(), [](const Diagnostic& d) { return d.severity == "WARNING"; });
}

bool Result::IsNull(int row, int column) const {
  if (row < 0 || row >= rows() || column < 0 || column >= columns()) {
    return true;
  }
  return !rows_[row][column].has_value();
}

std::string Result::Text(int row, int column) const {
  return IsNull(row, column) ? std::string() : *rows_[row][column];
}

std::int64_t Result::Int(int row, int column) const {
  std::int64_t value = 0;
  return absl::SimpleAtoi(Text(row, column), &value) ? value : 0;
}

double Result::Double(int row, int column) const {
  double value = 0;
  return absl::SimpleAtod(Text(row, column), &value) ? value : 0;
}

bool Result::Bool(int row, int column) const { return Text(row, column) == "t"; }

int Result::Column(absl::string_view name) const {
  for (int i = 0; i < columns(); ++i) {
    if (names_[i] == name) {
      return i;
    }
  }
  return -1;
}

std::vector<std::string> Result::TextArray(int row, int column) const {
  std::vector<std::string> elements;
  std::string text = Text(row, column);
  std::string element;
  bool quoted = false;
  bool was_quoted = false;
  for (std::size_t i = 1; i < text.size(); ++i) {
    char c = text[i];
    if (quoted) {
      if (c == '\\' && i + 1 < text.size()) {
        element += text[++i];
      } else if (c == '"') {
        quoted = false;
      } else {
        element += c;
      }
    } else if (c == '"') {
      quoted = was_quoted = true;
    } else if (c == ',' || c == '}') {
      bool null = !was_quoted && (element.empty() || element == "NULL");
      if (!null) {
        elements.push_back(element);
      }
      element.clear();
      was_quoted = false;
    } else {
      element += c;
    }
  }
  return elements;
}

std::string ArrayText(const std::vector<std::string>& elements) {
  std::string text = "{";
  for (const std::string& element : elements) {
    absl::StrAppend(&text, text.size() > 1 ? ",\"" : "\"");
    for (char c : element) {
      if (c == '"' || c == '\\') {
        text += '\\';
      }
      text += c;
    }
    text += '"';
  }
  return text + "}";
}

std::string QuoteLiteral(absl::string_view text) {
  std::string quoted = "'";
  bool backslash = false;
  for (char c : text) {
    if (c == '\'' || c == '\\') {
      quoted += c;
      backslash |= c == '\\';
    }
    quoted += c;
  }
  return (backslash ? " E" : "") + quoted + "'";
}

std::string QuoteIdentifier(absl::string_view text) {
  std::string quoted = "\"";
  for (char c : text) {
    if (c == '"') {
      quoted += c;
    }
    quoted += c;
  }
  return quoted + "\"";
}

}  // namespace mg::pgsql
