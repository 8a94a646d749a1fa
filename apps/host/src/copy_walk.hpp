// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include <jobruntime/result.hpp>
#include <jobruntime/store.hpp>

// What copying and its verification share: walks over all of a store, and the records that are the copy's own.
namespace jobruntime::host {

inline constexpr std::string_view identity_key = "store/identity";
inline constexpr std::string_view bookmark_prefix = "copy/";

inline bool is_copys_own(const Record& record) {
    return record.key == identity_key || record.key.starts_with(bookmark_prefix);
}

inline Error of(const Store& store, Error error) {
    error.message = store.describe() + ": " + error.message;
    return error;
}

template <class Use>
Result<void> each_job(Store& store, Use use) {
    std::string cursor;
    do {
        auto page = store.list({}, JobOrder::oldest_first, cursor, 500, 0);
        if (!page) return of(store, std::move(page).error());
        for (const auto& job : page->jobs) use(job);
        cursor = std::move(page->next_cursor);
    } while (!cursor.empty());
    return {};
}

/// From the beginning; says whether there were older ones that are no longer kept.
template <class Use>
Result<bool> each_event(Store& store, Use use) {
    bool pruned = false;
    for (EventId after = 0;;) {
        auto page = store.events(after, {}, 500);
        if (!page) return of(store, std::move(page).error());
        pruned = pruned || page->truncated;
        for (const auto& event : page->events) use(event);
        if (page->events.empty()) return pruned;
        after = page->next;
    }
}

}  // namespace jobruntime::host
