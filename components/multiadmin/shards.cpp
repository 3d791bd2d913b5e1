#include "components/multiadmin/shards.h"

#include "absl/strings/str_split.h"
#include "common/consensus/position.h"
#include "common/topology/topology.h"

namespace mg::multiadmin {
namespace {

namespace v1 = multigres::admin::v1;

std::map<std::string, v1::Shard> AllShards(const TopologyView& view) {
  std::map<std::string, v1::Shard> shards;
  for (const std::string& claim : view.claimed_shards) {
    std::vector<std::string> parts = absl::StrSplit(claim, '/');
    if (parts.size() == 3) {
      clustermetadata::ShardKey& key = *shards[claim].mutable_shard_key();
      key.set_database(parts[0]);
      key.set_table_group(parts[1]);
      key.set_shard(parts[2]);
    }
  }
  for (const auto& [name, cell] : view.cells) {
    for (const auto& pooler : cell.poolers) {
      if (pooler->lifecycle_status().status() == clustermetadata::LIFECYCLE_SHUTDOWN) {
        continue;
      }
      v1::Shard& shard = shards[topology::ShardKeyString(pooler->shard_key())];
      *shard.mutable_shard_key() = pooler->shard_key();
      *shard.add_poolers() = pooler->id();
      shard.set_serving(shard.serving() + (pooler->serving_status() == clustermetadata::SERVING ? 1 : 0));
      bool leads = pooler->routing_state().role() == clustermetadata::ROUTING_ROLE_PRIMARY;
      if (leads && (!shard.has_leader() || consensus::Compare(pooler->routing_state().rule(), shard.rule()) > 0)) {
        *shard.mutable_leader() = pooler->id();
        *shard.mutable_rule() = pooler->routing_state().rule();
      }
    }
  }
  return shards;
}

bool Wanted(const std::string& given, const std::string& value) { return given.empty() || given == value; }

}  // namespace

v1::ListTableGroupsResponse ListTableGroups(const TopologyView& view, const v1::ListTableGroupsRequest& request) {
  v1::ListTableGroupsResponse response;
  for (const auto& [name, shard] : AllShards(view)) {
    const clustermetadata::ShardKey& key = shard.shard_key();
    if (!Wanted(request.database(), key.database())) {
      continue;
    }
    // The map is sorted, so that a group's shards follow each other.
    int count = response.table_groups_size();
    v1::TableGroup* group = count == 0 ? nullptr : response.mutable_table_groups(count - 1);
    if (group == nullptr || group->database() != key.database() || group->name() != key.table_group()) {
      group = response.add_table_groups();
      group->set_database(key.database());
      group->set_name(key.table_group());
    }
    group->add_shards(key.shard());
    group->set_type(topology::TableGroupType({group->shards().begin(), group->shards().end()}));
  }
  return response;
}

v1::ListShardsResponse ListShards(const TopologyView& view, const v1::ListShardsRequest& request) {
  v1::ListShardsResponse response;
  for (auto& [name, shard] : AllShards(view)) {
    if (Wanted(request.database(), shard.shard_key().database()) &&
        Wanted(request.table_group(), shard.shard_key().table_group())) {
      *response.add_shards() = shard;
    }
  }
  return response;
}

}  // namespace mg::multiadmin
