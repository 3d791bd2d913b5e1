#include "cli/output/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"

namespace mg::cli {

Terminal DetectTerminal(const std::string& when, bool no_color_set, bool dumb, bool force) {
  Terminal terminal;
  terminal.out_is_tty = ::isatty(STDOUT_FILENO) == 1;
  terminal.err_is_tty = ::isatty(STDERR_FILENO) == 1;
  winsize size{};
  int fd = terminal.out_is_tty ? STDOUT_FILENO : STDERR_FILENO;
  if (::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    terminal.width = size.ws_col;
    terminal.height = size.ws_row > 0 ? size.ws_row : terminal.height;
  }
  bool allowed = !no_color_set && !dumb;
  if (when == "always" || (when == "auto" && force)) {
    terminal.out_colour = terminal.err_colour = true;
  } else if (when == "auto") {
    terminal.out_colour = terminal.out_is_tty && allowed;
    terminal.err_colour = terminal.err_is_tty && allowed;
  }
  return terminal;
}

std::string Styled(const std::string& text, Style style, bool on) {
  if (!on || text.empty()) {
    return text;
  }
  const char* code = "0";
  switch (style) {
    case Style::kBold:
      code = "1";
      break;
    case Style::kDim:
      code = "2";
      break;
    case Style::kGreen:
      code = "32";
      break;
    case Style::kYellow:
      code = "33";
      break;
    case Style::kRed:
      code = "31";
      break;
    case Style::kCyan:
      code = "36";
      break;
  }
  return absl::StrCat("\033[", code, "m", text, "\033[0m");
}

Style StyleOfState(const std::string& state) {
  if (state == "running") {
    return Style::kGreen;
  }
  if (state == "stopped") {
    return Style::kDim;
  }
  return state == "starting" || state == "stopping" || state == "degraded" ? Style::kYellow : Style::kRed;
}

}  // namespace mg::cli
