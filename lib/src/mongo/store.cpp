// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "mongo/store.hpp"

#include <algorithm>
#include <chrono>
#include <limits>

#include <unistd.h>

#include "core/bounds.hpp"
#include "core/ids.hpp"
#include "core/json.hpp"
#include "mongo/records.hpp"
#include "mongo/schema.hpp"

namespace jobruntime::mongo {
namespace {

Origin named(Origin origin) {
    if (origin.process.empty()) origin.process = core::IdSource().session(system_clock().wall()).str();
    return origin;
}

InsertAnswer refuse(Error error) {
    InsertAnswer given;
    given.refused = std::move(error);
    return given;
}

}  // namespace

Result<std::unique_ptr<Store>> open(std::string_view uri, Options options) {
    Place place;
    auto read = read_uri(uri, options, place);
    if (!read) return std::move(read).error();
    return std::unique_ptr<Store>(
        std::make_unique<MongoStore>(*std::move(read), std::move(place), std::move(options)));
}

MongoStore::Parts::Parts(Uri uri, const Place& place, const Options& options, const Origin& origin)
    : server(std::move(uri), place,
             static_cast<std::int32_t>(std::min<Duration::rep>(options.write_timeout.count(),
                                                               std::numeric_limits<std::int32_t>::max()))),
      journal(server),
      jobs(server, journal, origin, options.log),
      watcher(server, journal, options, [this](unsigned hints) { hub->tell(hints); }) {}

MongoStore::MongoStore(Uri uri, Place place, Options options)
    : options_(std::move(options)),
      origin_(named(options_.origin)),
      place_(std::move(place)),
      process_(::getpid()),
      parts_(std::make_unique<Parts>(std::move(uri), place_, options_, origin_)),
      combiner_(
          [this](std::vector<Operation*>& group) {
              execute(group);
              return 0u;
          },
          std::chrono::microseconds{0}) {}

MongoStore::~MongoStore() {
    // In a forked child all of it, the watcher's thread too, belongs to the parent.
    if (::getpid() != process_) static_cast<void>(parts_.release());
}

Result<void> MongoStore::usable() {
    if (::getpid() != process_)
        return Error{Errc::invalid_argument,
                     "this store was opened before fork(); open it again in the child"};
    if (ready_.load(std::memory_order_acquire)) return {};
    const auto asked_at = std::chrono::steady_clock::now();
    const std::scoped_lock lock(preparing_);
    if (ready_.load(std::memory_order_relaxed)) return {};
    // Those who waited while somebody was refused do not wait for a refusal of their own.
    if (refused_ && refused_at_ > asked_at) return *refused_;
    auto done = prepare(parts_->server);
    if (!done && done.error().name == "CONNECTION_LOST") done = prepare(parts_->server);
    note_health(done ? nullptr : &done.error());
    if (!done) {
        if (done.error().code == Errc::unavailable)
            parts_->server.look_up_again();
        else if (options_.log && refused_ && refused_->message != done.error().message)
            options_.log(done.error().message);  // Whoever waits for a server must hear why it does not help that it came.
        refused_ = done.error();
        refused_at_ = std::chrono::steady_clock::now();
        return done;
    }
    ready_.store(true, std::memory_order_release);
    return {};
}

void MongoStore::note_health(const Error* error) {
    const bool down = error && error->code == Errc::unavailable;
    if (error && !down) return;
    if (down_.load(std::memory_order_relaxed) == down || down_.exchange(down) == down || !options_.log)
        return;
    options_.log(down ? error->message : "MongoDB at " + place_.hosts + " answers again");
}

std::string MongoStore::describe() const { return place_.text; }

Subscription MongoStore::on_change(std::function<void(unsigned)> callback) {
    if (::getpid() != process_) return {};
    auto subscription = parts_->hub->subscribe(std::move(callback));
    parts_->watcher.start();
    return subscription;
}

/// What is told here need not wait for the watcher; that it hears of it again does no harm.
void MongoStore::tell(const Told& told) {
    const auto hints = parts_->jobs.finish(told);
    if (hints) {
        parts_->hub->tell(*hints);
        return;
    }
    // The changes hold, and their events wait in their jobs' outboxes.
    if (options_.log)
        options_.log(std::to_string(told.entries.size()) +
                     " events wait to be brought into the log: " + hints.error().message);
    parts_->hub->tell(hint_jobs | hint_cancel | hint_settled);
}

// ---- writing together ----------------------------------------------------------------------------

Result<void> MongoStore::write(Operation& operation) {
    if (auto done = usable(); !done) {
        operation.error = std::move(done).error();
        if (operation.ended) operation.ended();
        return std::move(*operation.error);
    }
    combiner_.submit(operation);
    note_health(operation.error ? &*operation.error : nullptr);
    if (operation.error) return std::move(*operation.error);
    return {};
}

namespace {

/// What was refused of each operation, which its neighbours do not hear of.
void hand_back(const std::vector<Mutation>& mutations, const std::vector<Operation*>& group) {
    auto next = mutations.begin();
    for (auto* operation : group)
        for (std::size_t i = 0; i < operation->mutations.size(); ++i, ++next)
            if (next->refused && !operation->error) operation->error = next->refused;
}

}  // namespace

void MongoStore::execute(std::vector<Operation*>& group) {
    Told told;
    const auto fail = [&](auto concerns, const Error& why) {
        for (auto* operation : group)
            if (concerns(*operation) && !operation->error) operation->error = why;
    };
    const auto arrives = [](const Operation& operation) { return !operation.arrivals.empty(); };
    const auto mutates = [](const Operation& operation) { return !operation.mutations.empty(); };
    const auto says = [](const Operation& operation) { return !operation.loose.empty(); };
    try {
        std::vector<Arrival> arrivals;
        std::vector<Mutation> mutations;
        std::vector<Entry> loose;
        for (auto* operation : group) {
            std::move(operation->arrivals.begin(), operation->arrivals.end(), std::back_inserter(arrivals));
            std::move(operation->mutations.begin(), operation->mutations.end(),
                      std::back_inserter(mutations));
            loose.insert(loose.end(), operation->loose.begin(), operation->loose.end());
        }
        if (!arrivals.empty())
            if (const auto done = parts_->jobs.insert(arrivals, told); !done) fail(arrives, done.error());
        if (!mutations.empty()) {
            if (const auto done = parts_->jobs.mutate(mutations, told))
                hand_back(mutations, group);
            else
                fail(mutates, done.error());
        }
        if (!loose.empty())
            if (const auto done = place_loose(loose, told); !done) fail(says, done.error());
        tell(told);
    } catch (const std::exception& failure) {
        for (auto* operation : group) operation->error = Error{Errc::internal, failure.what()};
    }
    for (auto* operation : group) {
        if (!operation->ended) continue;
        try {
            operation->ended();
        } catch (const std::exception&) {  // Out of memory: what it was to remember is forgotten.
        }
    }
}

/// Events that change nothing. One about a job stands behind all that its outbox holds, and takes the job's
/// trace.
Result<void> MongoStore::place_loose(std::vector<Entry>& loose, Told& told) {
    std::vector<JobId> ids;
    for (const auto& entry : loose)
        if (entry.job) ids.push_back(entry.job);
    if (!ids.empty()) {
        auto rows = parts_->jobs.rows(ids_filter(ids), 0);
        if (!rows) return std::move(rows).error();
        for (auto& row : *rows) {
            for (auto& entry : loose)
                if (entry.job == row.job.id && !View(entry.event).has("traceId"))
                    entry.event.text_if("traceId", row.job.trace_id);
            for (auto& entry : row.outbox) told.entries.push_back(std::move(entry));
        }
    }
    // By itself, because this is the one thing that an outbox does not keep.
    auto& entries = told.entries;
    entries.insert(entries.end(), loose.begin(), loose.end());
    unsigned hints = 0;
    for (const auto& entry : entries) hints |= hints_of(View(entry.event).text_or("name"));
    auto appended = parts_->journal.append(entries);
    entries.clear();
    if (appended) parts_->hub->tell(hints);
    return appended;
}

// ---- insert and restore --------------------------------------------------------------------------

namespace {

/// As MongoDB will keep them, so that they compare equal when they are read back.
void settle_texts(Job& job) {
    job.unique_key = core::valid_utf8(job.unique_key);
    job.idempotency_key = core::valid_utf8(job.idempotency_key);
}

Result<Row> row_of(const NewJob& given, Time now) {
    auto payload = core::parse_json_object(given.payload);
    if (!payload) return std::move(payload).error();
    Row row;
    Job& job = row.job;
    job.id = given.id;
    job.kind = given.kind;
    job.queue = given.queue;
    job.payload = *std::move(payload);
    job.priority = given.priority;
    job.run_at = given.run_at;
    job.state = given.run_at > now ? JobState::scheduled : JobState::queued;
    job.max_attempts = given.max_attempts;
    job.unique_key = given.unique_key;
    if (!given.unique_key.empty()) job.unique_states = given.unique_states | live_states;
    job.idempotency_key = given.idempotency_key;
    job.idempotency_hash = given.idempotency_hash;
    job.trace_id = given.trace_id;
    job.tags = given.tags;
    job.created_at = now;
    settle_texts(job);
    return row;
}

}  // namespace

Result<std::vector<InsertAnswer>> MongoStore::insert(std::span<const NewJob> jobs, Time now) {
    JR_TRY(core::check_batch(jobs));
    std::vector<InsertAnswer> answers(jobs.size());
    Operation operation;
    for (std::size_t i = 0; i < jobs.size(); ++i) {
        const auto& given = jobs[i];
        if (auto refused = core::refusal(given)) {
            answers[i] = refuse(*std::move(refused));
            continue;
        }
        auto row = row_of(given, now);
        if (!row) {
            answers[i] = refuse(std::move(row).error());
            continue;
        }
        mongo::tell(*row, {.code = core::EventCode::created, .by = &given.by}, origin_, now);
        operation.bytes += given.payload.size() + 1000;
        operation.arrivals.push_back({*std::move(row), &answers[i], &given, now});
    }
    if (operation.arrivals.empty()) return answers;
    operation.items = operation.arrivals.size();
    JR_TRY(write(operation));
    return answers;
}

Result<std::vector<InsertAnswer>> MongoStore::restore(std::span<const Job> jobs, Time now) {
    JR_TRY(core::check_batch(jobs));
    std::vector<InsertAnswer> answers(jobs.size());
    Operation operation;
    for (std::size_t i = 0; i < jobs.size(); ++i) {
        if (auto refused = core::refusal(jobs[i])) {
            answers[i] = refuse(*std::move(refused));
            continue;
        }
        Row row;
        row.job = jobs[i];
        if (!row.job.unique_key.empty()) row.job.unique_states = row.job.unique_states | live_states;
        settle_texts(row.job);
        mongo::tell(row, {.code = core::EventCode::restored}, origin_, now);
        operation.bytes += 4000;
        operation.arrivals.push_back({std::move(row), &answers[i], nullptr, now});
    }
    if (operation.arrivals.empty()) return answers;
    operation.items = operation.arrivals.size();
    JR_TRY(write(operation));
    return answers;
}

// ---- records, events -----------------------------------------------------------------------------

Result<EventPage> MongoStore::events(std::optional<EventId> after, const EventFilter& filter, int limit) {
    const auto most = core::check_limit(limit, "the limit of events");
    if (!most) return most.error();
    return again([&] { return parts_->journal.read(after, filter, *most); });
}

Result<std::vector<Record>> MongoStore::records(std::string_view prefix) {
    return again([&] { return read_records(parts_->server, prefix); });
}

Result<std::uint64_t> MongoStore::put(std::string_view key, std::optional<std::string_view> value,
                                      std::uint64_t expected) {
    JR_TRY(core::check_record(key, value));
    // A put cannot be repeated blindly, so a connection that broke unseen is found out by something that can.
    if (const auto lives = again([&] { return record_counter(parts_->server); }); !lives)
        return lives.error();
    auto version = put_record(parts_->server, key, value, expected);
    if (version) parts_->hub->tell(hint_records);
    return version;
}

}  // namespace jobruntime::mongo
