// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// Jobs by words that no index knows: each is looked at.
#include <algorithm>

#include "core/api_impl.hpp"
#include "core/api_table.hpp"
#include "core/json.hpp"

namespace jobruntime {
namespace {

constexpr unsigned searched_parts = part_payload | part_result | part_errors;
constexpr int slice_jobs = 50;
/// To say how many there are, all that the rest of the filter leaves has to be looked at in one answer.
constexpr std::size_t most_counted = 10'000;
constexpr std::size_t most_bytes = 256u << 20;

Error too_wide() {
    return core::invalid("with text every job has to be looked at, and the rest of the filter leaves more than " +
                             std::to_string(most_counted) + ", or takes too long for it; narrow it with status, kind, queue, tag or times",
                         "FILTER_TOO_WIDE");
}

}  // namespace

std::string core::words_of(std::optional<std::string_view> text) { return lower(text.value_or("")); }

bool core::has_words(const Job& job, const std::string& words, std::size_t& bytes) {
    std::string text = job.id.str() + '\n' + job.kind + '\n' + job.unique_key + '\n' + job.trace_id;
    for (const auto& tag : job.tags) text += '\n' + tag;
    for (const auto& error : job.errors) text += '\n' + error.code + '\n' + error.message;
    text += '\n' + core::to_text(job.payload) + '\n' + core::to_text(job.result);
    bytes += text.size();
    return core::lower(text).find(words) != std::string::npos;
}

Result<std::vector<CountRow>> ApiRouter::Impl::count_words(const JobFilter& filter, const std::string& words) const {
    std::array<std::uint64_t, job_state_count> counts{};
    std::size_t looked_at = 0, bytes = 0;
    std::string cursor;
    const auto until = clock.steady() + core::long_enough;  // A store that finds few jobs has looked at many for each.
    do {
        auto page = queue.list(filter, cursor, slice_jobs, JobOrder::oldest_first, searched_parts);
        if (!page) return std::move(page).error();
        looked_at += page->jobs.size() + page->unreadable.size();
        for (const auto& job : page->jobs)
            if (core::has_words(job, words, bytes)) ++counts[static_cast<std::size_t>(job.state)];
        cursor = std::move(page->next_cursor);
        if (looked_at > most_counted || bytes > most_bytes || (!cursor.empty() && clock.steady() > until)) return too_wide();
    } while (!cursor.empty());
    std::vector<CountRow> rows;
    for (std::size_t i = 0; i < counts.size(); ++i)
        if (counts[i] > 0) rows.push_back({{}, static_cast<JobState>(i), counts[i], std::nullopt});
    return rows;
}

Result<Changed> ApiRouter::Impl::change_words(const JobFilter& filter, const std::string& words, const Change& change,
                                              std::string_view cursor, int most, std::size_t& bytes,
                                              const RouteMatch& match) const {
    auto page = queue.list(filter, cursor, slice_jobs, JobOrder::oldest_first, searched_parts);
    if (!page) return std::move(page).error();
    std::vector<JobId> found;
    for (const auto& job : page->jobs)
        if (found.size() < static_cast<std::size_t>(most) && core::has_words(job, words, bytes)) found.push_back(job.id);
    auto changed = found.empty()                      ? Result<Changed>(Changed{})
                   : change.action == Action::remove ? remove_many(found, {}, slice_jobs, match)
                                                     : queue.store().change(found, change, slice_jobs, {}, clock.wall());
    if (changed) changed->next_cursor = std::move(page->next_cursor);
    return changed;
}

}  // namespace jobruntime
