/// Hears from poolers what this gateway's sessions hold that rest there: see RestNote. On the gateway's loop thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <set>
#include <string>

#include "common/pgwire/handoff.h"
#include "components/multigateway/pooler_link.h"

namespace mg::multigateway {

class RestFeeds {
 public:
  using Heard = std::function<void(const pgwire::RestNote&)>;
  RestFeeds(boost::asio::io_context& loop, Heard heard);
  RestFeeds(const RestFeeds&) = delete;
  RestFeeds& operator=(const RestFeeds&) = delete;

  /// A session is served there: what it holds is heard from now on, as long as the pooler lives.
  void ListenTo(PoolerLink* link, const PoolerAddress& address);
  /// By which poolers know this gateway.
  const std::string& gateway() const { return gateway_; }

 private:
  boost::asio::awaitable<void> Listen(PoolerLink* link, PoolerAddress address, std::string name);
  boost::asio::awaitable<bool> ListenOnce(PoolerLink* link, PoolerAddress address);

  boost::asio::io_context& loop_;
  const Heard heard_;
  const std::string gateway_;
  std::set<std::string> listened_to_;
};

}  // namespace mg::multigateway
