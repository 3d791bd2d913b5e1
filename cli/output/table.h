/// Columns of text. On a terminal the flexible column is cut so that a row stays on its line; where that is not enough,
/// cells that are much wider than the others of their column are cut too; at last columns are left out, empty ones
/// first, then from the right but for a flexible last one, which an ellipsis in the header tells. What is piped is
/// never cut.
#pragma once

#include <string>
#include <vector>

namespace mg::cli {

class Table {
 public:
  /// `headers` in upper case; `flexible` is the index of the column that may be cut, -1: none. It is not cut below
  /// `least`, where the others can make room for it; 0: a little more than its header.
  explicit Table(std::vector<std::string> headers, int flexible = -1, int least = 0);
  void Add(std::vector<std::string> row);
  /// The width that Render needs at least, when it may cut the flexible column.
  int LeastWidth() const;
  /// `width` 0: unlimited. `bold` makes the header bold.
  std::string Render(int width, bool bold) const;

 private:
  std::vector<int> Widths() const;
  /// Every row of the column is empty.
  bool SaysNothing(size_t column) const;
  /// Unmarks columns that have no room; true: some that say something are among them.
  bool LeaveOut(int width, const std::vector<int>& widths, std::vector<bool>* shown) const;
  /// Makes columns narrower, down to what their usual cells need, until the table fits.
  void CutUnusual(int width, std::vector<int>* widths) const;
  int Usual(size_t column) const;
  /// What the flexible column is never cut below.
  int LeastOfFlexible(const std::vector<int>& widths) const;

  std::vector<std::vector<std::string>> rows_;
  int flexible_, least_;
};

}  // namespace mg::cli
