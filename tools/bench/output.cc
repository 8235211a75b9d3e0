#include "tools/bench/output.h"

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tools/bench/paths.h"
#include "tools/bench/report.h"
#include "tools/bench/stats.h"

namespace glassbox::bench {
namespace {

namespace fs = std::filesystem;
constexpr int kReportLimitS = 180;

Result<std::string> trace_report(const std::string& trace_path, const std::string& format, Watch& watch) {
  GB_ASSIGN(auto child,
            Child::start({.what = "glassbox-trace report",
                          .argv = {program("glassbox-trace"), "report", trace_path, "--format", format}}));
  GB_ASSIGN(const ExitStatus status, watch.wait(*child, kReportLimitS));
  if (!status.ok()) return fail("{}", child->epitaph());
  return child->out();
}

}  // namespace

Status write_file(const std::string& path, const std::string& text) {
  const std::string part = path + ".part";
  {
    std::ofstream out(part, std::ios::trunc);
    out << text;
    out.close();
    if (!out) {
      const int reason = errno;
      ::unlink(part.c_str());
      return fail_errno(reason, "cannot write {}", path);
    }
  }
  if (::rename(part.c_str(), path.c_str()) < 0) {
    const int reason = errno;
    ::unlink(part.c_str());
    return fail_errno(reason, "cannot write {}", path);
  }
  return {};
}

Status check_writable(const std::string& path) {
  if (path.empty() || path == "-") return {};
  std::error_code error;
  if (fs::is_directory(path, error)) return fail("cannot write {}: it is a directory", path);
  const fs::path dir = fs::absolute(path).parent_path();
  if (::access(dir.c_str(), W_OK | X_OK) < 0) return fail_errno(errno, "cannot write {}", path);
  return {};
}

Status keep_file(const std::string& from, const std::string& to) {
  const std::string part = to + ".part";
  std::error_code error;
  fs::copy_file(from, part, fs::copy_options::overwrite_existing, error);
  if (!error) fs::rename(part, to, error);
  if (error) {
    std::error_code ignored;
    fs::remove(part, ignored);
    return fail("cannot write {}: {}", to, error.message());
  }
  return {};
}

Status print_client_report(const CrrResult& result) {
  const Summary summary = summarize(result.cycle_ns);
  if (const std::string& path = result.spec.json_path; !path.empty()) {
    const std::string json = json_report(result, summary).dump(2) + "\n";
    if (path == "-") {
      fmt::print("{}", json);
      return {};
    }
    GB_TRY(write_file(path, json));
  }
  fmt::print("{}", text_report(result, summary));
  return {};
}

Status print_trace_report(const CrrResult& result, const std::string& trace_path, Watch& watch) {
  if (!result.spec.keep_trace.empty()) GB_TRY(keep_file(trace_path, result.spec.keep_trace));
  if (!result.spec.json_path.empty()) {
    GB_ASSIGN(const std::string json, trace_report(trace_path, "json", watch));
    if (result.spec.json_path == "-") {
      fmt::print("{}", json);
      return {};
    }
    GB_TRY(write_file(result.spec.json_path, json));
  }
  GB_ASSIGN(const std::string table, trace_report(trace_path, "table", watch));
  fmt::print("{}", table);
  return {};
}

}  // namespace glassbox::bench
