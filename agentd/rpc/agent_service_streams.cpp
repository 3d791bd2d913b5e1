#include <grpcpp/support/proto_buffer_reader.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "agentd/logs/log_tail.h"
#include "agentd/logs/runs.h"
#include "agentd/logs/select.h"
#include "agentd/rpc/agent_service.h"
#include "agentd/rpc/log_message.h"
#include "common/rpc/proto_time.h"
#include "common/status/status.h"

namespace mg::rpc {
namespace {

constexpr absl::Duration kProbeBound = absl::Seconds(5);
constexpr size_t kEventsPerMessage = 256;
/// Each reader of logs has a thread.
constexpr int kMostTails = 256;

absl::StatusOr<logs::TextForm> TextFormOf(const agent::TailLogsRequest& request) {
  logs::TextForm form;
  form.prefix = request.prefix() != agent::TEXT_PREFIX_NONE;
  form.utc = request.prefix() != agent::TEXT_PREFIX_LOCAL;
  form.zone = absl::LocalTimeZone();
  if (!request.time_zone().empty() && !absl::LoadTimeZone(request.time_zone(), &form.zone)) {
    return MakeError(absl::StatusCode::kInvalidArgument,
                     absl::StrCat("there is no time zone '", request.time_zone(), "' on this machine"),
                     {.reason = "BAD_TIME_ZONE", .hint = "set TZ to a name such as Europe/Berlin, or use --utc"});
  }
  form.today = absl::ToCivilDay(absl::Now(), form.zone);
  return form;
}

absl::StatusOr<logs::LogTail::Options> TailOptions(const agent::TailLogsRequest& request,
                                                   provisioners::Provisioner& provisioner) {
  logs::LogTail::Options options;
  MG_ASSIGN_OR_RETURN(auto known, provisioner.LogSources(request.cluster()));
  std::vector<logs::Source> sources;
  for (const auto& source : known) {
    sources.push_back({.name = source.component, .directory = source.directory});
  }
  MG_ASSIGN_OR_RETURN(options.query.sources,
                      logs::SelectSources(sources, {request.selectors().begin(), request.selectors().end()}));
  if (request.has_since()) {
    options.query.since = mg::rpc::ToTime(request.since());
  }
  if (request.has_until()) {
    options.query.until = mg::rpc::ToTime(request.until());
  }
  if (request.has_tail()) {
    options.query.tail = request.tail();
  }
  options.query.follow = request.follow();
  options.query.grep = request.grep();
  options.query.level = request.level();
  options.query.cursor = request.cursor();
  options.query.stream = request.stream();
  options.structured = request.structured();
  absl::Duration patience = mg::rpc::ToDuration(request.patience());
  if (patience > absl::ZeroDuration()) {
    options.patience = patience;
  }
  if (request.previous()) {
    MG_ASSIGN_OR_RETURN(options.query.sources, logs::PreviousRuns(std::move(options.query.sources)));
    options.query.follow = false;  // it is over
  }
  if (request.text()) {
    MG_ASSIGN_OR_RETURN(options.text, TextFormOf(request));
  }
  return options;
}

}  // namespace

/// Notes the stream, for the agent's end.
template <typename Response>
std::shared_ptr<PullStream<Response>> AgentServiceImpl::Known(std::shared_ptr<PullStream<Response>> stream) {
  std::lock_guard<std::mutex> lock(mutex_);
  streams_.erase(
      std::remove_if(streams_.begin(), streams_.end(), [](const auto& end) { return !end(absl::OkStatus()); }),
      streams_.end());
  streams_.push_back([weak = std::weak_ptr<PullStream<Response>>(stream)](const absl::Status& status) {
    auto living = weak.lock();
    if (living != nullptr && !status.ok()) {
      living->End(status);
    }
    return living != nullptr;
  });
  return stream;
}

void AgentServiceImpl::EndStreams(bool restarts) {
  absl::Status status =
      restarts || restarts_
          ? MakeError(absl::StatusCode::kUnavailable, "the agent makes way for the next one",
                      {.reason = "AGENT_RESTARTS", .hint = "try again"})
          : MakeError(absl::StatusCode::kUnavailable, "the agent was stopped, and what follows it ends",
                      {.reason = "AGENT_STOPPED", .hint = "multigres agent start; the components went on meanwhile"});
  std::vector<std::function<bool(const absl::Status&)>> streams;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    streams.swap(streams_);
  }
  for (const auto& end : streams) {
    end(status);
  }
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* AgentServiceImpl::TailLogs(grpc::CallbackServerContext*,
                                                                       const grpc::ByteBuffer* bytes) {
  auto [stream, reactor] = PullStream<grpc::ByteBuffer>::Make();
  domain_.workers.Run([this, stream = Known(stream), bytes = *bytes]() mutable {
    agent::TailLogsRequest request;
    grpc::ProtoBufferReader reader(&bytes);
    if (!request.ParseFromZeroCopyStream(&reader)) {
      return stream->End(absl::InternalError("the request for logs cannot be read"));
    }
    absl::StatusOr<logs::LogTail::Options> options = TailOptions(request, domain_.provisioner);
    if (!options.ok()) {
      return stream->End(options.status());
    }
    absl::StatusOr<std::unique_ptr<logs::LogTail>> opened = logs::LogTail::Open(*std::move(options), stream->Waker());
    if (!opened.ok()) {
      return stream->End(opened.status());
    }
    if (tails_.fetch_add(1) >= kMostTails) {
      tails_.fetch_sub(1);
      return stream->End(MakeError(absl::StatusCode::kResourceExhausted,
                                   absl::StrCat(kMostTails, " readers follow logs already"),
                                   {.reason = "TOO_MANY_READERS", .hint = "end some of them"}));
    }
    std::shared_ptr<logs::LogTail> tail(opened->release(), [this](logs::LogTail* ended) {
      delete ended;
      tails_.fetch_sub(1);
    });
    stream->Attach(
        [raw = tail.get()](grpc::ByteBuffer* response, absl::Status* end) {
          logs::LogTail::Batch batch;
          switch (raw->Next(&batch, end)) {
            case logs::LogTail::Take::kBatch:
              *response = EncodeLogs(batch);
              return Pull::kItem;
            case logs::LogTail::Take::kNothingYet:
              return Pull::kNothingYet;
            case logs::LogTail::Take::kEnd:
              break;
          }
          return Pull::kEnd;
        },
        tail);
  });
  return reactor;
}

grpc::ServerWriteReactor<agent::WatchEventsResponse>* AgentServiceImpl::WatchEvents(
    grpc::CallbackServerContext*, const agent::WatchEventsRequest* request) {
  auto [stream, reactor] = PullStream<agent::WatchEventsResponse>::Make();
  domain_.workers.Run([this, stream = Known(stream), request = *request] {
    std::string cluster;
    if (request.has_cluster()) {
      absl::StatusOr<provisioners::Provisioner::ClusterInfo> info = domain_.provisioner.Resolve(request.cluster());
      if (!info.ok()) {
        return stream->End(info.status());
      }
      cluster = info->name;
    }
    auto& feed = domain_.events.feed();
    // Without following, "from now on" would always be nothing: then it is all there is.
    const bool all = request.from_start() || !request.follow();
    std::int64_t after = !all ? feed.last() : cluster.empty() ? 0 : domain_.events.EndOfRemoved(cluster);
    if (!request.cursor().empty()) {
      absl::StatusOr<std::int64_t> position = domain_.events.Position(request.cursor());
      if (!position.ok()) {
        return stream->End(position.status());
      }
      after = *position;
    }
    std::shared_ptr<void> subscription = feed.Subscribe(stream->Waker());
    stream->Attach(
        [&events = domain_.events, after, cluster, follow = request.follow()](agent::WatchEventsResponse* response,
                                                                              absl::Status*) mutable {
          for (;;) {
            auto batch = events.ReadAfter(after, kEventsPerMessage);
            for (auto& [sequence, event] : batch.items) {
              after = sequence;
              if (cluster.empty() || event.cluster() == cluster) {
                *response->add_events() = std::move(event);
              }
            }
            if (response->events_size() > 0) {
              return Pull::kItem;
            }
            if (batch.items.empty()) {
              return follow && !batch.end ? Pull::kNothingYet : Pull::kEnd;
            }
          }
        },
        std::move(subscription));
  });
  return reactor;
}

/// The cluster's feed, shared by all who watch it now; every event makes it probe.
std::shared_ptr<events::StateFeed> AgentServiceImpl::FeedOf(const std::string& key,
                                                            const provisioner::ClusterSelector& cluster) {
  std::lock_guard<std::mutex> lock(mutex_);
  std::weak_ptr<events::StateFeed>& kept = state_feeds_[key];
  if (auto feed = kept.lock()) {
    return feed;
  }
  provisioner::GetClusterStatusRequest request;
  *request.mutable_cluster() = cluster;
  auto feed = std::make_shared<events::StateFeed>(
      [this, request] { return domain_.provisioner.Status(request, absl::Now() + kProbeBound); });
  kept = feed;
  return feed;
}

grpc::ServerWriteReactor<agent::WatchStateResponse>* AgentServiceImpl::WatchState(
    grpc::CallbackServerContext*, const agent::WatchStateRequest* request) {
  /// What lives as long as the call; the feed goes last.
  struct Keep {
    std::shared_ptr<events::StateFeed> feed;
    std::shared_ptr<void> changes, events;
  };
  auto [stream, reactor] = PullStream<agent::WatchStateResponse>::Make();
  domain_.workers.Run([this, stream = Known(stream), request = *request] {
    absl::StatusOr<provisioners::Provisioner::ClusterInfo> info = domain_.provisioner.Resolve(request.cluster());
    if (!info.ok()) {
      return stream->End(info.status());
    }
    auto keep = std::make_shared<Keep>();
    keep->feed = FeedOf(info->root_dir, request.cluster());
    keep->changes = keep->feed->changes().Subscribe(stream->Waker());
    keep->events = domain_.events.feed().Subscribe([weak = std::weak_ptr<events::StateFeed>(keep->feed)] {
      if (auto feed = weak.lock()) {
        feed->Poke();
      }
    });
    std::int64_t base = keep->feed->base();
    std::int64_t last = keep->feed->changes().last();
    // Resumable only within this feed's life and what it keeps.
    std::int64_t position = request.after_revision() - base;
    bool resync = position <= 0 || position > last || keep->feed->changes().ReadAfter(position, 1).missed > 0;
    stream->Attach(
        [feed = keep->feed.get(), base, position, resync](agent::WatchStateResponse* response,
                                                          absl::Status* end) mutable {
          if (!resync) {
            auto batch = feed->changes().ReadAfter(position, 1);
            if (batch.items.empty()) {
              return Pull::kNothingYet;
            }
            position = batch.items[0].first;
            if (batch.missed == 0 && batch.items[0].second.has_value()) {
              response->set_revision(base + position);
              *response->mutable_component() = *std::move(batch.items[0].second);
              return Pull::kItem;
            }
            resync = true;
          }
          auto latest = feed->Latest();
          if (!latest.ok()) {
            *end = latest.status();
            return Pull::kEnd;
          }
          if (!latest->has_value()) {
            return Pull::kNothingYet;
          }
          resync = false;
          position = (*latest)->position;
          response->set_revision(base + position);
          *response->mutable_snapshot() = std::move((*latest)->status);
          return Pull::kItem;
        },
        keep);
  });
  return reactor;
}

}  // namespace mg::rpc
