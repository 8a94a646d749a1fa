// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "core/attempt.hpp"

#include <algorithm>
#include <cmath>

#include "core/json.hpp"

namespace jobruntime {
namespace {

constexpr Duration note_interval{250};
constexpr std::size_t own_event_limit = limits::log_lines;
constexpr std::size_t own_event_bytes = 16 * 1024;

/// Text fields pass the one door for secrets; what is not flat becomes text.
void clean_fields(boost::json::object& fields) {
    core::mend(fields);
    for (auto& [name, value] : fields)
        if (value.is_string()) value = boost::json::string(core::clean_text(value.get_string(), limits::message));
}

}  // namespace

Attempt::Attempt(Job claimed, SessionId by, std::shared_ptr<core::KindEntry> entry, std::shared_ptr<core::Port> port,
                 core::NoteTaker& notes, Clock& clock)
    : job(std::move(claimed)), session(by), kind(std::move(entry)), notes_(notes), clock_(clock), port_(std::move(port)) {
    steps_ = job.steps;
}

void Attempt::begin() {
    started_at_ = clock_.steady();
    if (kind->options.deadline) deadline_ = started_at_ + *kind->options.deadline;
}

void Attempt::fire(StopReason why) {
    {
        const std::lock_guard lock(mutex_);
        if (closed_ || reason_ != StopReason::none) return;
        reason_ = why;
        fired_at_ = clock_.steady();
    }
    stop_.request_stop();
}

void Attempt::lose() {
    {
        const std::lock_guard lock(mutex_);
        lost_ = true;
    }
    fire(StopReason::lease_lost);
}

StopReason Attempt::reason() const {
    const std::lock_guard lock(mutex_);
    return reason_;
}

std::optional<SteadyTime> Attempt::fired_at() const {
    const std::lock_guard lock(mutex_);
    return fired_at_;
}

void Attempt::check_deadline() {
    {
        const std::lock_guard lock(mutex_);
        if (closed_ || !deadline_ || clock_.steady() < *deadline_) return;
    }
    fire(StopReason::deadline);
}

bool Attempt::close() {
    const std::lock_guard lock(mutex_);
    return !std::exchange(closed_, true);
}

void Attempt::progress(std::optional<double> percent, std::string_view stage, std::string_view message) {
    check_deadline();
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    if (percent) percent = std::isfinite(*percent) ? std::optional(std::clamp(*percent, 0.0, 100.0)) : std::nullopt;
    progress_ = Progress{percent, core::clean_text(stage, limits::name), core::clean_text(message, 1024)};
    if (!std::exchange(dirty_, true)) notes_.dirty(shared_from_this());
}

void Attempt::log(std::string_view line, Level level) {
    check_deadline();
    const std::lock_guard lock(mutex_);
    if (closed_ || log_lines_ > limits::log_lines) return;
    if (++log_lines_ > limits::log_lines)
        add_event("worker.job.log",
                  {{"line", "the log of this attempt is cut here: it has more than " + std::to_string(limits::log_lines) +
                                " lines"},
                   {"truncated", true}},
                  Level::warn);
    else
        add_event("worker.job.log", {{"line", core::clean_text(line, limits::message)}}, level);
}

void Attempt::event(std::string_view name, boost::json::object fields, Level level) {
    check_deadline();
    clean_fields(fields);
    const std::lock_guard lock(mutex_);
    if (closed_ || own_events_ > own_event_limit) return;
    if (++own_events_ > own_event_limit) {
        add_event("worker.job.log",
                  {{"line", "events of this attempt are dropped from here on: there are more than " +
                                std::to_string(own_event_limit)},
                   {"truncated", true}},
                  Level::warn);
        return;
    }
    if (core::to_text(fields).size() > own_event_bytes) fields = {{"truncated", true}};
    add_event(core::cut(core::valid_utf8(name), 2 * limits::name), std::move(fields), level);
}

void Attempt::add_event(std::string_view name, boost::json::object fields, Level level) {
    Event event;
    event.at = clock_.wall();
    event.name = name;
    event.level = level;
    event.job = job.id;
    event.trace_id = job.trace_id;
    event.fields = std::move(fields);
    event.fields["attempt"] = job.attempt;
    events_.push_back(std::move(event));
    if (!std::exchange(dirty_, true)) notes_.dirty(shared_from_this());
}

std::optional<Note> Attempt::take_note() {
    const std::lock_guard lock(mutex_);
    if (!dirty_) return std::nullopt;
    dirty_ = false;
    noted_at_ = clock_.steady();
    Note note;
    note.job = job.id;
    note.fence = job.fence;
    note.events = std::exchange(events_, {});
    if (progress_) {
        Event event;
        event.at = clock_.wall();
        event.name = "worker.job.progress";
        event.job = job.id;
        event.trace_id = job.trace_id;
        event.fields = {{"attempt", job.attempt}, {"stage", progress_->stage}, {"message", progress_->message}};
        event.fields["percent"] = progress_->percent ? boost::json::value(*progress_->percent) : nullptr;
        note.events.push_back(std::move(event));
        note.progress = std::exchange(progress_, std::nullopt);
    }
    return note;
}

SteadyTime Attempt::note_due() const {
    const std::lock_guard lock(mutex_);
    return noted_at_ ? *noted_at_ + note_interval : SteadyTime::min();
}

}  // namespace jobruntime
