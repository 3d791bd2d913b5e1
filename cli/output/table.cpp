#include "cli/output/table.h"

#include <algorithm>
#include <functional>
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

int Table::Usual(size_t column) const {
  constexpr int kAlwaysWhole = 20;
  std::vector<int> widths;
  for (size_t row = 1; row < rows_.size(); ++row) {
    widths.push_back(text::DisplayWidth(rows_[row][column]));
  }
  std::sort(widths.begin(), widths.end(), std::greater<>());
  // The wider half, which may be all components of one of two databases, is what the others need not suffer for.
  const int most = widths.empty() ? 0 : widths[widths.size() / 2];
  const int usual = std::max({kAlwaysWhole, text::DisplayWidth(rows_[0][column]), most});
  const int widest = widths.empty() ? 0 : widths[0];
  return widest < 2 * usual ? std::max(widest, usual) : usual;
}

void Table::CutUnusual(int width, std::vector<int>* widths) const {
  std::vector<bool> shown(widths->size(), true);
  for (size_t column = 1; column < widths->size(); ++column) {
    shown[column] = !SaysNothing(column);
  }
  for (int over = Sum(*widths, shown) - width; over > 0;) {
    size_t column = 0;
    int spare = 0;
    for (size_t i = 0; i < widths->size(); ++i) {
      // The one that gives way has done so already.
      if (shown[i] && static_cast<int>(i) != flexible_ && (*widths)[i] - Usual(i) > spare) {
        column = i;
        spare = (*widths)[i] - Usual(i);
      }
    }
    if (spare == 0) {
      return;
    }
    (*widths)[column] -= std::min(over, spare);
    over -= std::min(over, spare);
  }
}

std::string Table::Render(int width, bool bold) const {
  std::vector<int> widths = Widths();
  const std::vector<int> natural = widths;
  if (width > 0 && flexible_ >= 0) {
    auto column = static_cast<size_t>(flexible_);
    const int others = Sum(widths, std::vector<bool>(widths.size(), true)) - widths[column];
    widths[column] = std::clamp(width - others, LeastOfFlexible(widths), widths[column]);
  }
  if (width > 0) {
    CutUnusual(width, &widths);
  }
  std::vector<bool> shown(widths.size(), true);
  const bool cut = width > 0 && LeaveOut(width, widths, &shown);
  const size_t last = Last(shown);
  int room = width - Sum(widths, shown) - (cut ? MarkBeyond(rows_[0][last], widths[last]) : 0);
  if (cut && last == 1 && room < 0) {
    widths[0] -= std::min(-room, Spare(widths));
  }
  // What was left out makes room for what was cut: first for the column that gives way.
  for (size_t i = 0; i <= widths.size() && room > 0; ++i) {
    const size_t column = i > 0 ? i - 1 : static_cast<size_t>(std::max(flexible_, 0));
    if (shown[column]) {
      const int more = std::min(room, natural[column] - widths[column]);
      widths[column] += more;
      room -= more;
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
