/// The declarations of all commands; each function's file has the command's behaviour too. registry.cpp puts them in
/// order.
#pragma once

#include <vector>

#include "cli/args/command.h"

namespace mg::cli {

std::vector<Command> AllCommands();

Command UpCommand();
Command DownCommand();
Command DiffCommand();
Command DoctorCommand();
Command BundleCommand();
Command RestartCommand();
Command StartComponentCommand();
Command StopComponentCommand();
Command SignalCommand();
Command WaitCommand();
Command WhyCommand();
Command ShardWhyCommand();
Command EventsCommand();
Command StatusCommand();
Command ListCommand();
Command InitCommand();
Command ValidateCommand();
Command SchemaCommand();
Command PsqlCommand();
Command EnvCommand();
Command ConnectionStringCommand();
Command LogsCommand();
Command VersionCommand();
Command DocsCommand();
std::vector<Command> AgentCommands();
std::vector<Command> TopologyCommands();
std::vector<Command> DatabaseCommands();
std::vector<Command> ShardCommands();
std::vector<Command> BackupCommands();
std::vector<Command> RestoreCommands();
std::vector<Command> AdminCommands();
std::vector<Command> ResourceCommands();
Command TreeCommand();
std::vector<Command> ChaosCommands();
Command OrchStatusCommand();
std::vector<Command> CellCommands();
std::vector<Command> ComponentPageCommands();
std::vector<Command> ContextCommands();
std::vector<Command> CompletionCommands();
/// Upstream's own spellings: hidden, with its flags and its output.
std::vector<Command> UpstreamCommands();
std::vector<Command> UpstreamBackupCommands();

/// The same commands with --watch, those of them that only read what changes by itself.
std::vector<Command> WithWatch(std::vector<Command> commands);

/// What `up` and `down` do, for upstream's spellings of them.
int RunUp(Context& context);
int RunDown(Context& context);

}  // namespace mg::cli
