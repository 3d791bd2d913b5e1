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

namespace {

/// The columns beside each other, with their gaps.
int Sum(const std::vector<int>& widths, const std::vector<bool>& shown) {
  int total = -2;
  for (size_t i = 0; i < widths.size(); ++i) {
    total += shown[i] ? widths[i] + 2 : 0;
  }
  return total;
}

size_t Last(const std::vector<bool>& shown) {
  size_t last = shown.size() - 1;
  while (last > 0 && !shown[last]) {
    --last;
  }
  return last;
}

/// What the mark for columns that were left out adds to the last one: it follows that one's header.
int MarkBeyond(const std::string& header, int width) { return std::max(0, text::DisplayWidth(header) + 2 - width); }

/// The first column may lose so much where the second would not be shown else.
int Spare(const std::vector<int>& widths) { return widths[0] / 3; }

}  // namespace

bool Table::LeaveOut(int width, const std::vector<int>& widths, std::vector<bool>* shown) const {
  // One that says nothing is missed by nobody.
  for (size_t column = widths.size() - 1; column > 0 && Sum(widths, *shown) > width; --column) {
    if (SaysNothing(column)) {
      (*shown)[column] = false;
    }
  }
  bool cut = false;
  auto too_wide = [&](size_t column) {
    const size_t last = Last(*shown);
    const int mark = cut ? MarkBeyond(rows_[0][last], widths[last]) : 0;
    return Sum(widths, *shown) + mark - (column == 1 ? Spare(widths) : 0) > width;
  };
  // The first column says what a row is about; one that gives way at the end says why.
  for (size_t column = widths.size() - 1; column > 0 && too_wide(column); --column) {
    const bool why = static_cast<int>(column) == flexible_ && column == widths.size() - 1;
    if (!why && (*shown)[column]) {
      (*shown)[column] = false;
      cut = true;
    }
  }
  return cut;
}

std::string Table::Render(int width, bool bold) const {
  std::vector<int> widths = Widths();
  const std::vector<int> natural = widths;
  if (width > 0 && flexible_ >= 0) {
    auto column = static_cast<size_t>(flexible_);
    const int others = Sum(widths, std::vector<bool>(widths.size(), true)) - widths[column];
    widths[column] = std::clamp(width - others, LeastOfFlexible(widths), widths[column]);
  }
  std::vector<bool> shown(widths.size(), true);
  const bool cut = width > 0 && LeaveOut(width, widths, &shown);
  const size_t last = Last(shown);
  if (cut) {
    int room = width - Sum(widths, shown) - MarkBeyond(rows_[0][last], widths[last]);
    if (flexible_ >= 0 && shown[static_cast<size_t>(flexible_)] && room > 0) {
      // What was left out makes room for the column that gives way.
      auto column = static_cast<size_t>(flexible_);
      widths[column] = std::min(widths[column] + room, natural[column]);
    } else if (last == 1 && room < 0) {
      widths[0] -= std::min(-room, Spare(widths));
    }
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
