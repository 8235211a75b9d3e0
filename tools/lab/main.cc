// glassbox-lab: both ends of the lab's command channel. People call `tools/in-lab`, which calls this.
//   glassbox-lab client --port P --token-file F --console F [--patience S] -- CMD ARGS   on the host
//   glassbox-lab serve --port P --token-file F [--idle S]                 in the lab, as its PID 1
// Depends only on the C++ library, fmt and headers of vmm/base: it is compiled before the project is
// configured.
#include <sys/reboot.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "tools/lab/client.h"
#include "tools/lab/serve.h"

namespace {

using glassbox::Result;

int usage() {
  std::fputs(
      "usage: glassbox-lab client|serve --port P --token-file F [--console F] [--patience S] [--idle S] "
      "[-- CMD ARGS]\n",
      stderr);
  return 2;
}

int number(const std::string& text) {
  int value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  if (words.empty()) return usage();
  std::map<std::string, std::string> options;
  std::size_t at = 1;
  for (; at + 1 < words.size() && words[at] != "--"; at += 2)
    options[words[at]] = words[at + 1];
  const std::vector<std::string> command(
      words.begin() + static_cast<std::ptrdiff_t>(std::min(at + 1, words.size())), words.end());
  const auto port = static_cast<std::uint16_t>(number(options["--port"]));

  if (words[0] == "serve") {
    const auto status = glassbox::lab::serve({port, options["--token-file"], number(options["--idle"])});
    if (status) return 0;
    std::printf("lab: failed %s\n", status.error().message.c_str());
    std::fflush(stdout);
    if (::getpid() == 1) ::reboot(RB_POWER_OFF);
    return 1;
  }
  if (words[0] != "client" || command.empty()) return usage();
  glassbox::lab::ClientOptions client{port, options["--token-file"], options["--console"], command};
  if (const int patience_s = number(options["--patience"]); patience_s > 0) client.patience_s = patience_s;
  const Result<int> result = glassbox::lab::run_client(client);
  if (result) return *result;
  std::fprintf(stderr, "in-lab: %s\n", result.error().message.c_str());
  return 125;
}
