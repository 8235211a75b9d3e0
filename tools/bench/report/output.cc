#include "tools/bench/report/output.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "tools/bench/measure/stats.h"
#include "tools/bench/process/paths.h"
#include "tools/bench/report/crr_report.h"

namespace glassbox::bench {
namespace {

namespace fs = std::filesystem;
constexpr int kReportLimitS = 180;
constexpr const char* kPart = ".part";
constexpr off_t kRoom = 1 << 20;  // more than a report of the largest run

// A device or a pipe: written to, never replaced.
bool is_special(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  return fs::exists(status) && !fs::is_regular_file(status) && !fs::is_directory(status);
}

// Complete under its name, or not there.
template <typename Write>
Status produce(const std::string& path, Write write) {
  const bool special = is_special(path);
  const std::string to = special ? path : path + kPart;
  int reason = 0;
  {
    std::ofstream out(to, std::ios::trunc | std::ios::binary);
    if (out) write(out);
    out.close();
    if (!out) reason = errno != 0 ? errno : EIO;
  }
  if (reason == 0 && !special && ::rename(to.c_str(), path.c_str()) < 0) reason = errno;
  if (reason == 0) return {};
  if (!special) ::unlink(to.c_str());
  return fail_errno(reason, "cannot write {}", path);
}

}  // namespace

Result<std::string> trace_report(const std::string& trace_path, const std::string& format, Watch& watch) {
  GB_ASSIGN(auto child,
            Child::start({.what = "glassbox-trace report",
                          .argv = {program("glassbox-trace"), "report", trace_path, "--format", format}}));
  GB_ASSIGN(const ExitStatus status, watch.wait(*child, kReportLimitS));
  if (!status.ok()) return fail("{}", child->how_it_ended());
  return child->out();
}

Status write_file(const std::string& path, const std::string& text) {
  return produce(path, [&](std::ostream& out) { out << text; });
}

Status check_apart(const OutputFile& one, const OutputFile& other) {
  if (one.path.empty() || other.path.empty()) return {};
  std::error_code error;
  const auto whole = [&](const std::string& path) { return fs::weakly_canonical(fs::absolute(path), error); };
  const bool same = whole(one.path) == whole(other.path);
  if (!same || (one.path != "-" && is_special(one.path))) return {};
  return fail("{} and {} both go to {}", one.option, other.option,
              one.path == "-" ? "standard output" : one.path);
}

Status check_writable(const std::string& path) {
  if (path.empty() || path == "-") return {};
  std::error_code error;
  if (fs::is_directory(path, error)) return fail("cannot write {}: it is a directory", path);
  if (is_special(path)) {
    if (::access(path.c_str(), W_OK) < 0) return fail_errno(errno, "cannot write {}", path);
    return {};
  }
  const std::string part = path + kPart;
  const UniqueFd fd(::open(part.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666));
  if (!fd) return fail_errno(errno, "cannot write {}", path);
  const int reason = ::posix_fallocate(fd.get(), 0, kRoom);
  ::unlink(part.c_str());
  // A file system that cannot promise room is not asked for any.
  if (reason != 0 && reason != EOPNOTSUPP && reason != EINVAL) {
    return fail_errno(reason, "cannot write {}", path);
  }
  return {};
}

Status keep_file(const std::string& from, const std::string& to) {
  std::ifstream in(from, std::ios::binary);
  if (!in) return fail_errno(errno, "cannot read {}", from);
  return produce(to, [&](std::ostream& out) {
    if (in.peek() != std::ifstream::traits_type::eof()) out << in.rdbuf();
  });
}

Status print_report(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    return fail_errno(errno, "cannot write to standard output");
  }
  return {};
}

Status print_client_report(const CrrResult& result) {
  const Summary summary = summarize(result.cycle_ns);
  if (const std::string& path = result.spec.json_path; !path.empty()) {
    const std::string json =
        json_report(result, summary).dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    if (path == "-") {
      return print_report(json);
    }
    GB_TRY(write_file(path, json));
  }
  return print_report(text_report(result, summary));
}

Status print_trace_report(const CrrResult& result, const std::string& trace_path, Watch& watch) {
  if (!result.spec.keep_trace.empty()) GB_TRY(keep_file(trace_path, result.spec.keep_trace));
  if (!result.spec.json_path.empty()) {
    GB_ASSIGN(const std::string json, trace_report(trace_path, "json", watch));
    if (result.spec.json_path == "-") {
      return print_report(json);
    }
    GB_TRY(write_file(result.spec.json_path, json));
  }
  GB_ASSIGN(const std::string table, trace_report(trace_path, "table", watch));
  return print_report(table);
}

}  // namespace glassbox::bench
