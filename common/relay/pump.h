/// Moves bytes from one socket to another. Only for the few files that include Asio anyway.
#pragma once

#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/socket_base.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <string>
#include <type_traits>

#include "absl/strings/string_view.h"

namespace mg::relay {

/// The loop's one buffer: whoever has bytes at the moment reads into it, and is done with it before anybody else runs.
/// So an idle session holds no buffer at all.
struct Scratch {
  std::array<char, 64 << 10> bytes;
};

/// Nothing is held up.
struct NoGate {
  bool shut() const { return false; }
};

/// Relays until the end of `from`, an error on either side, or until `filter` says that this was the last. `filter` is
/// called as `absl::string_view filter(absl::string_view read, bool* last)`: it returns what to write, maybe nothing,
/// valid until the coroutine is suspended. Back-pressure: nothing is read while a write is not done; what one write
/// could not take is kept meanwhile, and `*writing` is true as long. Result: the error of `from` (eof at its end) or of
/// `to`; none after the last.
///
/// Where `gate.shut()` says so, what is to be written waits for `awaitable<bool> gate.Open()`; false: it is dropped.
template <typename From, typename To, typename Filter, typename Gate = NoGate>
boost::asio::awaitable<boost::system::error_code> Pump(From& from, To& to, Scratch& scratch, Filter filter,
                                                       bool* writing, Gate gate = {}) {
  namespace asio = boost::asio;
  constexpr int kTurnsWithoutWait = 16;
  boost::system::error_code error;
  from.non_blocking(true, error);
  to.non_blocking(true, error);
  for (int turns = 0;;) {
    // After a full buffer there is surely more, and the wait would be a system call for nothing; others get their turn.
    if (turns == 0) {
      co_await from.async_wait(asio::socket_base::wait_read, asio::redirect_error(asio::use_awaitable, error));
      if (error) {
        co_return error;
      }
    }
    size_t n = from.read_some(asio::buffer(scratch.bytes), error);
    turns = n == scratch.bytes.size() && turns < kTurnsWithoutWait ? turns + 1 : 0;
    if (error == asio::error::would_block || error == asio::error::interrupted) {
      continue;
    }
    if (error) {
      co_return error;
    }
    bool last = false;
    absl::string_view passed = filter(absl::string_view(scratch.bytes.data(), n), &last);
    std::string held;
    if constexpr (!std::is_same_v<Gate, NoGate>) {
      if (!passed.empty() && gate.shut()) {
        held.assign(passed.data(), passed.size());
        *writing = true;
        bool open = co_await gate.Open();
        *writing = false;
        passed = open ? absl::string_view(held) : absl::string_view();
      }
    }
    if (!passed.empty()) {
      size_t written = to.write_some(asio::buffer(passed.data(), passed.size()), error);
      if (error && error != asio::error::would_block && error != asio::error::interrupted) {
        co_return error;
      }
      if (written < passed.size()) {
        std::string rest(passed.substr(written));
        *writing = true;
        co_await asio::async_write(to, asio::buffer(rest), asio::redirect_error(asio::use_awaitable, error));
        *writing = false;
        if (error) {
          co_return error;
        }
      }
    }
    if (last) {
      co_return boost::system::error_code();
    }
  }
}

}  // namespace mg::relay
