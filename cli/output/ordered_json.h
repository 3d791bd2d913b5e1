/// proto3 JSON in which equal messages are equal texts: protobuf's own printer has the entries of a map in another
/// order each time.
#pragma once

#include <google/protobuf/util/json_util.h>

#include <string>

namespace mg::cli {

/// Ends with a line end. `{}` where a message cannot be written, which none of ours is.
std::string OrderedJson(const google::protobuf::Message& message,
                        const google::protobuf::util::JsonPrintOptions& options);

}  // namespace mg::cli
