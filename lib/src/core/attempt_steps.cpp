// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>

#include "core/attempt.hpp"
#include "core/json.hpp"
#include "core/pauses.hpp"

namespace jobruntime {
namespace {

constexpr int write_tries = 5;

Result<void> check_step_name(std::string_view name) {
    if (name.empty() || name.size() > limits::name)
        return Error{Errc::invalid_argument, "INVALID_ARGUMENT",
                     "a step's name has 1 to " + std::to_string(limits::name) + " bytes, not " + std::to_string(name.size())};
    if (!core::is_utf8(name)) return Error{Errc::invalid_argument, "INVALID_ARGUMENT", "a step's name is not UTF-8"};
    return {};
}

}  // namespace

Error Attempt::lost_error() const {
    return {Errc::canceled, "LEASE_LOST",
            "job " + job.id.str() + " is no longer held by this attempt; return from the handler, nothing it does counts"};
}

Result<boost::json::value> Attempt::known_step(std::string_view name, bool& known) {
    const std::lock_guard lock(mutex_);
    if (closed_ || lost_) return lost_error();
    const auto found = std::find_if(steps_.begin(), steps_.end(), [&](const StepResult& step) { return step.name == name; });
    known = found != steps_.end();
    if (known) return found->value;
    // Found out before the work is done, not after it.
    if (steps_.size() >= limits::steps)
        return Error{Errc::full, "STEP_LIMIT", "a job keeps at most " + std::to_string(limits::steps) +
                                                   " steps; forget one, or keep a position in one step"};
    return boost::json::value(nullptr);
}

Result<boost::json::value> Attempt::step(std::string_view name,
                                         const std::function<Result<boost::json::value>()>& body) {
    check_deadline();
    JR_TRY(check_step_name(name));
    bool known = false;
    auto stored = known_step(name, known);
    if (!stored || known) return stored;

    auto made = body();
    if (!made) return made;
    if (const auto wrong = core::flaw(*made))
        return Error{Errc::invalid_argument, "INVALID_RESULT",
                     "the result of step " + std::string(name) + " cannot be kept as JSON: " + *wrong};
    Note note;
    note.step_name = std::string(name);
    note.step_value = core::to_text(*made);
    if (note.step_value.size() > limits::result)
        return Error{Errc::invalid_argument, "RESULT_TOO_LARGE",
                     "the result of step " + std::string(name) + " has " + std::to_string(note.step_value.size()) +
                         " bytes as text; at most " + std::to_string(limits::result) +
                         ", so keep it elsewhere and return its name"};
    JR_TRY(write_step(std::move(note), name));
    const std::lock_guard lock(mutex_);
    steps_.push_back({std::string(name), *made});
    return made;
}

Result<void> Attempt::forget(std::string_view name) {
    JR_TRY(check_step_name(name));
    Note note;
    note.forget_step = std::string(name);
    JR_TRY(write_step(std::move(note), name));
    const std::lock_guard lock(mutex_);
    std::erase_if(steps_, [&](const StepResult& step) { return step.name == name; });
    return {};
}

Result<NoteAnswer> Attempt::send(const Note& note) {
    const std::shared_lock use(port_->mutex);
    {
        const std::lock_guard lock(mutex_);
        if (closed_ || lost_) return lost_error();
    }
    if (!port_->store) return lost_error();
    auto answers = port_->store->note({&note, 1}, clock_.wall());
    if (!answers) return std::move(answers).error();
    return answers->front();
}

Result<void> Attempt::write_step(Note note, std::string_view what) {
    note.job = job.id;
    note.fence = job.fence;
    Wakeup never_rung;
    Duration pause = core::first_pause;
    for (int tries = 1;; ++tries) {
        auto answer = send(note);
        if (answer && *answer == NoteAnswer::done) return {};
        if (answer && *answer == NoteAnswer::refused)
            return Error{Errc::full, "STEP_LIMIT", "the store refused step " + std::string(what) +
                                                       ": the job has too many, or this one is too large"};
        if (answer) {
            lose();
            return lost_error();
        }
        // A full disk and a store that does not answer may pass; the work of the step is worth waiting for.
        const bool passes = answer.error().code == Errc::unavailable || answer.error().code == Errc::full;
        if (!passes || tries == write_tries) return std::move(answer).error();
        if (port_->patient) clock_.wait_until(clock_.steady() + pause, never_rung, token());
        pause *= 3;
    }
}

}  // namespace jobruntime
