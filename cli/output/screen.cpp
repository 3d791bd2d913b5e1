#include "cli/output/screen.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/text/text.h"

namespace mg::cli {
namespace {

std::vector<std::string> LinesOf(absl::string_view text) {
  if (text.empty()) {
    return {};
  }
  return absl::StrSplit(absl::StripSuffix(text, "\n"), '\n');
}

int Rows(const std::string& line, int width) {
  return std::max(1, (text::DisplayWidth(line) + width - 1) / std::max(width, 1));
}

/// How many of the lines `rows` hold, and the rows that those take.
size_t Fitting(const std::vector<std::string>& lines, int width, int rows, int* taken) {
  size_t count = 0;
  for (*taken = 0; count < lines.size() && *taken + Rows(lines[count], width) <= rows; ++count) {
    *taken += Rows(lines[count], width);
  }
  return count;
}

}  // namespace

std::string FitScreen(absl::string_view answer, absl::string_view troubles, const Terminal& terminal) {
  std::vector<std::string> lines = LinesOf(answer);
  std::vector<std::string> below = LinesOf(troubles);
  int taken = 0;
  below.resize(Fitting(below, terminal.width, terminal.height / 2, &taken));
  const int room = std::max(1, terminal.height - taken);
  if (size_t whole = Fitting(lines, terminal.width, room, &taken); whole < lines.size()) {
    const size_t count = Fitting(lines, terminal.width, room - 1, &taken);
    const size_t hidden = lines.size() - count;
    lines.resize(count);
    lines.push_back(Styled(absl::StrCat("… ", hidden, hidden == 1 ? " more line" : " more lines"), Style::kDim,
                           terminal.out_colour));
  }
  lines.insert(lines.end(), below.begin(), below.end());
  return absl::StrJoin(lines, "\n");
}

}  // namespace mg::cli
