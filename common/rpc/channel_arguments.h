/// What all of our channels have in common. Internal to this folder.
#pragma once

#include <grpcpp/support/channel_arguments.h>

namespace mg::rpc {

grpc::ChannelArguments StandardArguments();

}  // namespace mg::rpc
