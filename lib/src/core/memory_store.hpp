// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <memory>
#include <optional>

#include <jobruntime/export.hpp>
#include <jobruntime/store.hpp>

#include "core/transitions.hpp"

namespace jobruntime::memory {

/// Breaks a promise on purpose, so that a test can show that the contract suite would notice.
struct Controls {
    bool ignore_fences = false;              ///< Any write of an attempt is taken.
    bool ignore_unique = false;              ///< Unique keys count nowhere.
    std::optional<core::EventCode> dropped;  ///< Events of this kind are never written.
};

/// What several stores on one database share.
class Database;

JOBRUNTIME_API std::shared_ptr<Database> make_database(Controls controls = {});
/// One more store on it, as another process would have.
JOBRUNTIME_API std::unique_ptr<Store> open(std::shared_ptr<Database> database, Origin origin);

}  // namespace jobruntime::memory
