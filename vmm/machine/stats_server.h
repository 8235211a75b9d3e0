// The figures of a running VM for `glassbox stats`: a UNIX stream socket in the runtime directory. Whoever
// connects gets one JSON object and a newline, then the end of the stream.
//
// Only the VM's user and root are answered. Nothing waits for a reader: an answer that does not fit into the
// socket's buffer at once is dropped with its connection.
//
// Thread: the loop's, whose data `text` may read.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "net/counters.h"
#include "net/loop/event_loop.h"
#include "vmm/base/unique_fd.h"

namespace glassbox {

class StatsServer final : public net::FdHandler {
 public:
  // Listens at `path`; the directory's owner removes the file. The loop outlives the server.
  [[nodiscard]] static Result<std::unique_ptr<StatsServer>> create(net::EventLoop& loop,
                                                                   const std::filesystem::path& path,
                                                                   std::function<std::string()> text);
  ~StatsServer() override { loop_.remove(listener_.get()); }
  void on_fd_ready(std::uint32_t events) override;

 private:
  StatsServer(net::EventLoop& loop, UniqueFd listener, std::function<std::string()> text)
      : loop_(loop), listener_(std::move(listener)), text_(std::move(text)) {}
  net::EventLoop& loop_;
  UniqueFd listener_;
  const std::function<std::string()> text_;
};

// What the NAT has counted, by name.
[[nodiscard]] nlohmann::json stats_of(const net::NatCounters& counters);

}  // namespace glassbox
