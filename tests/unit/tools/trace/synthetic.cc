#include "tests/unit/tools/trace/synthetic.h"

#include <algorithm>

#include "tools/trace/file/records.h"

namespace glassbox::trace::testing {
namespace {

constexpr std::uint32_t kNetTid = 77, kServerTid = 88, kShell = 500, kPrintf = 1, kClient = 2;
constexpr std::uint64_t kGuestFin = 1, kGuestSyn = 2, kPsh = 8, kAck = 16;
constexpr std::uint64_t kLoopback = 0xffff7f000001;
constexpr std::uint64_t kWireNear = 0xffff0a090001, kWireFar = 0xffff0a090002;
constexpr std::uint64_t kGateway = 0xffff0a000202, kGateway6Hi = 0xfd00001000000002;

gb_event make(std::int64_t t, std::uint16_t kind, std::uint16_t cpu, std::uint64_t seq, std::uint32_t tgid,
              std::uint32_t tid, std::initializer_list<std::uint64_t> args) {
  gb_event e{};
  e.ts_ns = static_cast<std::uint64_t>(t);
  e.seq = seq;
  e.kind = kind;
  e.cpu = cpu;
  e.tgid = tgid;
  e.tid = tid;
  e.version = GB_EVENT_VERSION;
  std::copy(args.begin(), args.end(), e.arg);
  return e;
}

}  // namespace

void TraceBuilder::host(std::int64_t t, std::uint16_t kind, std::uint32_t tid,
                        std::initializer_list<std::uint64_t> args) {
  trace_.host.events.push_back(make(t, kind, 0, host_seq_++, tid, tid, args));
}

std::uint64_t TraceBuilder::guest(std::int64_t t, std::uint16_t kind, std::uint32_t tgid,
                                  std::initializer_list<std::uint64_t> args) {
  const std::int64_t shown = t + clock_.theta(t);
  trace_.guest.events.push_back(make(shown, kind, 0, guest_seq_++, tgid, tgid, args));
  return static_cast<std::uint64_t>(shown);
}

void TraceBuilder::reaped(std::int64_t t, std::uint32_t child) {
  const std::uint64_t reap = guest(t, GB_KIND_guest_reap, kShell, {child, child});
  guest(t + 3000, GB_KIND_guest_waited, kShell, {child, reap});
}

void TraceBuilder::exchange(std::int64_t t, std::int64_t width_ns) {
  const std::uint64_t number = ++exchange_;
  std::uniform_int_distribution<std::int64_t> place(0, width_ns);
  const std::int64_t before = t - place(random_), after = before + width_ns;
  host(t, GB_KIND_clock_exchange, 99, {number, 0});
  const std::int64_t ga = before + clock_.theta(before), gb = after + clock_.theta(after);
  trace_.guest.events.push_back(
      make(ga, GB_KIND_guest_clock, kAgentCpuBit, agent_seq_++, 1, 1,
           {number, static_cast<std::uint64_t>(ga), static_cast<std::uint64_t>(gb), 0}));
}

void TraceBuilder::reading(std::int64_t t, std::int64_t lie_ticks, std::int64_t kvm_ns) {
  constexpr std::int64_t kOffset = 1'000'000'000, kBefore = 40'000, kAfter = 60'000;
  const std::uint64_t number = ++reading_;
  const auto guest_time = [&](std::int64_t at) { return static_cast<std::uint64_t>(at + clock_.theta(at)); };
  const auto counter = [&](std::int64_t at) { return 2 * guest_time(at) + 7'000; };
  host(t, GB_KIND_clock_reading, 99,
       {number, 0, counter(t) - kOffset + static_cast<std::uint64_t>(lie_ticks), 0, kOffset, 0, 2,
        guest_time(t) + static_cast<std::uint64_t>(kvm_ns), 0});
  const std::uint64_t before = guest_time(t - kBefore), after = guest_time(t + kAfter);
  trace_.guest.events.push_back(make(static_cast<std::int64_t>(before), GB_KIND_guest_clock_reading,
                                     kAgentCpuBit, agent_seq_++, 1, 1,
                                     {number, before, after, 0, counter(t - kBefore), counter(t + kAfter)}));
}

void TraceBuilder::idle(std::int64_t from, std::int64_t to) {
  for (; from <= to; from += 10'000'000)
    exchange(from);
}

std::int64_t TraceBuilder::step(std::int64_t typical_ns) {
  std::uniform_int_distribution<std::int64_t> around(typical_ns / 2 + 1, typical_ns * 3 / 2);
  return around(random_);
}

std::int64_t TraceBuilder::cycle(std::int64_t t, const CycleOptions& o) {
  const std::uint32_t base = next_pid_;
  next_pid_ += 3;
  const std::uint32_t client = o.fork ? base + kClient : 600;
  const std::uint64_t flow = next_flow_++;
  const std::uint64_t sk = 0x100000 + flow * 64, nat_sk = 0x9000000 + flow * 64,
                      srv_sk = 0xa000000 + flow * 64;
  const std::uint64_t port = o.port ? o.port : 32768 + flow % 20000, dst = 7777,
                      nat_port = o.port ? o.port : 40000 + flow % 20000;
  const std::uint64_t family = o.ipv6 ? 10 : 2, ethertype = o.ipv6 ? 0x86dd : 0x800;
  const std::uint64_t gateway_hi = o.ipv6 ? kGateway6Hi : 0, gateway_lo = o.ipv6 ? 2 : kGateway;
  const std::uint64_t loopback = o.ipv6 ? 1 : kLoopback;
  const std::uint64_t nat_address = o.wire_ns > 0 ? kWireNear : loopback,
                      server_address = o.wire_ns > 0 ? kWireFar : loopback;
  const std::uint64_t isn = 1000 * flow, irs = 500 * flow + 7;
  const auto us = [this](std::int64_t n) { return step(n * 1000); };
  const auto wake = [&](std::int64_t at, std::int64_t timeout_ms, std::uint64_t raw, std::uint64_t kicked) {
    host(at, GB_KIND_net_poll_wake, kNetTid, {static_cast<std::uint64_t>(timeout_ms), raw, raw, kicked});
  };
  const auto frame_in = [&](std::int64_t at, std::uint64_t len, bool woken = true) {
    if (woken) wake(at - 500, -1, 1, 1);
    host(at, GB_KIND_process_guest_frame_begin, kNetTid, {ethertype, len, 1});
  };
  const auto frame_done = [&](std::int64_t at, std::uint64_t seq, std::uint64_t flags, std::uint64_t len) {
    host(at, GB_KIND_process_guest_frame, kNetTid, {flow, seq, ethertype, 6, flags, len, 0});
  };
  const auto xmit = [&](std::int64_t at, std::uint64_t seq, std::uint64_t flags, std::uint64_t len,
                        std::uint64_t payload) {
    guest(at, GB_KIND_guest_xmit, client,
          {port, dst, seq, len, flags, gateway_hi, gateway_lo, 0, 0, payload});
  };
  const auto receive = [&](std::int64_t at, std::uint64_t seq, std::uint64_t flags, std::uint64_t len,
                           std::uint64_t payload) {
    guest(at, GB_KIND_guest_receive, 0, {port, dst, seq, len, flags, gateway_hi, gateway_lo, 0, 0, payload});
  };
  // Publishes a frame at t; the interrupt follows unless the guest suppresses it. Returns when the guest has
  // the frame.
  const auto inject = [&](std::int64_t at, std::uint64_t seq, std::uint64_t flags, std::uint64_t len,
                          std::uint64_t payload) {
    host(at, GB_KIND_rx_inject, kNetTid, {flow, seq, len, flags, 0});
    const std::int64_t irq = at + us(10);
    const std::int64_t got = o.late_irq ? at + (irq - at) / 2 : irq + us(150);
    host(irq, GB_KIND_irq_raise, kNetTid, {1, 0, o.suppress_irq ? 1ULL : 0ULL});
    host(irq + 2000, GB_KIND_net_poll_wait, kNetTid, {static_cast<std::uint64_t>(-1)});
    // A suppressed interrupt does not arrive; a late one finds that the frame was taken.
    if (!o.suppress_irq) guest(o.late_irq ? irq + 3000 : got - 2000, GB_KIND_guest_irq, 0, {25});
    receive(got, seq, flags, len, payload);
    return got;
  };

  if (o.fork) {
    std::uint64_t cloned = guest(t, GB_KIND_guest_clone_begin, kShell, {0x11});
    guest(t += us(300), GB_KIND_guest_fork, kShell,
          {base + kPrintf, base + kPrintf, cloned, 0, 0, 0, 0, 0, 0, 0, 115, 0});
    cloned = guest(t += us(50), GB_KIND_guest_clone_begin, kShell, {0x11});
    guest(t + 1000, GB_KIND_guest_exit, base + kPrintf, {0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 115, 0});
    guest(t += us(300), GB_KIND_guest_fork, kShell, {client, client, cloned, 0, 0, 0, 0, 0, 0, 0, 115, 0});
    reaped(t + 1000, base + kPrintf);
    guest(t += us(500), GB_KIND_guest_exec_begin, client, {});
    guest(t += us(900) + o.exec_ns, GB_KIND_guest_exec_done, client, {});
  }
  const std::uint64_t made = guest(t += us(400), GB_KIND_guest_socket, client, {2, 1, 0});
  guest(t += us(30) + o.start_ns, GB_KIND_guest_connect_begin, client,
        {sk, family, dst, gateway_hi, gateway_lo, made});
  guest(t + 100, GB_KIND_guest_sock_state, client, {sk, 2, 7, 2, 0, dst});
  xmit(t += us(40) + o.syn_ns, isn, kGuestSyn, 74, 0);
  if (o.syn_twice) xmit(t + 1000, isn, kGuestSyn, 74, 0);
  frame_in(t += us(120), 74);
  const auto flow_began = static_cast<std::uint64_t>(t);
  host(t += us(5), GB_KIND_tcp_syn, kNetTid, {flow, family, 0, 0, port, 0, 0, dst, isn});
  host(t += us(5), GB_KIND_tcp_connect_begin, kNetTid, {flow, 9});
  host(t + 100, GB_KIND_host_sock_state, kNetTid,
       {nat_sk, 2, 7, 2, 0, dst, 0, nat_address, 0, server_address});
  t += us(60) + o.host_connect_ns + 2 * o.wire_ns;
  if (o.syn_again) {
    xmit(t - 200'000, isn, kGuestSyn, 74, 0);
    frame_done(t - 100'000, isn, kGuestSyn, 74);
  }
  host(t - 1000, GB_KIND_host_sock_state, kNetTid,
       {nat_sk, 2, 2, 1, nat_port, dst, 0, nat_address, 0, server_address});
  host(t - 500 + o.wire_ns, GB_KIND_host_sock_state, kNetTid,
       {srv_sk, 2, 3, 1, dst, nat_port, 0, server_address, 0, nat_address});
  host(t, GB_KIND_tcp_connect_done, kNetTid, {flow, 9, 0, 1});
  std::int64_t server = t + us(30) + o.wire_ns;
  host(t += us(5), GB_KIND_syn_ack_queued, kNetTid, {flow, port, dst, 1});
  frame_done(t += us(5), isn, kGuestSyn, 74);
  t = inject(t += us(10), irs, kGuestSyn | kAck, 66, 0);
  if (!o.late_accept) {
    host(server, GB_KIND_host_accept, kServerTid,
         {5, srv_sk, dst, nat_port, 0, server_address, 0, nat_address});
    if (!o.late_read)
      host(server += us(10), GB_KIND_host_server_read_enter, kServerTid, {5, srv_sk, dst, nat_port});
  }
  guest(t += us(20), GB_KIND_guest_sock_state, 0, {sk, 2, 2, 1, port, dst});
  xmit(t + 100, isn + 1, kAck, 66, 0);
  guest(t += us(60), GB_KIND_guest_connect_done, client, {sk, 0, port, dst});
  guest(t += us(200) + o.request_ns, GB_KIND_guest_send, client, {sk, 1, port, dst});
  xmit(t += us(30), isn + 1, kAck | kPsh, 67, 1);
  using Wake = CycleOptions::Wake;
  if (o.sleep_on) {
    wake(t + 5000, -1, 1, 0);
    host(t + 200'000, GB_KIND_net_poll_wait, kNetTid, {static_cast<std::uint64_t>(-1)});
  }
  t += us(120) + o.kick_ns;
  wake(t - 500, o.wake == Wake::kTimeout ? 10 : -1, o.wake == Wake::kTimeout ? 0 : 1,
       o.wake == Wake::kKick ? 1 : 0);
  frame_in(t, 67, false);
  const std::int64_t sent = t + us(15);
  std::int64_t frame_end = sent + 1000;
  if (o.lost_ns > 0) host(sent + o.lost_ns, GB_KIND_host_resend, kNetTid, {nat_sk, nat_port, dst});
  const std::int64_t arrives = sent + o.lost_ns + o.wire_ns;
  if (o.late_accept) {
    t = arrives + step(o.accept_delay_ns);
    host(t, GB_KIND_host_accept, kServerTid, {5, srv_sk, dst, nat_port});
  } else {
    t = arrives;
  }
  if (o.late_accept || o.late_read)
    host(t += us(o.late_read ? 900 : 15) + o.read_ns, GB_KIND_host_server_read_enter, kServerTid,
         {5, srv_sk, dst, nat_port});
  t += us(20);
  const bool late_send = o.late_send_probe && !o.late_accept && !o.late_read;
  if (late_send) frame_end = t + 4000;
  host(late_send ? t + 3000 : sent, GB_KIND_host_send, kNetTid, {flow, isn + 1, 1, 1});
  frame_done(frame_end, isn + 1, kAck | kPsh, 67);
  host(t, GB_KIND_host_server_read, kServerTid, {5, srv_sk, dst, nat_port, 1});
  host(t += us(12) + o.think_ns, GB_KIND_host_server_write_enter, kServerTid, {5, srv_sk, dst, nat_port});
  const std::int64_t written = t + us(5);
  host(written, GB_KIND_host_server_write, kServerTid, {5, srv_sk, dst, nat_port, 1});
  const auto server_closes = [&](std::int64_t at) {
    host(at, GB_KIND_host_server_shutdown, kServerTid, {5, srv_sk, dst, nat_port, 2});
    host(at += us(40), GB_KIND_host_recv, kNetTid, {flow, irs + 2, 1000, 0});
    return inject(at += us(8), irs + 2, kGuestFin | kAck, 54, 0);
  };
  t += us(40) + o.write_ns + o.wire_ns;
  wake(t - 500, -1, 1, 0);
  host(t, GB_KIND_host_recv, kNetTid, {flow, irs + 1, 1000, 1});
  const auto replied = static_cast<std::uint64_t>(t += us(8));
  t = inject(t, irs + 1, kAck | kPsh, 55, 1);
  if (o.rest_ns > 0) {
    host(written + 2000, GB_KIND_host_server_write_enter, kServerTid, {5, srv_sk, dst, nat_port});
    host(written + 4000, GB_KIND_host_server_write, kServerTid, {5, srv_sk, dst, nat_port, 1});
    host(t += o.rest_ns, GB_KIND_host_recv, kNetTid, {flow, irs + 2, 1000, 1});
    t = inject(t += us(8), irs + 2, kAck | kPsh, 55, 1);
  }
  std::int64_t fin = 0;
  if (o.fork && !o.late_eof) fin = server_closes(t + 1000);
  t = std::max(t, fin);
  guest(t += us(100), GB_KIND_guest_recv, client, {sk, 1, port, dst});
  if (o.fork) {
    if (o.late_eof) t = server_closes(t += us(300));
    guest(t += us(50), GB_KIND_guest_recv, client, {sk, 0, port, dst});
    guest(t += us(80), GB_KIND_guest_exit, client, {0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 110, 0});
  }
  if (o.second_send_ns > 0) {
    guest(t += us(10), GB_KIND_guest_send, client, {sk, 1, port, dst});
    t += o.second_send_ns;
    receive(t - 1000, irs + 2, kAck, 54, 0);
    xmit(t, isn + 2, kAck | kPsh, 67, 1);
  }
  guest(t += us(60) + o.close_ns, GB_KIND_guest_close, client, {sk, 2, port, dst});
  xmit(t + 500, isn + 2, kAck | kGuestFin, 66, 0);
  const std::uint64_t closed = guest(t += us(30), GB_KIND_guest_close_done, client, {sk, 2, port, dst});
  guest(t + 1000, GB_KIND_guest_released, client, {sk, closed, port, dst});
  if (o.fork) reaped(t += us(200), client);
  host(t + 50'000, GB_KIND_flow_close, kNetTid, {flow, 0, 1, 1});
  host(t + 51'000, GB_KIND_host_flow_span, kNetTid, {flow, flow_began, replied});
  return t;
}

Trace TraceBuilder::build() const {
  Trace trace;
  take_records(trace_.host.events, Origin::kHost, trace.host);
  take_records(trace_.guest.events, Origin::kGuest, trace.guest);
  check_sequences(trace.host);
  check_sequences(trace.guest);
  return trace;
}

Trace make_trace(int count, const CycleOptions& options, GuestClock clock, unsigned seed) {
  TraceBuilder builder(clock, seed);
  std::int64_t t = 1'000'000'000;
  for (int k = 0; k < 5; ++k)
    builder.exchange(t += 200'000);
  for (int k = 0; k < count; ++k) {
    const std::int64_t end = builder.cycle(t + 1'000'000, options);
    builder.idle(t + 3'000'000, end);
    t = end;
  }
  for (int k = 0; k < 5; ++k)
    builder.exchange(t += 200'000);
  return builder.build();
}

Trace without_kind(const Trace& trace, std::uint16_t kind) {
  Trace copy = trace;
  for (Side* side : {&copy.host, &copy.guest})
    std::erase_if(side->events, [kind](const gb_event& e) { return e.kind == kind; });
  return copy;
}

}  // namespace glassbox::trace::testing
