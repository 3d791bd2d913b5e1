/// The prepared statements that a gateway's sessions hold: which texts, and how many sessions hold each. Texts that are
/// alike are held once. Any thread.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/strings/string_view.h"
#include "components/multigateway/stats/normalise.h"
#include "multigatewaymanagerdata.pb.h"

namespace mg::multigateway::stats {

class Consolidator {
 public:
  /// One text; as long as anybody holds it.
  struct Prepared;
  using Reference = std::shared_ptr<Prepared>;

  Consolidator();
  ~Consolidator();

  /// A session holds this text from now on, until it drops the reference.
  Reference Hold(absl::string_view query, Backslashes backslashes = Backslashes::kPlain);
  /// The most shared first; `name` is what the statement is called here. Texts are normalised, for a literal may be a
  /// secret and drivers prepare everything. Without the number of connections.
  multigatewaymanagerdata::ConsolidatorStats Snapshot() const;

 private:
  struct State;
  std::shared_ptr<State> state_;  ///< shared with the references, which may outlive this
};

}  // namespace mg::multigateway::stats
