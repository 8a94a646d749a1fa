// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "core/scribe.hpp"

#include <algorithm>

#include "core/pauses.hpp"

namespace jobruntime::core {
namespace {

/// Notes kept while the store is unavailable; beyond it the oldest go.
constexpr std::size_t most_notes = 20'000;

std::size_t bytes_of(const Settlement& settlement) {
    return settlement.result.size() + settlement.code.size() + settlement.message.size();
}

std::size_t bytes_of(const Note& note) {
    std::size_t bytes = 0;
    if (note.progress) bytes += note.progress->stage.size() + note.progress->message.size();
    for (const auto& event : note.events) {
        bytes += event.name.size() + event.trace_id.size();
        for (const auto& [name, value] : event.fields)
            bytes += name.size() + (value.is_string() ? value.get_string().size() : sizeof(double));
    }
    return bytes;
}

/// A store that refuses us for a reason of its own (credentials, rights, versions) is away, too, until somebody has
/// seen to it: what jobs did waits for that.
bool passes(const Error& error) {
    return error.code == Errc::unavailable || error.code == Errc::full || error.name.starts_with("STORE_") ||
           error.name.starts_with("SERVER_");
}

/// Whether `job`, under the ending's fence, stands where the ending would have put it.
bool fits(const Job& job, const Settlement& settlement) {
    if (job.fence != settlement.fence) return false;
    if (job.state == JobState::canceled) return true;
    switch (settlement.verdict) {
        case Verdict::completed: return job.state == JobState::completed || job.state == JobState::failed;
        case Verdict::failed: return job.state == JobState::failed;
        case Verdict::canceled: return false;
        case Verdict::released: return job.state == JobState::queued;
        case Verdict::retry:
        case Verdict::snooze: return job.run_at == settlement.run_at;
    }
    return false;
}

}  // namespace

Scribe::~Scribe() { stop(); }

void Scribe::start() { thread_ = std::jthread([this](std::stop_token stop) { run(stop); }); }

void Scribe::stop() {
    if (thread_.joinable()) {
        thread_.request_stop();
        thread_.join();
    }
}

void Scribe::push(std::vector<Ending> endings) {
    if (endings.empty()) return;
    const SteadyTime give_up = clock_.steady() + options_.give_up_after;
    {
        const std::lock_guard lock(mutex_);
        for (auto& ending : endings) {
            ending.give_up = give_up;
            arrived_.push_back(std::move(ending));
        }
    }
    wakeup_.ring();
}

void Scribe::dirty(const std::shared_ptr<Attempt>& attempt) {
    {
        const std::lock_guard lock(mutex_);
        dirty_.push_back(attempt);
    }
    wakeup_.ring();
}

void Scribe::add(Event event) {
    {
        const std::lock_guard lock(mutex_);
        events_.push_back(std::move(event));
    }
    wakeup_.ring();
}

bool Scribe::idle() const {
    const std::lock_guard lock(mutex_);
    return arrived_.empty() && dirty_.empty() && events_.empty() && endings_.empty() && waiting_.empty() && notes_.empty();
}

void Scribe::add_pending(std::unordered_set<JobId>& jobs) const {
    for (const auto& ending : endings_) jobs.insert(ending.settlement.job);
    const std::lock_guard lock(mutex_);
    for (const auto& ending : arrived_) jobs.insert(ending.settlement.job);
}

void Scribe::run(std::stop_token stop) {
    while (!stop.stop_requested()) {
        SteadyTime next = work(false);
        if (options_.chores) next = std::min(next, options_.chores(clock_.steady()));
        clock_.wait_until(next, wakeup_, stop);
    }
    work(true);
}

SteadyTime Scribe::work(bool all) {
    take_endings();
    const SteadyTime now = clock_.steady();
    take_notes(now, all);
    if (!all && now < away_.until) return away_.until;
    if ((all || now >= full_.until) && !write_notes()) return away_.until;
    if (!write_endings(now)) return away_.until;
    away_.length = Duration{0};
    SteadyTime next = notes_.empty() ? SteadyTime::max() : full_.until;
    for (const auto& attempt : waiting_) next = std::min(next, attempt->note_due());
    return next;
}

void Scribe::take_endings() {
    std::vector<Ending> arrived;
    std::vector<Event> events;
    {
        const std::lock_guard lock(mutex_);
        arrived.swap(arrived_);
        events.swap(events_);
        for (auto& attempt : dirty_) waiting_.push_back(std::move(attempt));
        dirty_.clear();
    }
    for (auto& event : events) {
        Note note;
        note.job = event.job;
        note.events.push_back(std::move(event));
        notes_.push_back({nullptr, std::move(note)});
    }
    for (auto& ending : arrived) endings_.push_back(std::move(ending));
}

void Scribe::take_notes(SteadyTime now, bool all) {
    // The end of an attempt takes its notes along; it has closed the attempt, so no more will come.
    for (const auto& ending : endings_) take_note(ending.attempt);
    std::erase_if(waiting_, [&](const std::shared_ptr<Attempt>& attempt) {
        if (!all && now < attempt->note_due()) return false;
        take_note(attempt);
        return true;
    });
    while (notes_.size() > most_notes) notes_.pop_front();
}

void Scribe::take_note(const std::shared_ptr<Attempt>& attempt) {
    auto note = attempt->take_note();
    if (!note) return;
    if (!options_.store_progress) {
        note->progress.reset();
        std::vector<Event> told;
        std::erase_if(note->events, [&](Event& event) {
            if (!event.name.ends_with(".progress") && event.name != "worker.job.log") return false;
            told.push_back(std::move(event));
            return true;
        });
        if (options_.on_noted && !told.empty()) options_.on_noted(told);
        if (note->events.empty()) return;
    }
    notes_.push_back({attempt, std::move(*note)});
}

bool Scribe::write_notes() {
    while (!notes_.empty()) {
        std::vector<Written> batch;
        std::vector<Note> notes;
        std::size_t bytes = 0;
        while (!notes_.empty() && batch.size() < limits::batch_items) {
            bytes += bytes_of(notes_.front().note);
            if (bytes > limits::batch_bytes && !batch.empty()) break;
            notes.push_back(notes_.front().note);
            batch.push_back(std::move(notes_.front()));
            notes_.pop_front();
        }
        auto answers = store_.note(notes, clock_.wall());
        if (answers) {
            full_.length = Duration{0};
            answer_notes(batch, *answers);
        } else if (passes(answers.error())) {
            for (auto one = batch.rbegin(); one != batch.rend(); ++one) notes_.push_front(std::move(*one));
            // A full disk must not hold up the ends of jobs, which may still find room.
            const bool full = answers.error().code == Errc::full;
            back_off(full ? full_ : away_, clock_.steady(), answers.error());
            return full;
        } else {
            options_.log("progress and log lines of " + std::to_string(batch.size()) +
                         " jobs were refused by the store: " + answers.error().message);
        }
    }
    return true;
}

void Scribe::answer_notes(std::span<Written> batch, std::span<const NoteAnswer> answers) {
    std::vector<Event> written;
    for (std::size_t i = 0; i < batch.size() && i < answers.size(); ++i) {
        if (answers[i] == NoteAnswer::conflict && batch[i].attempt) batch[i].attempt->lose();
        if (answers[i] != NoteAnswer::done) continue;
        for (auto& event : batch[i].note.events) written.push_back(std::move(event));
    }
    if (options_.on_noted && !written.empty()) options_.on_noted(written);
}

bool Scribe::write_endings(SteadyTime now) {
    while (!endings_.empty()) {
        std::vector<Ending> batch;
        std::vector<Settlement> settlements;
        std::vector<Ended> ended;
        std::size_t bytes = 0;
        while (!endings_.empty() && batch.size() < limits::batch_items) {
            bytes += bytes_of(endings_.front().settlement);
            if (bytes > limits::batch_bytes && !batch.empty()) break;
            settlements.push_back(std::move(endings_.front().settlement));
            batch.push_back(std::move(endings_.front()));
            endings_.pop_front();
        }
        auto answers = store_.settle(settlements, clock_.wall());
        for (std::size_t i = 0; i < batch.size(); ++i) batch[i].settlement = std::move(settlements[i]);
        std::optional<Error> silence;
        if (answers) {
            ended.reserve(batch.size());
            for (std::size_t i = 0; i < batch.size(); ++i) {
                if (auto one = judge(std::move(batch[i]), (*answers)[i])) ended.push_back(std::move(*one));
                else silence = Error{Errc::unavailable, "it is unknown what became of the end of a job"};
            }
        } else if (passes(answers.error())) {
            silence = answers.error();
            for (auto one = batch.rbegin(); one != batch.rend(); ++one) {
                one->ambiguous = true;
                endings_.push_front(std::move(*one));
            }
        } else {
            refuse(std::move(batch), answers.error(), ended);
        }
        if (silence) {
            back_off(away_, now, *silence);
            drop_late(now, ended);
        }
        if (!ended.empty()) options_.on_ended(ended);
        if (silence) return false;
    }
    return true;
}

std::optional<Ended> Scribe::judge(Ending ending, const SettleAnswer& answer) {
    Ended ended{std::move(ending), answer.done, !answer.done, answer.state};
    if (answer.done || !ended.ending.ambiguous) return ended;
    // The unanswered try before this one may be what took the fence away.
    const auto job = store_.get(ended.ending.settlement.job, 0);
    if (!job && passes(job.error())) {
        endings_.push_back(std::move(ended.ending));
        return std::nullopt;
    }
    if (job && *job && fits(**job, ended.ending.settlement)) {
        ended.done = true;
        ended.conflict = false;
        ended.state = (*job)->state;
    }
    return ended;
}

/// One bad end must not hold up its neighbours: each goes alone, and the bad one then says what was wrong with it.
void Scribe::refuse(std::vector<Ending> batch, const Error& why, std::vector<Ended>& ended) {
    if (batch.size() > 1) {
        for (auto& ending : batch) {
            const auto alone = store_.settle({&ending.settlement, 1}, clock_.wall());
            if (alone) {
                if (auto one = judge(std::move(ending), alone->front())) ended.push_back(std::move(*one));
            } else if (passes(alone.error())) {
                ending.ambiguous = true;
                endings_.push_back(std::move(ending));
            } else {
                std::vector<Ending> one;
                one.push_back(std::move(ending));
                refuse(std::move(one), alone.error(), ended);
            }
        }
        return;
    }
    auto& ending = batch.front();
    options_.log("the store refused the end of job " + ending.settlement.job.str() + ": " + why.message);
    if (ending.replaced) {
        ended.push_back({std::move(ending), false, false, JobState::running});
        return;
    }
    ending.replaced = true;
    ending.settlement.verdict = Verdict::failed;
    ending.settlement.result.clear();
    ending.settlement.code = "OUTCOME_REFUSED";
    ending.settlement.message = why.message;
    endings_.push_back(std::move(ending));
}

void Scribe::drop_late(SteadyTime now, std::vector<Ended>& ended) {
    for (auto& ending : endings_) {
        if (now < ending.give_up || options_.ours(ending.attempt->session)) continue;
        options_.log("the end of job " + ending.settlement.job.str() +
                     " could not be written in time; it will run again");
        ended.push_back({std::move(ending), false, false, JobState::running});
    }
    std::erase_if(endings_, [](const Ending& ending) { return !ending.attempt; });
}

void Scribe::back_off(Pause& pause, SteadyTime now, const Error& why) {
    if (pause.length.count() == 0) options_.log("the store does not take what jobs did, trying again: " + why.message);
    pause.length = pause.length.count() == 0 ? first_pause : std::min(pause.length * 2, longest_pause);
    pause.until = now + pause.length;
}

}  // namespace jobruntime::core
