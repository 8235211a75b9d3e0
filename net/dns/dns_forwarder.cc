#include "net/dns/dns_forwarder.h"

#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "net/count.h"
#include "net/host/socket_address.h"
#include "net/icmp/icmp_error.h"
#include "vmm/base/clock.h"
#include "vmm/base/unique_fd.h"

namespace glassbox::net {
namespace {

constexpr std::uint64_t kTryNs = 2 * kNsPerSecond;
constexpr std::uint8_t kRounds = 2;
// More than any server sends, so that a flood of forged answers cannot hold up the turn.
constexpr int kRepliesPerEvent = 64;

}  // namespace

DnsForwarder::DnsForwarder(EventLoop& loop, GuestLink& link, DestinationPolicy& policy, Admission& admission,
                           NatCounters& counters)
    : loop_(loop),
      link_(link),
      policy_(policy),
      admission_(admission),
      counters_(counters),
      questions_(new Question[kMaxOpen]) {
  for (std::uint16_t i = 0; i < kMaxOpen; ++i)
    questions_[i].forwarder = this;
}

DnsForwarder::~DnsForwarder() {
  for (std::uint16_t i = 0; i < kMaxOpen; ++i)
    close_socket(questions_[i]);
}

DropReason DnsForwarder::on_datagram(const FlowKey& key, const IovSlice& payload) {
  ++counters_.dns_queries;
  std::array<std::uint8_t, kMaxQuery> copy;
  const std::size_t bytes = iov_gather(payload.span(), copy.data(), copy.size());
  if (bytes != payload.bytes() || bytes < kDnsHeader) return DropReason::kBadDns;
  const auto message = std::span<const std::uint8_t>(copy).first(bytes);
  const auto query = parse_dns_query(message);
  if (!query) {
    const std::uint16_t flags = load_be16(&message[2]);
    if ((flags & kDnsResponse) == 0) {
      answer_error(key, message,
                   (flags & kDnsOpcode) != 0 ? DnsRcode::kNotImplemented : DnsRcode::kFormatError);
    }
    return DropReason::kBadDns;
  }
  // Another network has other name servers, whose answers may differ: start with an empty cache.
  if (const std::uint32_t version = policy_.name_servers_version(); version != servers_version_) {
    servers_version_ = version;
    preferred_ = 0;
    cache_.clear();
  }
  const auto out = std::span(room_).first<DnsCache::kMaxMessage>();
  if (const std::size_t cached = cache_.get(*query, loop_.now_ns(), out); cached != 0) {
    ++counters_.dns_cached;
    answer(key, out.first(cached));
    return DropReason::kNone;
  }
  if (find(key, *query) != nullptr) return DropReason::kNone;
  Question* const question = vacant();
  const RefuseReason reason =
      question == nullptr ? RefuseReason::kTableFull : admission_.admit(loop_.now_ns());
  if (reason != RefuseReason::kNone) {
    count_refusal(counters_, reason);
    answer_error(key, message, DnsRcode::kServerFailure);
    return DropReason::kNone;
  }
  question->key = key;
  question->bytes = bytes;
  std::copy(message.begin(), message.end(), question->query.begin());
  question->tries = 0;
  question->server = preferred_;
  ask(*question);
  return DropReason::kNone;
}

DnsForwarder::Question* DnsForwarder::find(const FlowKey& key, const DnsQuery& query) {
  if (open_ == 0) return nullptr;
  for (std::uint16_t i = 0; i < kMaxOpen; ++i) {
    const Question& open = questions_[i];
    if (open.fd < 0 || open.key != key || load_be16(open.query.data()) != query.id) continue;
    const auto theirs =
        open.message().subspan(kDnsHeader, std::min(query.question.size(), open.bytes - kDnsHeader));
    if (std::equal(theirs.begin(), theirs.end(), query.question.begin(), query.question.end())) {
      return &questions_[i];
    }
  }
  return nullptr;
}

DnsForwarder::Question* DnsForwarder::vacant() {
  if (open_ == kMaxOpen) return nullptr;
  return std::find_if(&questions_[0], &questions_[0] + kMaxOpen, [](const Question& q) { return q.fd < 0; });
}

// Asks the servers in turn until one accepts the question.
void DnsForwarder::ask(Question& question) {
  while (!ask_next(question)) {
    if (question.tries < kRounds * policy_.name_servers().size()) continue;
    return fail(question);
  }
}

// The server did not answer in time, or cannot: asks the next one, unless all were asked often enough.
void DnsForwarder::ask_again_or_fail(Question& question) {
  question.tries < kRounds* policy_.name_servers().size() ? ask(question) : fail(question);
}

bool DnsForwarder::ask_next(Question& question) {
  close_socket(question);
  const auto servers = policy_.name_servers();
  if (servers.empty()) {
    question.tries = UINT8_MAX;
    return false;
  }
  if (question.tries++ != 0) ++question.server;
  question.server = static_cast<std::uint8_t>(question.server % servers.size());
  const SocketAddress to(servers[question.server], kDnsPort);
  UniqueFd fd(::socket(to.family(), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd || ::connect(fd.get(), to.get(), to.length()) != 0) return false;
  question.id = random_id();
  std::array<std::uint8_t, 2> id;
  store_be16(id.data(), question.id);
  std::array<iovec, 2> pieces = {iovec{id.data(), id.size()},
                                 iovec{question.query.data() + id.size(), question.bytes - id.size()}};
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = pieces.size();
  if (::sendmsg(fd.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) return false;
  if (!loop_.add(fd.get(), EPOLLIN | EPOLLET, &question)) return false;
  question.fd = fd.release();
  question.due_ns = loop_.now_ns() + kTryNs;
  next_due_ns_ = open_ == 0 ? question.due_ns : std::min(next_due_ns_, question.due_ns);
  ++open_;
  ++counters_.dns_forwarded;
  return true;
}

void DnsForwarder::close_socket(Question& question) {
  if (question.fd < 0) return;
  loop_.remove_closing(question.fd);
  ::close(question.fd);
  question.fd = -1;
  --open_;
}

void DnsForwarder::fail(Question& question) {
  ++counters_.dns_failed;
  close_socket(question);
  answer_error(question.key, question.message(), DnsRcode::kServerFailure);
}

void DnsForwarder::on_deadline() {
  if (open_ == 0 || loop_.now_ns() < next_due_ns_) return;
  for (std::uint16_t i = 0; i < kMaxOpen; ++i) {
    Question& question = questions_[i];
    if (question.fd < 0 || question.due_ns > loop_.now_ns()) continue;
    ask_again_or_fail(question);
  }
  next_due_ns_ = UINT64_MAX;
  for (std::uint16_t i = 0; i < kMaxOpen; ++i) {
    if (questions_[i].fd >= 0) next_due_ns_ = std::min(next_due_ns_, questions_[i].due_ns);
  }
}

void DnsForwarder::on_reply(Question& question) {
  for (int i = 0; question.fd >= 0; ++i) {
    if (i == kRepliesPerEvent) {  // the rest can wait; if rearming fails, the time-out asks the next server
      loop_.rearm(question.fd, EPOLLIN | EPOLLET, &question);
      return;
    }
    const ssize_t got = ::recv(question.fd, room_.data(), room_.size(), MSG_DONTWAIT | MSG_TRUNC);
    if (got < 0) {
      if (errno == EAGAIN || errno == EINTR) return;
      return ask_again_or_fail(question);  // no listener, or no route
    }
    const auto bytes = static_cast<std::size_t>(got);
    if (bytes > room_.size() || !take_reply(question, std::span(room_).first(bytes))) {
      ++counters_.dns_rejected;
    }
  }
}

// False if it is not the answer to the question.
bool DnsForwarder::take_reply(Question& question, std::span<std::uint8_t> message) {
  const auto reply = parse_dns_reply(message);
  const auto query = parse_dns_query(question.message());  // it was valid when it came
  if (!reply || !query || reply->id != question.id) return false;
  const bool without_question = reply->question.empty() && reply->rcode() != DnsRcode::kNoError;
  if (!without_question && !same_question(reply->question, query->question)) return false;
  const bool unable = reply->rcode() == DnsRcode::kServerFailure ||
                      reply->rcode() == DnsRcode::kNotImplemented || reply->rcode() == DnsRcode::kRefused;
  if (unable && question.tries < policy_.name_servers().size()) {
    ask(question);
    return true;
  }
  if (!unable) preferred_ = question.server;
  cache_.put(*query, *reply, message, loop_.now_ns());
  store_be16(message.data(), query->id);
  if (!without_question) {
    std::copy(query->question.begin(), query->question.end(), message.begin() + kDnsHeader);
  }
  close_socket(question);
  answer(question.key, message);
  return true;
}

// An answer that is too large for the guest's MTU is cut to its question, and the guest asks over TCP.
void DnsForwarder::answer(const FlowKey& key, std::span<std::uint8_t> message) {
  if (message.size() > link_.mtu() - ip_header_bytes(key.guest) - kUdpHeader) {
    const auto reply = parse_dns_reply(message);
    message = message.first(kDnsHeader + (reply ? reply->question.size() : 0));
    store_be16(&message[2], static_cast<std::uint16_t>(load_be16(&message[2]) | kDnsTruncated));
    store_be32(&message[6], 0);
    store_be16(&message[10], 0);
  }
  if (!link_.begin_udp(key.guest, message.size())) {
    return count_drop(counters_, DropReason::kNoReceiveBuffer, message.size());
  }
  iov_scatter(link_.payload().span(), message.data(), message.size());
  link_.finish_udp(key, message.size());
}

// An answer without records: the header and, if the query was understood, its question.
void DnsForwarder::answer_error(const FlowKey& key, std::span<const std::uint8_t> message, DnsRcode rcode) {
  std::array<std::uint8_t, kDnsHeader + kMaxDnsQuestion> error{};
  const auto query = parse_dns_query(message);
  const std::size_t question_bytes = query ? query->question.size() : 0;
  std::copy_n(message.begin(), 2, error.begin());
  const std::uint16_t asked = load_be16(&message[2]);
  store_be16(&error[2],
             static_cast<std::uint16_t>(kDnsResponse | (asked & (kDnsOpcode | kDnsRecursionDesired)) |
                                        kDnsRecursionAvailable | static_cast<std::uint16_t>(rcode)));
  if (query) {
    store_be16(&error[4], 1);
    std::copy(query->question.begin(), query->question.end(), error.begin() + kDnsHeader);
  }
  answer(key, std::span(error).first(kDnsHeader + question_bytes));
}

std::uint16_t DnsForwarder::random_id() {
  if (random_left_ == 0) {
    // If it fails the identifiers repeat, and a forger still must guess the port and the question.
    (void)!::getrandom(random_.data(), sizeof(random_), 0);
    random_left_ = random_.size();
  }
  return random_.at(--random_left_);
}

}  // namespace glassbox::net
