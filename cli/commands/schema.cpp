// schema: what multigres.yaml and each command's output look like, for editors and programs.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/commands/commands.h"
#include "cli/commands/context.h"
#include "cli/commands/outputs.h"
#include "cli/output/json_schema.h"
#include "cli/output/render.h"
#include "cli/output/table.h"
#include "common/config/cluster_config.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "multigres/cli/v1/output.pb.h"

namespace mg::cli {
namespace {

constexpr char kConfiguration[] = "configuration";
constexpr char kError[] = "error";

int RunList(Context& context) {
  multigres::cli::v1::SchemaListOutput output;
  output.add_schemas()->set_name(kConfiguration);
  for (const Output& one : Outputs()) {
    auto* schema = output.add_schemas();
    schema->set_name(SchemaName(one));
    schema->set_command(std::string(one.command) == kError ? "" : one.command);
    schema->set_message(one.message);
    schema->set_stream(one.stream);
  }
  return context.Emit(output, [&] {
    Table table({"NAME", "OF", "MESSAGE"}, 2);
    for (const auto& schema : output.schemas()) {
      std::string of = schema.name() == kConfiguration ? "multigres.yaml"
                       : schema.command().empty()      ? "every command's error"
                                                       : absl::StrCat("multigres ", schema.command());
      table.Add({schema.name(), of, schema.message()});
    }
    return table.Render(context.terminal().out_is_tty ? context.terminal().width : 0, context.terminal().out_colour);
  });
}

absl::StatusOr<std::string> Find(const std::string& name) {
  if (name == kConfiguration) {
    return config::ConfigSchema();
  }
  std::vector<std::string> known = {kConfiguration};
  for (const Output& output : Outputs()) {
    if (SchemaName(output) == name) {
      return JsonSchema(output.message,
                        name == kError ? "An error of multigres" : absl::StrCat("Output of multigres ", output.command),
                        !output.stream);
    }
    known.push_back(SchemaName(output));
  }
  std::optional<std::string> near = text::Closest(name, known);
  return MakeError(
      absl::StatusCode::kNotFound, absl::StrCat("there is no schema '", name, "'"),
      {.reason = "SCHEMA_NOT_FOUND", .hint = near.has_value() ? absl::StrCat("did you mean '", *near, "'?") : ""});
}

int RunSchema(Context& context) {
  if (context.args().Has("list")) {
    return RunList(context);
  }
  const std::vector<std::string>& words = context.args().positionals;
  absl::StatusOr<std::string> schema = Find(words.empty() ? kConfiguration : absl::StrJoin(words, "-"));
  if (!schema.ok()) {
    return context.Fail(schema.status());
  }
  context.Out(context.format() == Format::kYaml ? JsonToYaml(*schema) : *schema);
  return 0;
}

}  // namespace

Command SchemaCommand() {
  return {
      .path = "schema",
      .summary = "print the JSON Schema of multigres.yaml, or of a command's output",
      .positionals = {{.name = "NAME",
                       .help = "a command, such as topology tree, or error; default: multigres.yaml",
                       .repeated = true}},
      .flags = {{.name = "list", .help = "list all schemas"}},
      .examples = {{"multigres schema > multigres.schema.json", "for an editor"},
                   {"multigres schema --list", "what else there is"},
                   {"multigres schema topology tree", "what 'topology tree --json' prints"}},
      .group = "CONFIGURATION",
      .run = RunSchema,
  };
}

}  // namespace mg::cli
