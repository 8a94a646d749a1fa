// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// How an attempt ends, and what is noted while it runs.
#include <algorithm>

#include "core/bounds.hpp"
#include "core/failpoint.hpp"
#include "core/json.hpp"
#include "mongo/store.hpp"

namespace jobruntime::mongo {
namespace {

/// What the checkpoints of one job may sum up to, so that its document stays under MongoDB's 16 MiB.
constexpr std::int64_t most_step_bytes = 10ll << 20;
/// What may wait in a job's outbox before its log lines are no longer taken.
constexpr std::size_t most_waiting_bytes = 1u << 20;
constexpr std::size_t most_waiting_events = 1000;
constexpr std::size_t most_lost = 10'000;

bool holds(const Row* row, Fence fence) {
    return row && row->job.state == JobState::running && fence != Fence::none && row->job.fence == fence;
}

void keep_error(Row& row, std::string_view code, std::string_view message, Time now) {
    row.error =
        JobError{now, row.job.attempt, std::string(code), std::string(core::cut(message, limits::message))};
}

void forget_steps(Row& row) {
    row.step_names.clear();
    row.step_sizes.clear();
    row.job.steps.clear();
    row.rewrite_steps = true;
}

struct Ending {
    Verdict verdict;
    std::string_view code;
    std::string_view message;
    boost::json::value result;
};

Ending ending_of(const Settlement& given) {
    Ending ending{given.verdict, given.code, core::cut(given.message, limits::message), nullptr};
    if (given.verdict != Verdict::completed) return ending;
    if (given.result.size() > limits::result)
        return {Verdict::failed, "RESULT_TOO_LARGE",
                "the result of the job is larger than 1 MiB; keep it elsewhere and return where it is",
                nullptr};
    if (given.result.empty()) return ending;
    auto parsed = core::parse_json(given.result);
    if (!parsed) return {Verdict::failed, "INVALID_RESULT", "the result of the job is no JSON text", nullptr};
    ending.result = *std::move(parsed);
    return ending;
}

}  // namespace

Mutation MongoStore::settle_one(const Settlement& given, const std::string& token, Time now,
                                SettleAnswer& answer) {
    std::vector<std::string> tokens{token};
    {
        const std::scoped_lock lock(lost_mutex_);
        if (const auto lost = lost_settlements_.find({given.job, given.fence});
            lost != lost_settlements_.end())
            tokens.insert(tokens.end(), lost->second.begin(), lost->second.end());
    }
    auto apply = [this, &given, &answer, token, tokens, now](Row* row) {
        answer = {};
        if (row) answer.state = row->job.state;
        if (row && row->settled_fence == given.fence &&
            std::find(tokens.begin(), tokens.end(), row->settled_by) != tokens.end()) {
            answer.done = true;  // It was accepted, and only the answer lost.
            return;
        }
        if (!holds(row, given.fence) && !(row && JOBRT_FAILPOINT("control.ignore_fences"))) return;
        auto ending = ending_of(given);
        Job& job = row->job;
        const auto next = core::after_settle(ending.verdict, job.cancel_requested_at.has_value());
        if (next.keep_error) keep_error(*row, ending.code, ending.message, now);
        job.state = next.state;
        if (next.give_attempt_back) --job.attempt;
        if (next.reset_crashes) job.crashes = 0;
        if (job.state == JobState::scheduled) {
            job.run_at = given.run_at;
            job.wait_reason = ending.message;
        }
        if (job.state == JobState::completed) row->result = std::move(ending.result);
        if (job.state == JobState::completed && given.forget_steps) forget_steps(*row);
        if (is_final(job.state)) job.finished_at = now;
        row->settle_token = token;
        row->settled_by = token;
        row->settled_fence = given.fence;
        mongo::tell(*row,
                    {.code = next.event, .ran = true, .error_code = ending.code, .message = ending.message},
                    origin_, now);
        answer.done = true;
        answer.state = job.state;
    };
    return {given.job, std::move(apply)};
}

Result<std::vector<SettleAnswer>> MongoStore::settle(std::span<const Settlement> settlements, Time now) {
    JR_TRY(core::check_batch(settlements));
    std::vector<SettleAnswer> answers(settlements.size());
    if (settlements.empty()) return answers;
    JR_TRY(usable());
    Operation operation;
    operation.items = settlements.size();
    std::vector<std::string> tokens;
    for (std::size_t i = 0; i < settlements.size(); ++i) {
        operation.bytes += settlements[i].result.size() + 500;
        tokens.push_back(parts_->jobs.token());
        operation.mutations.push_back(settle_one(settlements[i], tokens[i], now, answers[i]));
    }
    auto written = write(operation);
    const std::scoped_lock lock(lost_mutex_);
    if (lost_settlements_.size() > most_lost) lost_settlements_.clear();
    for (std::size_t i = 0; i < settlements.size(); ++i) {
        const std::pair key{settlements[i].job, settlements[i].fence};
        if (written)
            lost_settlements_.erase(key);
        else  // Or another of them was refused, and this one is done.
            lost_settlements_[key].push_back(tokens[i]);
    }
    if (!written) return std::move(written).error();
    return answers;
}

// ---- note ----------------------------------------------------------------------------------------

namespace {

std::int64_t sum(const std::vector<std::int64_t>& sizes) {
    std::int64_t all = 0;
    for (const auto size : sizes) all += size;
    return all;
}

/// False: refused.
bool keep_step(Row& row, const std::string& name, const boost::json::value& value) {
    const auto known = std::find(row.step_names.begin(), row.step_names.end(), name);
    const auto place = static_cast<std::size_t>(known - row.step_names.begin());
    const auto bytes = stored_size(value);
    if (known == row.step_names.end()) {
        if (row.step_names.size() >= limits::steps) return false;
        row.step_names.push_back(name);
        row.step_sizes.push_back(0);
        if (row.whole_steps) row.job.steps.push_back({name, nullptr});
    }
    const auto before = row.step_sizes[place];
    row.step_sizes[place] = bytes;
    if (sum(row.step_sizes) > most_step_bytes) {
        row.step_sizes[place] = before;
        return false;
    }
    if (row.whole_steps) {
        row.job.steps[place].value = value;
        row.rewrite_steps = true;
    } else {
        row.new_steps[place] = value;
    }
    row.changed = true;
    return true;
}

void forget_step(Row& row, const std::string& name) {
    const auto known = std::find(row.step_names.begin(), row.step_names.end(), name);
    if (known == row.step_names.end()) return;
    const auto place = known - row.step_names.begin();
    row.step_names.erase(known);
    row.step_sizes.erase(row.step_sizes.begin() + place);
    row.job.steps.erase(row.job.steps.begin() + place);
    row.rewrite_steps = true;
    row.changed = true;
}

/// False: refused, and the row must be as it was.
bool keep_steps(Row& row, const Note& note) {
    if (note.step_name && note.step_value.size() > limits::result) return false;
    if (note.forget_step) forget_step(row, *note.forget_step);
    if (!note.step_name) return true;
    const auto value = core::parse_json(note.step_value.empty() ? "null" : note.step_value);
    return value && keep_step(row, *note.step_name, *value);
}

}  // namespace

namespace {

/// All that an event about no attempt says.
std::string contents_of(JobId job, const Doc& event) {
    return "event/" + job.str() + std::string(reinterpret_cast<const char*>(bson_get_data(event.raw())), event.size());
}

/// A note of an attempt, by all that it writes once.
std::string contents_of(const Note& note) {
    auto contents = "note/" + std::to_string(static_cast<std::uint64_t>(note.fence)) + "/";
    for (const auto& event : note.events) contents += contents_of(note.job, event_document(event));
    if (note.step_name) contents += "step/" + *note.step_name + "/" + note.step_value;
    if (note.forget_step) contents += "forget/" + *note.forget_step;
    return contents;
}

bool is_of_attempt(const Note& note) {
    return note.fence != Fence::none || note.progress || note.step_name || note.forget_step;
}

}  // namespace

/// Whether the note's events are told already, and only the answer was lost. Whoever is about to put another token in the
/// place of `noted_by` asks first: so it is known of the one before that it was told. And one that was not told until then never
/// will be without being sent again, since its write named a revision of the document that is past.
bool MongoStore::was_told(const Row& row, const SentNote& sent) {
    const std::scoped_lock lock(lost_mutex_);
    lost_notes_.saw(row.job.id, row.noted_by);
    return lost_notes_.landed(sent.place) ||
           std::find(sent.tokens.begin(), sent.tokens.end(), row.noted_by) != sent.tokens.end();
}

/// Progress and checkpoints may be written again; events may not, so a note that has some leaves its token in
/// the document.
Mutation MongoStore::note_one(const Note& note, const std::string& token, SentNote& sent, NoteAnswer& answer) {
    auto apply = [this, &note, &sent, &answer, token](Row* row) {
        answer = NoteAnswer::conflict;
        if (!holds(row, note.fence)) return;
        answer = NoteAnswer::done;
        if (!note.events.empty() && was_told(*row, sent)) return;
        if (note.step_name || note.forget_step) {
            auto names = row->step_names;
            auto sizes = row->step_sizes;
            auto steps = row->job.steps;
            const bool rewrite = row->rewrite_steps, changed = row->changed;
            if (!keep_steps(*row, note)) {
                row->step_names = std::move(names);
                row->step_sizes = std::move(sizes);
                row->job.steps = std::move(steps);
                row->rewrite_steps = rewrite;
                row->changed = changed;
                answer = NoteAnswer::refused;
                return;
            }
        }
        if (note.progress && row->job.progress != *note.progress) {
            row->job.progress = *note.progress;
            row->changed = true;
        }
        for (const Event& event : note.events) {
            // The ends of jobs need what is left of the room.
            if (row->waiting_bytes > most_waiting_bytes || row->waiting_events > most_waiting_events) {
                parts_->jobs.skip(
                    {Errc::full, "log lines of job " + note.job.str() +
                                     ", because jobrt_log has taken none of its events for long"});
                break;
            }
            Event copy = event;
            copy.job = note.job;
            mongo::tell(*row, std::move(copy), origin_);
            // Notes that become one update of the document leave one token, also when they are of several calls.
            if (row->note_token.empty()) row->note_token = token;
            if (std::find(sent.tokens.begin(), sent.tokens.end(), row->note_token) == sent.tokens.end())
                sent.tokens.push_back(row->note_token);
        }
    };
    return {.id = note.job,
            .apply = std::move(apply),
            .whole_steps = note.forget_step.has_value(),
            .refuse = [&answer] { answer = NoteAnswer::refused; }};
}

Result<std::vector<NoteAnswer>> MongoStore::note(std::span<const Note> notes, Time) {
    JR_TRY(core::check_batch(notes));
    std::vector<NoteAnswer> answers(notes.size(), NoteAnswer::done);
    if (notes.empty()) return answers;
    JR_TRY(usable());
    Operation operation;
    operation.items = notes.size();
    const auto token = parts_->jobs.token();
    std::vector<SentNote> sent(notes.size());
    std::vector<LostNotes::Place> loose;
    for (std::size_t i = 0; i < notes.size(); ++i) {
        const Note& note = notes[i];
        operation.bytes += note.step_value.size() + note.events.size() * 300;
        if (is_of_attempt(note)) {
            sent[i] = sent_note(note);
            operation.mutations.push_back(note_one(note, token, sent[i], answers[i]));
            continue;
        }
        for (const Event& given : note.events) {
            Event event = given;
            if (event.source.empty()) {
                event.source = origin_.process;
                event.role = origin_.role;
            }
            const auto job = note.job ? note.job : event.job;
            loose.push_back(0);
            operation.loose.push_back(loose_entry(job, event_document(event), loose.back()));
        }
    }
    if (operation.mutations.empty() && operation.loose.empty()) return answers;
    // Before anybody else may overwrite what they have left in their jobs' documents.
    operation.ended = [&] { remember(notes, sent, loose, operation); };
    JR_TRY(write(operation));
    return answers;
}

/// Which of them were lost, or are no more.
void MongoStore::remember(std::span<const Note> notes, std::span<SentNote> sent, std::span<const LostNotes::Place> loose,
                          const Operation& operation) {
    const std::scoped_lock lock(lost_mutex_);
    const bool written = !operation.error;
    if (written && lost_notes_.empty()) return;
    for (std::size_t i = 0; i < notes.size(); ++i) {
        if (written)
            lost_notes_.heard(sent[i].place);
        else if (!sent[i].tokens.empty())
            lost_notes_.lost(sent[i].place, contents_of(notes[i]), notes[i].job, std::move(sent[i].tokens));
    }
    for (std::size_t i = 0; i < loose.size(); ++i) {
        const auto& entry = operation.loose[i];
        if (written)
            lost_notes_.heard(loose[i]);
        else
            lost_notes_.lost(loose[i], contents_of(entry.job, entry.event), {}, {entry.key});
    }
}

SentNote MongoStore::sent_note(const Note& note) {
    if (note.events.empty()) return {};
    const std::scoped_lock lock(lost_mutex_);
    if (lost_notes_.empty()) return {};
    const auto place = lost_notes_.sent_again(contents_of(note));
    return {place, lost_notes_.marks(place)};
}

/// One that is told again, because nobody knows whether it was, has the key that it had: the log takes it
/// once.
Entry MongoStore::loose_entry(JobId job, Doc event, LostNotes::Place& place) {
    {
        const std::scoped_lock lock(lost_mutex_);
        if (!lost_notes_.empty()) place = lost_notes_.sent_again(contents_of(job, event));
        if (place != 0) return {job, 0, lost_notes_.marks(place).front(), std::move(event)};
    }
    const auto owner = job ? job.str() : "none";
    return {job, 0, owner + "/" + parts_->jobs.token(), std::move(event)};
}

}  // namespace jobruntime::mongo
