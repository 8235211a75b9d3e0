// gb-echo: the echo server as a program, so that it has a pid and a name of its own in a trace.
//
// glassbox-bench passes a listening socket and a memfd with the shared counter; by hand, `gb-echo --port
// 7777` or `gb-echo --listen [::1]:7777` does. Statically linked: it serves inside a guest as well.
#include <fcntl.h>
#include <sys/mman.h>

#include <atomic>
#include <map>
#include <new>

#include "tools/bench/stacks/echo.h"
#include "vmm/base/options.h"

namespace glassbox::bench {
namespace {

struct EchoArgs {
  EchoOptions options;
  std::uint16_t port = 0;
  std::string listen;
  int listen_fd = -1;
  int counter_fd = -1;
};

// The counter lives in shared memory: the launcher's progress line then costs the server no system call.
Result<std::atomic<std::uint64_t>*> map_counter(int fd) {
  static std::atomic<std::uint64_t> own{0};
  static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
  if (fd < 0) return &own;
  void* page = ::mmap(nullptr, sizeof(own), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (page == MAP_FAILED) return fail_errno(errno, "echo server: cannot map the counter");
  return new (page) std::atomic<std::uint64_t>(0);
}

Status serve(const EchoArgs& args) {
  UniqueFd listener(args.listen_fd);
  if (!listener) {
    net::Endpoint at{net::IpAddress::from_v4(net::ipv4(127, 0, 0, 1)), args.port};
    if (!args.listen.empty()) at = *net::endpoint_from_text(args.listen);
    GB_ASSIGN(listener, listen_on(at));
    GB_ASSIGN(at.port, bound_port(listener));
    fmt::print(stderr, "gb-echo: serving on {}\n", net::to_text(at.address, at.port));
  }
  if (args.options.poll_ms > 0 && ::fcntl(listener.get(), F_SETFL, O_NONBLOCK) < 0) {
    return fail_errno(errno, "echo server: O_NONBLOCK");
  }
  GB_ASSIGN(auto* const served, map_counter(args.counter_fd));
  return serve_echo(listener, args.options, *served);
}

}  // namespace
}  // namespace glassbox::bench

int main(int argc, char** argv) {
  using namespace glassbox;
  bench::EchoArgs args;
  options::App app{"TCP server of the benchmarks: one connection at a time, blocked in accept()"};
  app.set_version_flag("--version", "gb-echo " GLASSBOX_VERSION);
  auto* const port = app.add_option("--port", args.port, "port on 127.0.0.1 (default: a free one, printed)");
  app.add_option("--listen", args.listen,
                 "127.0.0.1:7777 or [::1]:7777, in place of --port; port 0: a free one")
      ->excludes(port)
      ->check({[](const std::string& text) {
                 return net::endpoint_from_text(text)
                            ? std::string()
                            : text + " is not ADDRESS:PORT (an IPv6 address in brackets)";
               },
               ""});
  const std::map<std::string, bench::Service> services = {{"echo", bench::Service::kEcho},
                                                          {"keep", bench::Service::kKeep},
                                                          {"sink", bench::Service::kSink},
                                                          {"source", bench::Service::kSource}};
  app.add_option_function(
         "--service", [&](const std::string& name) { args.options.service = services.at(name); },
         "echo: a request, its reply, close (default); keep: until the client closes; sink: takes a "
         "stream, answers a byte; source: takes a byte, sends a stream")
      ->check(options::one_of({"echo", "keep", "sink", "source"}));
  app.add_option("--stream-bytes", args.options.stream_bytes, "bytes that source sends")
      ->check(options::range(1, std::int64_t{1} << 40));
  app.add_option("--poll", args.options.poll_ms,
                 "poll accept() with a sleep of this many ms in place of blocking")
      ->check(options::range(1, 60'000));
  app.add_option("--request-bytes", args.options.request_bytes, "bytes of a request (default 1)")
      ->check(options::range(1, bench::kMaxRequestBytes));
  app.add_option("--listen-fd", args.listen_fd, "an inherited listening socket, in place of --port");
  app.add_option("--times-fd", args.options.times_fd,
                 "an inherited memfd that gets a u64 a reply: ns since the server looked for the connection");
  app.add_option("--counter-fd", args.counter_fd, "an inherited memfd whose first u64 counts the replies");
  if (const auto parsed = app.parse(argc, argv); !parsed.proceed) return options::finish(parsed, "gb-echo");
  if (auto status = bench::serve(args); !status) {
    fmt::print(stderr, "gb-echo: error: {}\n", status.error().message);
    return 1;
  }
  return 0;
}
