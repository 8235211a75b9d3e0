// Distinguishes a slow lab from one that stands still. The client asks (with its Hello, later with pings);
// anything that the lab sends is an answer. Silence counts from the first question without an answer, so a
// client that was itself stopped for an hour does not blame the lab.
//
// The wait ends after the caller's patience. If the user asks for the end earlier (Ctrl-C, SIGTERM), it ends
// at once if an answer has been due for a quarter of the patience, and otherwise if the lab stays silent for
// a sixth of it: a working lab passes the signal to the command and answers the ping that is sent along.
//
// Pure: times come from the caller.
#pragma once

#include <chrono>
#include <optional>

namespace glassbox::lab {

class Liveness {
 public:
  using Clock = std::chrono::steady_clock;

  // The Hello, which is sent now, is the first question.
  Liveness(Clock::duration patience, Clock::time_point now)
      : patience_(patience), asked_(now), unanswered_since_(now) {}

  void heard() {
    unanswered_since_.reset();
    end_wanted_.reset();
  }

  // The user wants the command to end.
  void want_end(Clock::time_point now) {
    if (!end_wanted_) end_wanted_ = now;
    question_is_due_ = true;
  }

  // True if a ping is due; it then counts as sent.
  [[nodiscard]] bool ask(Clock::time_point now) {
    if (!question_is_due_ && now - asked_ < patience_ / 12) return false;
    question_is_due_ = false;
    asked_ = now;
    if (!unanswered_since_) unanswered_since_ = now;
    return true;
  }

  // How long the lab has been silent, if that is long enough for it to count as failed.
  [[nodiscard]] std::optional<std::chrono::seconds> dead(Clock::time_point now) const {
    if (!unanswered_since_) return std::nullopt;
    const auto silence = now - *unanswered_since_;
    const bool end_is_due = end_wanted_ && (silence >= patience_ / 4 || now - *end_wanted_ >= patience_ / 12);
    if (silence < patience_ && !end_is_due) return std::nullopt;
    return std::chrono::duration_cast<std::chrono::seconds>(silence);
  }

 private:
  Clock::duration patience_;
  Clock::time_point asked_;
  std::optional<Clock::time_point> unanswered_since_;
  std::optional<Clock::time_point> end_wanted_;
  bool question_is_due_ = false;
};

}  // namespace glassbox::lab
