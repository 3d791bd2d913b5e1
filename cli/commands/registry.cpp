#include "cli/commands/commands.h"
#include "cli/commands/gateway_queries.h"

namespace mg::cli {

std::vector<Command> AllCommands() {
  std::vector<Command> commands = {
      UpCommand(),     DownCommand(),    RestartCommand(), StatusCommand(),           ListCommand(),
      InitCommand(),   PsqlCommand(),    EnvCommand(),     ConnectionStringCommand(), LogsCommand(),
      EventsCommand(), WhyCommand(),     WaitCommand(),    StartComponentCommand(),   StopComponentCommand(),
      SignalCommand(), DiffCommand(),    DoctorCommand(),  BundleCommand(),           ValidateCommand(),
      SchemaCommand(), VersionCommand(), DocsCommand(),
  };
  for (std::vector<Command> more : {TopologyCommands(),
                                    CellCommands(),
                                    DatabaseCommands(),
                                    {TreeCommand()},
                                    ResourceCommands(),
                                    GatewayStatsCommands(),
                                    {OrchStatusCommand()},
                                    ShardCommands(),
                                    {ShardWhyCommand()},
                                    ComponentPageCommands(),
                                    BackupCommands(),
                                    RestoreCommands(),
                                    AdminCommands(),
                                    ChaosCommands(),
                                    ContextCommands(),
                                    AgentCommands(),
                                    CompletionCommands(),
                                    UpstreamCommands(),
                                    UpstreamBackupCommands()}) {
    commands.insert(commands.end(), more.begin(), more.end());
  }
  return WithWatch(std::move(commands));
}

}  // namespace mg::cli
