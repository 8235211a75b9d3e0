#include "vmm/cli/network_options.h"

#include "net/dns/resolver.h"

namespace glassbox::cli {
namespace {

template <typename T>
T value_or_error(Result<T> result, const char* option) {
  if (!result) throw options::Invalid(option, result.error().message);
  return std::move(*result);
}

// Whether the word is on the command line, before "--".
bool was_said(const Cli& cli, std::string_view word) {
  for (int i = 1; i < cli.argc && cli.argv[i] != std::string_view("--"); ++i)
    if (cli.argv[i] == word) return true;
  return false;
}

}  // namespace

void add_network_options(Cli& cli, options::App& command, net::NatConfig& config) {
  command
      .add_option_function(
          "--allow-host-loopback",
          [&config, &cli](const std::string& ports) {
            // To the parser, an empty value after "=" is the same as no "=". But "=$PORT" with an empty
            // variable must not open all ports.
            if (ports.empty() && was_said(cli, "--allow-host-loopback=")) {
              throw options::Invalid("--allow-host-loopback", "no port after the =");
            }
            config.allow_host_loopback = true;
            if (ports.empty()) return;
            config.loopback_ports = value_or_error(net::parse_ports(ports), "--allow-host-loopback");
          },
          "10.0.2.2 reaches the host's 127.0.0.1 and fd00:10:0:2::2 its ::1, on all ports or on those named "
          "(=PORT,...)")
      ->expected(0, 1)
      ->type_name("[=PORT,...]");
  command
      .add_list_function(
          "--deny",
          [&config](const std::vector<std::string>& networks) {
            for (const std::string& text : networks)
              config.deny.push_back(value_or_error(net::parse_cidr(text), "--deny"));
          },
          "Destinations the guest may not reach (A.B.C.D/N, A:B::/N), besides 169.254.0.0/16, fe80::/10 and "
          "the "
          "metadata services of clouds")
      ->allow_extra_args(false);
  command
      .add_list_function(
          "--dns",
          [&config](const std::vector<std::string>& servers) {
            for (const std::string& text : servers)
              config.dns.push_back(value_or_error(net::parse_address(text), "--dns"));
            if (config.dns.size() > net::NameServers::kMax) throw options::Invalid("--dns", "three at most");
          },
          "Name server behind 10.0.2.3 and fd00:10:0:2::3; up to three, asked in turn (default: the host's, "
          "from "
          "/etc/resolv.conf)")
      ->allow_extra_args(false);
  command
      .add_list_function(
          "--publish",
          [&config](const std::vector<std::string>& ports) {
            for (const std::string& text : ports)
              config.publish.push_back(value_or_error(net::parse_published(text), "--publish"));
          },
          "TCP or UDP port of the host that leads to one of the guest, [ADDRESS:]HOSTPORT:PORT[/udp] "
          "(ADDRESS: 127.0.0.1; IPv6 in brackets)")
      ->allow_extra_args(false);
  command.add_option_function(
      "--poll",
      [&config](const std::string& text) { config.poll = value_or_error(net::parse_poll(text), "--poll"); },
      "Before the network thread sleeps it spins: adaptive (default; where it pays), off, or for this "
      "many us");
  command.add_option("--max-flows", config.max_flows, "TCP, UDP and ping flows that may be open at a time")
      ->check(options::range(1, 32768))
      ->capture_default_str();
  command.add_option("--max-new-flows", config.max_new_flows, "Flows that may begin in a second")
      ->check(options::range(1, 1'000'000))
      ->capture_default_str();
  command
      .add_option(
          "--linger", config.linger_s,
          "Seconds without progress after which the end no longer waits for peers to take what was sent; "
          "0: it does not wait")
      ->check(options::range(0, 86'400))
      ->capture_default_str();
  command.add_option("--mtu", config.mtu, "MTU of the guest's interface")
      ->check(options::range(576, 65520))
      ->capture_default_str();
}

}  // namespace glassbox::cli
