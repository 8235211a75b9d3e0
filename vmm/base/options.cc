#include "vmm/base/options.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <optional>

#include "vmm/base/say.h"

namespace glassbox::options {
namespace {

CLI::Validator to_cli(const Check& check) {
  return {[why_not = check.why_not](std::string& word) { return why_not(word); }, check.description};
}

Check from_cli(const CLI::Validator& validator) {
  return {[validator](const std::string& word) {
            std::string copy = word;
            return validator(copy);
          },
          validator.get_description()};
}

// A callback of ours throws Invalid; CLI11 wants its own kind.
template <typename Function, typename... Arguments>
void call(const Function& function, const Arguments&... arguments) {
  try {
    function(arguments...);
  } catch (const Invalid& invalid) {
    throw CLI::ValidationError(invalid.option(), invalid.what());
  }
}

// CLI11 asks for what is missing before it looks at what is too much; an option that does not exist is the
// likelier reason for both, so that it is named first.
std::string message(const CLI::App& app, const CLI::ParseError& error) {
  if (dynamic_cast<const CLI::RequiredError*>(&error) == nullptr) return error.what();
  for (const std::string& word : app.remaining(/*recurse=*/true))
    if (word.size() > 1 && word[0] == '-' && word != "--") return "The option " + word + " does not exist";
  return error.what();
}

}  // namespace

Check range(std::int64_t low, std::int64_t high) {
  return from_cli(CLI::Range(low, high));
}
Check real_range(double low, double high) {
  return from_cli(CLI::Range(low, high));
}
Check positive_number() {
  return from_cli(CLI::PositiveNumber);
}
Check one_of(std::vector<std::string> words) {
  return from_cli(CLI::IsMember(std::move(words)));
}

Option* Option::required() {
  option_->required();
  return this;
}
Option* Option::check(const Check& check) {
  option_->check(to_cli(check));
  return this;
}
Option* Option::excludes(const Option* other) {
  option_->excludes(other->option_);
  return this;
}
Option* Option::capture_default_str() {
  option_->capture_default_str();
  return this;
}
Option* Option::default_str(const std::string& text) {
  option_->default_str(text);
  return this;
}
Option* Option::allow_extra_args(bool allow) {
  option_->allow_extra_args(allow);
  return this;
}
Option* Option::expected(int least, int most) {
  option_->expected(least, most);
  return this;
}
Option* Option::type_name(const std::string& name) {
  option_->type_name(name);
  return this;
}
Option* Option::take_last() {
  option_->take_last();
  return this;
}
Option* Option::delimiter(char c) {
  option_->delimiter(c);
  return this;
}
bool Option::given() const {
  return option_->count() > 0;
}

App::App(const std::string& description, const std::string& name)
    : owned_(std::make_unique<CLI::App>(description, name)), app_(owned_.get()) {}
App::App(CLI::App* app) : app_(app) {}
App::~App() = default;

Option* App::keep(CLI::Option* option) {
  return options_.emplace_back(std::make_unique<Option>(option)).get();
}

template <typename T>
Option* App::add_option(const std::string& names, T& into, const std::string& help) {
  return keep(app_->add_option(names, into, help));
}
template Option* App::add_option(const std::string&, std::string&, const std::string&);
template Option* App::add_option(const std::string&, int&, const std::string&);
template Option* App::add_option(const std::string&, unsigned&, const std::string&);
template Option* App::add_option(const std::string&, std::uint16_t&, const std::string&);
template Option* App::add_option(const std::string&, std::uint64_t&, const std::string&);
template Option* App::add_option(const std::string&, double&, const std::string&);
template Option* App::add_option(const std::string&, std::optional<std::string>&, const std::string&);
template Option* App::add_option(const std::string&, std::optional<std::uint32_t>&, const std::string&);
template Option* App::add_option(const std::string&, std::optional<double>&, const std::string&);
template Option* App::add_option(const std::string&, std::vector<std::string>&, const std::string&);
template Option* App::add_option(const std::string&, std::vector<unsigned>&, const std::string&);
template Option* App::add_option(const std::string&, std::vector<double>&, const std::string&);

Option* App::add_option_function(const std::string& names, std::function<void(const std::string&)> take,
                                 const std::string& help) {
  return keep(app_->add_option_function<std::string>(
      names, [take = std::move(take)](const std::string& word) { call(take, word); }, help));
}

Option* App::add_list_function(const std::string& names,
                               std::function<void(const std::vector<std::string>&)> take,
                               const std::string& help) {
  return keep(app_->add_option_function<std::vector<std::string>>(
      names, [take = std::move(take)](const std::vector<std::string>& words) { call(take, words); }, help));
}

Option* App::add_flag(const std::string& names, bool& into, const std::string& help) {
  return keep(app_->add_flag(names, into, help));
}
Option* App::add_flag_callback(const std::string& names, std::function<void()> take,
                               const std::string& help) {
  return keep(app_->add_flag_callback(
      names, [take = std::move(take)] { call(take); }, help));
}
Option* App::get_option(const std::string& name) {
  return keep(app_->get_option(name));
}
void App::set_version_flag(const std::string& names, const std::string& text) {
  app_->set_version_flag(names, text);
}

App* App::add_subcommand(const std::string& name, const std::string& description) {
  return subcommands_.emplace_back(new App(app_->add_subcommand(name, description))).get();
}
void App::require_subcommand(int how_many) {
  app_->require_subcommand(how_many);
}
void App::callback(std::function<void()> run) {
  app_->callback(std::move(run));
}
void App::footer(const std::string& text) {
  app_->footer(text);
}
std::string App::help() const {
  return app_->help();
}
bool App::parsed() const {
  return app_->parsed();
}

Parsed App::parse(int argc, const char* const* argv) {
  try {
    app_->parse(argc, argv);
  } catch (const CLI::CallForVersion& version) {
    return {.text = std::string(version.what()) + "\n"};
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {
      std::ostringstream help;
      app_->exit(error, help, help);
      return {.text = help.str()};
    }
    return {.text = message(*app_, error),
            .is_error = true,
            .is_extra_word = dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr};
  }
  Parsed parsed;
  parsed.proceed = true;
  return parsed;
}

int finish(const Parsed& parsed, const std::string& program, int usage) {
  std::FILE* const to = parsed.is_error ? stderr : stdout;
  if (parsed.is_error) std::fputs((program + ": error: " + parsed.text + "\n").c_str(), to);
  if (!parsed.is_error && !say(to, parsed.text)) return 1;
  return parsed.is_error ? usage : 0;
}

}  // namespace glassbox::options
