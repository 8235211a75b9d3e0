// The message for a command line that CLI11 refuses.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace glassbox {

// CLI11 reports a missing option before an unknown one. An unknown option is the likelier mistake, so it is
// named first.
inline std::string usage_error(const CLI::App& app, const CLI::ParseError& error) {
  if (dynamic_cast<const CLI::RequiredError*>(&error) == nullptr) return error.what();
  for (const std::string& word : app.remaining(/*recurse=*/true))
    if (word.size() > 1 && word[0] == '-' && word != "--") return "The option " + word + " does not exist";
  return error.what();
}

// Prints help, version or the error, and returns the exit status: 0 or 2.
inline int exit_for_usage(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::Error said(error.get_name(), usage_error(app, error), error.get_exit_code());
  return app.exit(said) == 0 ? 0 : 2;
}

}  // namespace glassbox
