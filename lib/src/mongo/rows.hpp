// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include <jobruntime/store.hpp>

#include "core/state_event.hpp"
#include "mongo/bson.hpp"

namespace jobruntime::mongo {

/// What an event says besides what its job's row says.
struct Telling {
    core::EventCode code = core::EventCode::other;
    bool ran = false;  ///< Name the session.
    std::string_view error_code{};
    std::string_view message{};
    const Actor* by = nullptr;
};

/// One event that waits to be put into the log: in its job's outbox, or about no attempt.
struct Entry {
    JobId job;                ///< Zero: about none.
    std::int64_t number = 0;  ///< Counts a job's events up from 1; 0 = not from an outbox.
    std::string key;          ///< Unique in the log, so that it cannot be told twice.
    Doc event;
};

/// One job's document while it is being changed. The members named after fields are what the server has; what
/// is to become of it is done to `job` and the "new" members, and update_of() says it in the server's words.
struct Row {
    Job job;                ///< Parts as far as they were read.
    std::int64_t rev = 0;   ///< Rises with every write of the document.
    std::int64_t told = 0;  ///< Field eventCount: events so far.
    bool untold = false;
    bool gone = false;       ///< Deleted; the document only waits until its last event is in the log.
    std::string last_write;  ///< The token of the newest write.
    std::string settled_by;  ///< lastSettle.by: the token of the settlement that was accepted last,
    Fence settled_fence = Fence::none;
    std::string noted_by;  ///< lastNote: the token of the newest note with events.
    std::vector<std::string> step_names;
    std::vector<std::int64_t> step_sizes;  ///< stored_size of each.
    bool whole_steps = false;              ///< Job::steps was read too.
    std::vector<Entry> outbox;             ///< With the new ones behind.
    std::size_t waiting_events = 0;        ///< In the outbox when it was read,
    std::size_t waiting_bytes = 0;         ///< and what they take.

    // New.
    std::string claim_token;   ///< Set: it is claimed.
    std::string settle_token;  ///< Set: it is settled.
    std::string note_token;    ///< Set: events were noted.
    std::optional<JobError> error;
    std::optional<boost::json::value> result;
    bool forget_result = false;
    std::map<std::size_t, boost::json::value> new_steps;  ///< By place in step_names.
    bool rewrite_steps = false;                           ///< Job::steps is what they are to be.
    std::optional<boost::json::object> payload;
    bool changed = false;
};

/// What a Row needs, with these parts.
Doc fields_of_row(unsigned parts);
/// For get and list: what Job needs with these parts.
Doc fields_of_parts(unsigned parts);

/// A document as a Job, or why it is none. `parts` says which were read.
Result<Job> read_job(const View& doc, unsigned parts);
/// The same for a document that is going to be changed.
Result<Row> read_row(const View& doc, unsigned parts);

/// A new job's document, with the events that were told of it in the outbox.
Doc new_document(const Row& row, std::string_view token);
/// What makes the document of `before` that of `row`; it must still be at `before`'s revision.
Doc filter_of(const Row& before);
Doc update_of(const Row& before, const Row& row, std::string_view token);

/// Puts an event of a state change, or any other, into the row's outbox.
void tell(Row& row, const Telling& telling, const Origin& origin, Time now);
void tell(Row& row, Event event, const Origin& origin);
Doc event_document(const Event& event);
/// Nothing when it is no event.
std::optional<Event> read_event(const View& doc);

/// The bytes that a JSON value takes in a document.
std::int64_t stored_size(const boost::json::value& value);

/// The names of a set of states, as a list.
Doc names_of(StateSet states);

}  // namespace jobruntime::mongo
