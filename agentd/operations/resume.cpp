#include "agentd/operations/resume.h"

#include "agentd/operations/cluster_operations.h"

namespace mg::operations {

void ResumeUnfinished(provisioners::Provisioner& provisioner, Registry& registry) {
  for (const provisioners::Provisioner::Unfinished& unfinished : provisioner.FindUnfinished()) {
    multigres::provisioner::v1::ClusterSelector cluster;
    cluster.set_name(unfinished.cluster.name);
    bool up = unfinished.kind == "up";
    bool clean = unfinished.kind == "clean";
    bool restart = unfinished.kind == "restart";
    // A request that is there already, and is not the same, has taken its place: then this is refused, as it should be.
    (void)registry.Begin({.kind = up        ? "up"
                                  : restart ? "restart"
                                            : "down",
                          .cluster = unfinished.cluster.name,
                          .key = unfinished.cluster.root_dir,
                          .subject = clean ? "clean" : "",
                          .body = [&provisioner, cluster, up, restart, clean](provisioners::OperationContext& context) {
                            return up        ? BringUp(provisioner, cluster, 0, context)
                                   : restart ? Restart(provisioner, cluster, context)
                                             : TakeDown(provisioner, cluster, clean, context);
                          }});
  }
}

}  // namespace mg::operations
