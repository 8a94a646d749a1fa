// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <span>

#include <jobruntime/export.hpp>
#include <jobruntime/store.hpp>

namespace jobruntime::core {

/// Whether a call keeps limits::batch_items and limits::batch_bytes (the bytes of its texts);
/// Errc::invalid_argument says by how much it does not.
JOBRUNTIME_API Result<void> check_batch(std::span<const NewJob> jobs);
JOBRUNTIME_API Result<void> check_batch(std::span<const Settlement> settlements);
JOBRUNTIME_API Result<void> check_batch(std::span<const Note> notes);
JOBRUNTIME_API Result<void> check_batch(std::span<const JobId> ids);
/// Of jobs to be restored: with payload, result and steps as JSON text.
JOBRUNTIME_API Result<void> check_batch(std::span<const Job> jobs);

/// A page's limit or an upkeep's budget, cut to limits::batch_items. Errc::invalid_argument below 1.
JOBRUNTIME_API Result<int> check_limit(int limit, std::string_view what);

/// Why a store refuses this job of its own accord (store.hpp, NewJob); nothing when it does not.
JOBRUNTIME_API std::optional<Error> refusal(const NewJob& job);
/// The same for a job to be restored (store.hpp, Store::restore).
JOBRUNTIME_API std::optional<Error> refusal(const Job& job);

/// Errc::invalid_argument for a key or value that is no record's (store.hpp, Record).
JOBRUNTIME_API Result<void> check_record(std::string_view key, std::optional<std::string_view> value);

}  // namespace jobruntime::core
