#include "cli/output/error.h"

#include "absl/strings/str_cat.h"
#include "cli/output/render.h"
#include "common/status/exit_code.h"
#include "common/status/status.h"
#include "multigres/cli/v1/output.pb.h"

namespace mg::cli {

std::string ErrorText(const absl::Status& status, Format format, bool colour) {
  ErrorDetail detail = DetailOf(status).value_or(ErrorDetail{});
  if (format != Format::kText) {
    multigres::cli::v1::ErrorOutput output;
    multigres::cli::v1::Error& error = *output.mutable_error();
    error.set_code(absl::StatusCodeToString(status.code()));
    error.set_reason(detail.reason);
    error.set_message(std::string(status.message()));
    error.set_hint(detail.hint);
    error.set_component(detail.subject);
    for (const std::string& line : detail.log_tail) {
      error.add_last_lines(line);
    }
    error.set_exit_code(ExitCodeOf(status.code()));
    return format == Format::kJson ? ToJson(output) : ToYaml(output);
  }
  std::string text = absl::StrCat(Styled("error:", Style::kRed, colour), " ", status.message(), "\n");
  if (!detail.log_tail.empty()) {
    absl::StrAppend(&text, "last lines", detail.subject.empty() ? "" : absl::StrCat(" of ", detail.subject), ":\n");
    for (const std::string& line : detail.log_tail) {
      absl::StrAppend(&text, "  ", Styled(line, Style::kDim, colour), "\n");
    }
  }
  if (!detail.hint.empty()) {
    absl::StrAppend(&text, Styled("next:", Style::kCyan, colour), " ", detail.hint, "\n");
  }
  return text;
}

}  // namespace mg::cli
