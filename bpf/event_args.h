// The arguments of an event by name, for C++. Made from probes.def and events.def.
//
//   args::host_accept(event).new_fd      of an event whose kind is known; the wrong kind is an assertion
//   skaddr_of(event), ports_of(event)... of an event of any kind that has them
//
// The references are into the event and live as long as it does.
#pragma once

#include <cassert>
#include <cstdint>
#include <utility>

#include "bpf/events.h"

static_assert(sizeof(gb_event) == 128);

namespace glassbox {

namespace args {

#define GB_ACCESSOR(event)                                               \
  [[nodiscard]] inline const gb_args_##event& event(const gb_event& e) { \
    assert(e.kind == GB_KIND_##event);                                   \
    return e.event;                                                      \
  }                                                                      \
  [[nodiscard]] inline gb_args_##event& event(gb_event& e) {             \
    assert(e.kind == GB_KIND_##event);                                   \
    return e.event;                                                      \
  }                                                                      \
  static_assert(sizeof(gb_args_##event) <= sizeof(gb_event::arg), #event " has too many arguments");

#define GB_PROBE(name, ...) GB_ACCESSOR(name)
#include "bpf/probes.def"
#define GB_EVENT(name, ...) GB_ACCESSOR(name)
#include "bpf/events.def"
#undef GB_ACCESSOR

// Of a kind that does not exist.
struct None {};

}  // namespace args

// Calls f with the arguments of the event, whatever its kind: f(const gb_args_<event>&), or f(args::None{})
// for a kind that does not exist. f returns the same type for all of them.
template <typename F>
decltype(auto) visit_args(const gb_event& e, F&& f) {
  switch (e.kind) {
#define GB_CASE(name)  \
  case GB_KIND_##name: \
    return std::forward<F>(f)(e.name);
#define GB_PROBE(name, ...) GB_CASE(name)
#include "bpf/probes.def"
#define GB_EVENT(name, ...) GB_CASE(name)
#include "bpf/events.def"
#undef GB_CASE
    default:
      return std::forward<F>(f)(args::None{});
  }
}

// The flow number of a host event that has one, 0 otherwise.
[[nodiscard]] inline std::uint64_t flow_of(const gb_event& e) {
  return visit_args(e, [](const auto& a) -> std::uint64_t {
    if constexpr (requires { a.flow; })
      return a.flow;
    else
      return 0;
  });
}

// The socket that an event of a call or of a state is about, 0 for other events.
[[nodiscard]] inline std::uint64_t skaddr_of(const gb_event& e) {
  return visit_args(e, [](const auto& a) -> std::uint64_t {
    if constexpr (requires { a.skaddr; })
      return a.skaddr;
    else
      return 0;
  });
}

// The ports of an event's connection, as its own side sees them; 0 where they are not known.
struct Ports {
  std::uint64_t local = 0, peer = 0;
};
[[nodiscard]] inline Ports ports_of(const gb_event& e) {
  return visit_args(e, [](const auto& a) -> Ports {
    if constexpr (requires {
                    a.local_port;
                    a.peer_port;
                  })
      return {a.local_port, a.peer_port};
    else
      return {};
  });
}

// What the events of a frame say of it, on either side; all 0 for other events.
struct FrameArgs {
  std::uint64_t seq = 0, len = 0, tcp_flags = 0;
  std::uint64_t payload = 0;  // bytes; 0 also for host events, which do not say
};
[[nodiscard]] inline FrameArgs frame_of(const gb_event& e) {
  return visit_args(e, [](const auto& a) -> FrameArgs {
    if constexpr (requires {
                    a.seq;
                    a.len;
                    a.tcp_flags;
                    a.payload;
                  })
      return {a.seq, a.len, a.tcp_flags, a.payload};
    else if constexpr (requires {
                         a.seq;
                         a.len;
                         a.tcp_flags;
                       })
      return {a.seq, a.len, a.tcp_flags, 0};
    else
      return {};
  });
}

}  // namespace glassbox
