/// Columns of text. On a terminal the last flexible column is cut so that a row stays on its line; what is piped is
/// never cut.
#pragma once

#include <string>
#include <vector>

namespace mg::cli {

class Table {
 public:
  /// `headers` in upper case; `flexible` is the index of the column that may be cut, -1: none.
  explicit Table(std::vector<std::string> headers, int flexible = -1);
  void Add(std::vector<std::string> row);
  /// The width that Render needs at least, when it may cut the flexible column.
  int LeastWidth() const;
  /// `width` 0: unlimited. `bold` makes the header bold.
  std::string Render(int width, bool bold) const;

 private:
  std::vector<int> Widths() const;
  /// What the flexible column is never cut below.
  int LeastOfFlexible(const std::vector<int>& widths) const;

  std::vector<std::vector<std::string>> rows_;
  int flexible_;
};

}  // namespace mg::cli
