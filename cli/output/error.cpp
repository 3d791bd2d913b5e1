#include "cli/output/error.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "cli/output/render.h"
#include "common/status/error_codes.h"
#include "common/status/exit_code.h"
#include "common/status/status.h"
#include "multigres/cli/v1/output.pb.h"

namespace mg::cli {

namespace {

/// What a message says after its colon. A message is "what failed: why", or only what failed: then the usual cause
/// stands in. A flag, a file's place or a name before the colon says whose the sentence after it is; one word after it
/// is a value, and a question is what was asked: none of them is a cause.
std::string WhyIn(absl::string_view message) {
  const size_t colon = message.find(": ");
  if (colon == absl::string_view::npos) {
    return "";
  }
  const absl::string_view what = message.substr(0, colon), why = message.substr(colon + 2);
  const bool sentences = absl::StrContains(what, ' ') && absl::StrContains(why, ' ');
  return sentences && !absl::StartsWith(what, "--") && !absl::EndsWith(why, "?") ? std::string(why) : "";
}

std::string Escaped(absl::string_view text) { return absl::StrReplaceAll(text, {{"|", "\\|"}, {"<", "\\<"}}); }

/// One line in which nothing is obeyed.
std::string Shown(absl::string_view text) {
  std::string result;
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\t') || byte == 0x7f) {
      absl::StrAppend(&result, "\\x", absl::Hex(byte, absl::kZeroPad2));
    } else {
      result += c;
    }
  }
  return result;
}

}  // namespace

std::string Visible(absl::string_view text, const std::vector<std::string>& said) {
  std::string message(absl::StripTrailingAsciiWhitespace(text));
  for (const std::string& word : said) {
    if (absl::StrContains(word, '\n')) {
      message = absl::StrReplaceAll(message, {{word, Shown(word)}});
    }
  }
  std::vector<std::string> lines = absl::StrSplit(message, '\n');
  return absl::StrJoin(lines, "\n  ", [](std::string* out, const std::string& line) { *out += Shown(line); });
}

std::string ErrorText(const absl::Status& status, Format format, bool colour, const std::vector<std::string>& said) {
  ErrorDetail detail = DetailOf(status).value_or(ErrorDetail{});
  const ErrorCode& code = ErrorCodeOf(status);
  const std::string next = detail.hint.empty() ? std::string(code.next) : detail.hint;
  const std::string why = WhyIn(status.message());
  if (format != Format::kText) {
    multigres::cli::v1::ErrorOutput output;
    multigres::cli::v1::Error& error = *output.mutable_error();
    // The reason's, as the exit status: what is written down of a reason is always true.
    error.set_code(absl::StatusCodeToString(code.code));
    error.set_reason(detail.reason.empty() ? std::string(code.reason) : detail.reason);
    error.set_message(std::string(status.message()));
    error.set_why(why.empty() ? std::string(code.why) : why);
    error.set_hint(next);
    error.set_component(detail.subject);
    for (const std::string& line : detail.log_tail) {
      error.add_last_lines(line);
    }
    error.set_exit_code(ExitCodeOf(status));
    return format == Format::kJson ? ToJson(output) : ToYaml(output);
  }
  std::string text = absl::StrCat(Styled("error:", Style::kRed, colour), " ", Visible(status.message(), said), "\n");
  if (why.empty()) {
    absl::StrAppend(&text, Styled("why:", Style::kCyan, colour), " ", code.why, "\n");
  }
  if (!detail.log_tail.empty()) {
    absl::StrAppend(&text, "last lines", detail.subject.empty() ? "" : absl::StrCat(" of ", detail.subject), ":\n");
    for (const std::string& line : detail.log_tail) {
      absl::StrAppend(&text, "  ", Styled(Shown(line), Style::kDim, colour), "\n");
    }
  }
  absl::StrAppend(&text, Styled("next:", Style::kCyan, colour), " ", Visible(next, said), "\n");
  return text;
}

std::string ErrorReference() {
  std::string text =
      "# Errors\n\nMade by `multigres docs --errors` from `common/status/error_codes.cpp`; a test compares.\n\n"
      "An error is printed on stderr: what failed, why, and what to do next. With `--json` or `--yaml` it is an object "
      "`error` with `code` (the canonical code), `reason` (the stable word below), `message`, `why`, `hint`, "
      "`component`, `lastLines` and `exitCode`. Programs should look at `reason`; messages may change.\n\n"
      "| Reason | Exit | Code | Why, usually | What to do |\n| --- | --- | --- | --- | --- |\n";
  for (const ErrorCode& code : ErrorCodes()) {
    absl::StrAppend(&text, "| `", code.reason, "` | ", ExitCodeOf(code.code), " | `",
                    absl::StatusCodeToString(code.code), "` | ", Escaped(code.why), " | ", Escaped(code.next), " |\n");
  }
  return text;
}

}  // namespace mg::cli
