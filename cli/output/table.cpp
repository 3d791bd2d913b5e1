#include "cli/output/table.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "cli/output/terminal.h"
#include "common/text/text.h"

namespace mg::cli {

Table::Table(std::vector<std::string> headers, int flexible, int least) : flexible_(flexible), least_(least) {
  rows_.push_back(std::move(headers));
}

void Table::Add(std::vector<std::string> row) {
  row.resize(rows_[0].size());
  rows_.push_back(std::move(row));
}

std::vector<int> Table::Widths() const {
  std::vector<int> widths(rows_[0].size(), 0);
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], text::DisplayWidth(row[i]));
    }
  }
  return widths;
}

int Table::LeastOfFlexible(const std::vector<int>& widths) const {
  auto column = static_cast<size_t>(flexible_);
  return std::min(widths[column], std::max(least_, text::DisplayWidth(rows_[0][column]) + 4));
}

int Table::LeastWidth() const {
  std::vector<int> widths = Widths();
  if (flexible_ >= 0) {
    widths[static_cast<size_t>(flexible_)] = LeastOfFlexible(widths);
  }
  return std::accumulate(widths.begin(), widths.end(), 2 * (static_cast<int>(widths.size()) - 1));
}

bool Table::SaysNothing(size_t column) const {
  return std::all_of(rows_.begin() + 1, rows_.end(), [&](const auto& row) { return row[column].empty(); });
}

bool Table::LeaveOut(int width, const std::vector<int>& widths, std::vector<bool>* shown) const {
  int total = std::accumulate(widths.begin(), widths.end(), 2 * (static_cast<int>(widths.size()) - 1));
  bool cut = false;
  auto leave_out = [&](size_t column) {
    (*shown)[column] = false;
    total -= widths[column] + 2;
  };
  // One that says nothing is missed by nobody.
  for (size_t column = widths.size() - 1; column > 0 && total > width; --column) {
    if (SaysNothing(column)) {
      leave_out(column);
    }
  }
  // The first column says what a row is about, the flexible one why.
  for (size_t column = widths.size() - 1; column > 0 && total + (cut ? 2 : 0) > width; --column) {
    if (static_cast<int>(column) != flexible_ && (*shown)[column]) {
      leave_out(column);
      cut = true;
    }
  }
  return cut;
}

std::string Table::Render(int width, bool bold) const {
  std::vector<int> widths = Widths();
  if (width > 0 && flexible_ >= 0) {
    int others = 0;
    for (size_t i = 0; i < widths.size(); ++i) {
      others += static_cast<int>(i) == flexible_ ? 0 : widths[i] + 2;
    }
    auto column = static_cast<size_t>(flexible_);
    widths[column] = std::clamp(width - others, LeastOfFlexible(widths), widths[column]);
  }
  std::vector<bool> shown(widths.size(), true);
  std::vector<int> natural = Widths();
  bool cut = width > 0 && LeaveOut(width, widths, &shown);
  if (cut && flexible_ >= 0 && shown[static_cast<size_t>(flexible_)]) {
    // What was left out makes room for the column that gives way.
    int others = 0;
    for (size_t i = 0; i < widths.size(); ++i) {
      others += static_cast<int>(i) == flexible_ || !shown[i] ? 0 : widths[i] + 2;
    }
    auto column = static_cast<size_t>(flexible_);
    widths[column] = std::clamp(width - others, widths[column], std::max(widths[column], natural[column]));
  }
  size_t last = widths.size() - 1;
  while (!shown[last]) {
    --last;
  }
  std::string result;
  for (size_t r = 0; r < rows_.size(); ++r) {
    std::string line;
    for (size_t i = 0; i < widths.size(); ++i) {
      if (!shown[i]) {
        continue;
      }
      std::string cell = text::Truncate(rows_[r][i], widths[i]);
      int padding = widths[i] - text::DisplayWidth(cell);
      absl::StrAppend(&line, r == 0 ? Styled(cell, Style::kBold, bold) : cell);
      if (i < last) {
        line.append(static_cast<size_t>(padding) + 2, ' ');
      }
    }
    if (cut && r == 0) {
      absl::StrAppend(&line, " …");
    }
    while (!line.empty() && line.back() == ' ') {
      line.pop_back();
    }
    absl::StrAppend(&result, line, "\n");
  }
  return result;
}

}  // namespace mg::cli
