/// What is known of the places that output goes to. Plain values.
#pragma once

#include <string>

namespace mg::cli {

enum class Format { kText, kJson, kYaml };

struct Terminal {
  bool out_is_tty = false;
  bool err_is_tty = false;
  bool out_colour = false;
  bool err_colour = false;
  int width = 80;  ///< of the terminal; what is piped is never cut
  int height = 24;
};

/// `when` is auto, always or never; auto obeys NO_COLOR, TERM=dumb and CLICOLOR_FORCE as given.
Terminal DetectTerminal(const std::string& when, bool no_color_set, bool dumb, bool force);

enum class Style { kBold, kDim, kGreen, kYellow, kRed, kCyan };

/// The text in a style, or as it is when `on` is false.
std::string Styled(const std::string& text, Style style, bool on);

/// Style of a component's or cluster's state word.
Style StyleOfState(const std::string& state);

}  // namespace mg::cli
