// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <memory>

#include <jobruntime/job_queue.hpp>

#include "core/ids.hpp"

namespace jobruntime {

struct JobQueue::Impl {
    Store& store;
    Inserter& inserter;              ///< The store, or a caller's own transaction on it.
    Clock& clock;
    TelemetrySink* sink;
    /// Shared with the queues made by within(), so that one seed stays one sequence of ids.
    std::shared_ptr<core::IdSource> ids;

    /// The job to be, checked and with its id; Errc::invalid_argument says what is out of bounds.
    Result<NewJob> prepare(std::string_view kind, const boost::json::object& payload, EnqueueOptions options, Time now);
    /// Inserts, and once more with the same ids when the store did not answer.
    Result<std::vector<InsertAnswer>> insert(std::span<const NewJob> jobs, Time now);
    void tell(const NewJob& job, const InsertAnswer& answer, Time now);
};

namespace core {

/// The record that holds a queue's settings.
inline constexpr std::string_view queue_record_prefix = "queue/";

/// The names of the queues whose settings say paused.
JOBRUNTIME_API Result<std::vector<std::string>> read_paused(Store& store);

}  // namespace core
}  // namespace jobruntime
