// The command line of a program: options, flags, subcommands. The parser is CLI11; only options.cc includes
// it, because its header costs four to ten seconds in every file that does.
//
// The names are CLI11's, and so is the behaviour: help texts, messages and the order of checks. An App owns
// its options and subcommands; the pointers that it returns live as long as it does. A target variable that
// is passed by reference must outlive parse(). Functions throw nothing; a callback reports a bad value by
// throwing Invalid.
//
// Thread: one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace glassbox::options {

// Thrown by the callback of an option: the option's name, and why its value cannot be.
class Invalid : public std::runtime_error {
 public:
  Invalid(std::string option, const std::string& why) : std::runtime_error(why), option_(std::move(option)) {}
  [[nodiscard]] const std::string& option() const { return option_; }

 private:
  std::string option_;
};

// Says why a word is no good, or nothing where it is. The description stands in the help text.
struct Check {
  std::function<std::string(const std::string&)> why_not;
  std::string description;
};
[[nodiscard]] Check range(std::int64_t low, std::int64_t high);  // whole numbers, both ends included
[[nodiscard]] Check real_range(double low, double high);
[[nodiscard]] Check positive_number();
[[nodiscard]] Check one_of(std::vector<std::string> words);

class Option {
 public:
  explicit Option(CLI::Option* option) : option_(option) {}
  Option* required();
  Option* check(const Check& check);
  Option* excludes(const Option* other);
  Option* capture_default_str();  // the value that the variable has now stands in the help text
  Option* default_str(const std::string& text);
  Option* allow_extra_args(bool allow);  // whether one mention of a list option takes several words
  Option* expected(int least, int most);
  Option* type_name(const std::string& name);
  Option* take_last();  // the last mention counts, where else a second one is an error
  Option* delimiter(char c);
  [[nodiscard]] bool given() const;  // after parse()

 private:
  CLI::Option* option_;
};

// How a parse ended. In a program: if (const auto parsed = app.parse(argc, argv); !parsed.proceed) ...
struct Parsed {
  bool proceed = false;        // nothing was wrong and no help was asked for
  std::string text;            // the help or version that was asked for; else the error, one line
  bool is_error = false;       // text is an error
  bool is_extra_word = false;  // the error is a word that no option or subcommand takes
};

class App {
 public:
  App(const std::string& description, const std::string& name = {});
  ~App();
  App(const App&) = delete;
  App& operator=(const App&) = delete;

  // T: std::string, int, unsigned, std::uint16_t, std::uint64_t, double, a std::optional of std::string,
  // uint32 or double, a vector of std::string, unsigned or double. A name without a dash is positional.
  template <typename T>
  Option* add_option(const std::string& names, T& into, const std::string& help);
  Option* add_option_function(const std::string& names, std::function<void(const std::string&)> take,
                              const std::string& help);
  Option* add_list_function(const std::string& names,
                            std::function<void(const std::vector<std::string>&)> take,
                            const std::string& help);
  Option* add_flag(const std::string& names, bool& into, const std::string& help);
  Option* add_flag_callback(const std::string& names, std::function<void()> take, const std::string& help);
  [[nodiscard]] Option* get_option(const std::string& name);
  void set_version_flag(const std::string& names, const std::string& text);

  App* add_subcommand(const std::string& name, const std::string& description);
  void require_subcommand(int how_many);
  void callback(std::function<void()> run);  // once the command line chose this subcommand
  void footer(const std::string& text);
  [[nodiscard]] bool parsed() const;
  [[nodiscard]] std::string help() const;

  [[nodiscard]] Parsed parse(int argc, const char* const* argv);

 private:
  explicit App(CLI::App* app);
  Option* keep(CLI::Option* option);

  std::unique_ptr<CLI::App> owned_;  // of the program; a subcommand's belongs to its parent
  CLI::App* app_;
  std::vector<std::unique_ptr<Option>> options_;
  std::vector<std::unique_ptr<App>> subcommands_;
};

// Prints help or version to stdout, or the error to stderr behind the program's name. The exit status: 0,
// `usage`, or 1 if stdout cannot be written.
int finish(const Parsed& parsed, const std::string& program, int usage = 2);

}  // namespace glassbox::options
